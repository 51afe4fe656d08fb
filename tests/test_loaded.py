"""Runs that are loaded from Python predict what `evaluate` scores."""

import csv
import json
import shutil
from collections import Counter

import jax
import numpy as np
import pytest
import runs
import tinyset
from PIL import Image

from resnet_jax import evaluate, predict
from resnet_jax.config.schema import DataConfig
from resnet_jax.data.inputs import Inputs
from resnet_jax.data.sources.digits import arrays
from resnet_jax.data.statistics import statistics
from resnet_jax.errors import CheckpointError, ConfigError, DataError
from resnet_jax.train import loaded, trained
from resnet_jax.train.loaded import load


@pytest.fixture(scope="module")
def folder(tmp_path_factory, shop):
    """The folder of a short run with averaged parameters and a validation split."""
    changes = {"train.steps": 8, "train.ema": 0.5, "data.split": "1200/237"}
    return shop.train(tmp_path_factory.mktemp("runs") / "run", changes)


def test_top1_error_is_that_of_evaluate(folder, capsys):
    before = runs.listing(folder)
    assert evaluate.main(["evaluate", "--workdir", str(folder)]) == 0
    row = json.loads(capsys.readouterr().out)
    run = load(folder)
    batches = list(trained.load(folder)._batches("test"))
    image = np.concatenate([b["image"][b["mask"] > 0] for b in batches])
    label = np.concatenate([b["label"][b["mask"] > 0] for b in batches])
    assert len(image) == 360 > 2 * loaded.CHUNK  # several parts, the last one smaller
    p = run.predict(image)
    assert p.shape == (360, 10) and p.dtype == np.float32
    np.testing.assert_allclose(p.sum(-1), 1, rtol=1e-5)
    wrong = (p.argmax(-1) != label).mean()
    assert 100 * wrong == pytest.approx(row["top1_err"])
    nll = -np.log(p[np.arange(360), label]).mean()
    assert nll == pytest.approx(row["loss"], rel=1e-4)
    assert run.step == row["step"] and row["top1_err"] < 90
    assert runs.listing(folder) == before


def test_variables_are_averages_and_best_is_another_checkpoint(folder):
    run, found = load(folder), trained.load(folder)
    assert found.variables is not None
    jax.tree.map(np.testing.assert_array_equal, run.variables, found.variables)
    best = load(str(folder), which="best")
    assert best.step == trained.load(folder, which="best").step
    assert (run.classes[:2], run.image_shape) == (("0", "1"), (8, 8, 1))


def test_pictures_are_arrays(folder):
    """Of any mode, one or several: as an array of the same grey levels."""
    run, array = load(folder), arrays()[0][:3, ..., None]
    pictures = [Image.fromarray(x[..., 0]) for x in array]
    expected = run.preprocess(array)
    assert expected.shape == (3, 8, 8, 1) and expected.dtype == np.float32
    resident = trained.load(folder).experiment.pipeline.resident
    images = resident["train"]["image"].astype(np.float64)
    by_hand = (array - images.mean()) / images.std()
    np.testing.assert_allclose(expected, by_hand, rtol=1e-4, atol=1e-5)
    for mode in ("L", "RGB", "RGBA"):
        found = run.preprocess([picture.convert(mode) for picture in pictures])
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(run.preprocess(pictures[1]), expected[1:2])
    assert pictures[1].mode == "L"
    p = run.predict(array)
    np.testing.assert_allclose(run.predict(pictures[1]), p[1:2], rtol=1e-5)


@pytest.mark.parametrize(
    "images, complaint",
    [
        (Image.new("L", (9, 8)), r"shape \(8, 9, 1\), .*\(8, 8, 1\).*resize\(\(8, 8\)"),
        (np.zeros((8, 8, 1), np.uint8), r"shape \(8, 8, 1\); must be \[b 8 8 1\]"),
        (np.zeros((2, 8, 8, 3), np.uint8), "an image of shape"),
        (np.zeros((0, 8, 8, 1), np.uint8), "an array of shape"),
        (np.zeros((2, 8, 8, 1)), "array of float64; must be uint8"),
        ([], "an empty list"),
    ],
)
def test_other_images_are_refused(folder, images, complaint):
    with pytest.raises(DataError, match=complaint) as error:
        load(folder).predict(images)
    assert "\n" not in str(error.value)


def test_folders_that_are_no_runs(folder, tmp_path):
    with pytest.raises(ConfigError, match="so no run"):
        load(tmp_path)
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    with pytest.raises(CheckpointError, match="no checkpoint yet"):
        load(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match="cannot be read"):
        load(tmp_path)


def test_what_types_forbid_is_refused_without_them(folder, request):
    """One line of an error, or of the type-checker where tests switch it on."""
    checked = request.config.getoption("jaxtyping_packages")
    told = None if checked else r"images\[1\]: str is no PIL image; give PIL images, or"
    with pytest.raises(TypeError if checked else DataError, match=told):
        load(folder).predict([Image.new("L", (8, 8)), "a.png"])
    told = None if checked else "which='first': must be 'last' or 'best'"
    with pytest.raises(TypeError if checked else ConfigError, match=told):
        load(folder, which="first")  # type: ignore


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_grey_levels_as_other_dtypes_store_them(dtype):
    image = tinyset.images(1)[0]
    stored = loaded._stored(image, np.dtype(dtype))
    white = {"uint16": 65535, "float32": 1}[dtype]
    assert stored.dtype == dtype
    np.testing.assert_allclose(stored, image * (white / 255), rtol=1e-6)


# Without the data set


def test_the_folder_of_a_run_is_enough(folder, tmp_path, monkeypatch):
    """Also where it is copied: values are those with the data set, bit for bit."""
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "inputs.json").unlink()
    array = arrays()[0][:3, ..., None]
    expected = load(copy).predict(array)
    monkeypatch.setattr(trained, "prepare", lambda *_, **__: pytest.fail("opens data"))
    for which in ("last", "best"):
        run = load(folder, which=which)
        assert run.classes == tuple("0123456789")
    np.testing.assert_array_equal(load(folder).predict(array), expected)


@pytest.mark.parametrize("normalize", ["none", "channel", "pixel_mean"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_recorded_inputs_are_the_same(normalize, dtype):
    images = tinyset.images(6).astype(dtype)
    known, data = statistics(images), DataConfig(augment="crop", normalize=normalize)
    inputs = Inputs(data, images.shape[1:], np.dtype(dtype), known, ("a", "b"))
    tree = json.loads(json.dumps(inputs.to_json()))
    again = Inputs.from_json(tree, data)
    assert (again.classes, again.shape) == (("a", "b"), inputs.shape)
    assert again.dtype == dtype
    batch = {"image": images}
    np.testing.assert_array_equal(
        again.preprocess(None, batch, train=False),
        inputs.preprocess(None, batch, train=False),
    )


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"shape": 8}'])
def test_a_damaged_record_is_told(folder, tmp_path, content):
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "inputs.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"inputs\.json: ") as error:
        load(copy)
    assert "\n" not in str(error.value)


# Files


@pytest.fixture
def pictures(tmp_path):
    """Pictures of digits in two folders, one of another size, one damaged."""
    place = tmp_path / "photos"
    (place / "more").mkdir(parents=True)
    for i, array in enumerate(arrays()[0][:70]):
        Image.fromarray(array).save(place / "more" / f"{i:02}.png")
    Image.new("RGB", (20, 12), "red").save(place / "large.bmp")
    (place / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    (place / "notes.txt").write_text("no image")
    return place


def run_predict(folder, *arguments):
    return predict.main(["predict", "--workdir", str(folder), *map(str, arguments)])


def test_files_are_predicted(folder, pictures, tmp_path, capsys):
    table = tmp_path / "classes.csv"
    assert run_predict(folder, pictures / "more", "--out", table, "--top", 2) == 0
    lines = capsys.readouterr().out.splitlines()
    with open(table, newline="") as file:
        rows = list(csv.DictReader(file))
    p = load(folder).predict(arrays()[0][:70, ..., None])
    assert len(lines) == len(rows) == 70
    assert list(rows[0]) == ["path", "class", "probability", *"0123456789"]
    for i, (line, row) in enumerate(zip(lines, rows, strict=True)):
        assert row["path"] == str(pictures / "more" / f"{i:02}.png")
        assert row["class"] == str(p[i].argmax())
        found = [float(row[name]) for name in "0123456789"]
        np.testing.assert_allclose(found, p[i], rtol=1e-4)
        assert float(row["probability"]) == max(found)
        first, second = np.argsort(-p[i], kind="stable")[:2]
        shown = (f"{k} {100 * p[i][k]:.1f} %" for k in (first, second))
        assert line == f"{row['path']}  {', '.join(shown)}"


def test_what_cannot_be_read_is_named_at_the_end(folder, pictures, tmp_path, capsys):
    table = tmp_path / "classes.csv"
    assert run_predict(folder, pictures, "--out", table) == 3
    out, err = capsys.readouterr()
    told = [line for line in err.splitlines() if line.startswith("error")]
    assert len(out.splitlines()) == 70 == len(table.read_text().splitlines()) - 1
    assert len(told) == 1 and told[0].startswith(
        "error[data] 2 of 72 files have no pre"
    )
    for part in ("broken.png: ", "large.bmp: image is 12x20, the net takes 8x8; --res"):
        assert f"{pictures}/{part}" in told[0]
    assert run_predict(folder, pictures / "large.bmp", "--resize") == 0
    red = Image.new("RGB", (8, 8), "red")
    best = load(folder).predict(red)[0].argmax()
    assert capsys.readouterr().out.split()[1] == str(best)


@pytest.mark.parametrize(
    "arguments, code, complaint",
    [
        (["absent.png"], 3, "absent.png: is not there"),
        (["."], 3, ".: holds no image"),
        (["a.png", "--out", "b.txt"], 2, "b.txt: is written as CSV"),
        (["a.png", "--out", "no/b.csv"], 2, "no is no folder"),
        (["a.png", "--top", "0"], 2, "--top=0: must be at least 1"),
    ],
)
def test_predictions_that_are_refused(
    folder, tmp_path, monkeypatch, capsys, arguments, code, complaint
):
    monkeypatch.chdir(tmp_path)
    assert run_predict(folder, *arguments) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert complaint in line and runs.listing(tmp_path) == {}


def test_details_of_an_evaluation(folder, tmp_path, capsys):
    place = tmp_path / "new" / "details"
    command = ["evaluate", "--workdir", str(folder), "--details", str(place)]
    assert evaluate.main(command) == 0
    row = json.loads(capsys.readouterr().out)
    files = {name.rpartition("/")[2] for name in runs.listing(place)}
    assert files == {
        "predictions.csv", "classes.csv", "classes.md", "confusion.csv",
        "confusion.png",
    }  # fmt: skip
    tables = {}
    for name in ("predictions", "classes", "confusion"):
        with open(place / f"{name}.csv", newline="") as file:
            tables[name] = list(csv.DictReader(file))
    found = tables["predictions"]
    assert len(found) == row["n"] == 360 == len({r["example"] for r in found})
    pairs = Counter((r["label"], r["class"]) for r in found)
    wrong = sum(n for (label, other), n in pairs.items() if label != other)
    assert 100 * wrong / 360 == pytest.approx(row["top1_err"])
    for line in tables["confusion"]:
        counts = {other: int(line[f"as {other}"]) for other in "0123456789"}
        assert counts == {other: pairs[line["class"], other] for other in counts}
    for line in tables["classes"]:
        label = line["class"]
        mistaken = {other: pairs[label, other] for other in "0123456789"}
        right, n = mistaken.pop(label), sum(mistaken.values()) + pairs[label, label]
        assert int(line["n"]) == n
        assert float(line["error_percent"]) == pytest.approx(100 * (n - right) / n)
        if line["taken_for"]:
            assert mistaken[line["taken_for"]] == max(mistaken.values())
    assert f"{wrong} of 360 examples" in (place / "classes.md").read_text()
