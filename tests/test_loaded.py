"""Runs that are loaded from Python predict what `evaluate` scores."""

import json

import jax
import numpy as np
import pytest
import runs
import tinyset
from PIL import Image

from resnet_jax import evaluate
from resnet_jax.data.sources.digits import arrays
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
