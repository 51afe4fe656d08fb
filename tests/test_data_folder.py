"""Image files of one's own: folders of classes, and lists in CSV files."""

import csv
import io
import shutil
from collections import Counter

import numpy as np
import pytest
from PIL import Image
from test_data_opening import refused_before_it_begins

from resnet_jax.config.schema import Config, DataConfig
from resnet_jax.data import crops
from resnet_jax.data.pipeline import open_pipeline
from resnet_jax.data.sources import image_folder
from resnet_jax.data.sources.image_folder import open_folder
from resnet_jax.errors import ConfigError, DataError

KINDS = {"cats": "jpg", "dogs": "PNG", "owls": "webp"}


def picture(seed, size=None):
    """A picture of random pixels, of odd sides unless a size is named."""
    rng = np.random.default_rng(seed)
    height, width = size or rng.integers(11, 60, 2)
    pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def fill(folder, *, each=10, size=None, names=KINDS, first=0):
    """Folders of classes, each of another format."""
    for number, (name, suffix) in enumerate(names.items()):
        (folder / name).mkdir(parents=True)
        for i in range(each):
            image = picture(first + 100 * number + i, size)
            image.save(folder / name / f"{i}.{suffix}")
    return folder


@pytest.fixture
def photos(tmp_path):
    return fill(tmp_path / "photos")


def names(source):
    """Paths below the folder, in order."""
    return [source.where(i).split("photos/")[1] for i in range(len(source))]


def told(folder, tmp_path, **fields):
    """The one line of a run that is refused, which leaves no folder."""
    fields = {"augment": "imagenet_aspect", "batch_size": 2} | fields
    data = DataConfig(name="folder", dir=str(folder), **fields)
    return refused_before_it_begins(data, tmp_path)


# Folders


def test_folders_are_classes(photos):
    (photos / "notes.txt").write_text("no image")
    (photos / "cats" / ".hidden.jpg").write_text("no image")
    shutil.copytree(photos / "cats", photos / "dogs" / "deeper")
    found = open_folder(photos)
    assert found.keys() == {"train", "test"}
    train, test = found["train"], found["test"]
    assert train.classes == ("cats", "dogs", "owls") and train.num_classes == 3
    paths = names(train) + names(test)
    assert len(paths) == len(set(paths)) == 40
    for source in (train, test):
        for i, path in enumerate(names(source)):
            example = source[i]
            assert path.startswith(source.classes[example["label"]])
            with Image.open(source.where(i)) as image:
                expected = np.asarray(image.convert("RGB"))
            np.testing.assert_array_equal(example["image"], expected)


def test_a_fifth_of_every_class_is_held_out(tmp_path):
    photos = fill(tmp_path / "photos", each=20, size=(4, 4))
    found = open_folder(photos)
    labels = {k: Counter(s.images.labels) for k, s in found.items()}
    assert labels == {"train": dict.fromkeys(range(3), 16), "test": {0: 4, 1: 4, 2: 4}}
    order = [int(path.split("/")[1].split(".")[0]) for path in names(found["test"])]
    assert sorted(order) != order, "no order of names"
    shutil.copytree(photos, tmp_path / "other" / "photos")
    again = open_folder(tmp_path / "other" / "photos")
    assert [names(s) for s in again.values()] == [names(s) for s in found.values()]


def test_shares_of_ones_own(photos):
    found = open_folder(photos, split="15/6", test_split="train[-3:]")
    assert {key: len(source) for key, source in found.items()} == {
        "train": 15, "val": 6, "test": 3,
    }  # fmt: skip
    paths = [path for source in found.values() for path in names(source)]
    assert len(set(paths)) == len(paths)
    assert [Counter(s.images.labels)[0] for s in found.values()] == [5, 2, 1]


@pytest.mark.parametrize(
    ("folders", "lengths"),
    [
        (("train", "val", "test"), {"train": 9, "val": 6, "test": 3}),
        (("train", "test"), {"train": 9, "test": 3}),
        (("train", "validation"), {"train": 9, "test": 6}),
    ],
)
def test_folders_of_splits(tmp_path, folders, lengths):
    sizes = {"train": 3, "val": 2, "validation": 2, "test": 1}
    for number, name in enumerate(folders):
        fill(tmp_path / "photos" / name, each=sizes[name], first=1000 * number)
    found = open_folder(tmp_path / "photos")
    assert {key: len(source) for key, source in found.items()} == lengths
    assert {names(s)[0].split("/")[0] for s in found.values()} == {*folders}
    assert all(s.classes == ("cats", "dogs", "owls") for s in found.values())


def test_equal_images_are_resident_and_others_are_cropped(tmp_path):
    fill(tmp_path / "equal", size=(12, 9))
    fill(tmp_path / "odd")

    def pipeline(name, augment):
        data = DataConfig(name="folder", dir=str(tmp_path / name), augment=augment)
        return open_pipeline(Config(data=data))

    equal = pipeline("equal", "none")
    assert equal.resident and equal.resident["train"]["image"].shape == (24, 12, 9, 3)
    odd = pipeline("odd", "imagenet_aspect")
    assert odd.resident is None and odd.image_shape == (224, 224, 3)
    (batch,) = odd.eval_batches("test")
    source = odd.splits["test"]
    expected = crops.preset("imagenet_aspect").eval(source[0]["image"])
    np.testing.assert_array_equal(batch["image"][0], expected)
    np.testing.assert_array_equal(batch["label"][:6], source.images.labels)
    with pytest.raises(ConfigError, match="differ in size; use 'imagenet_scale'"):
        pipeline("odd", "none")


def test_grey_images_have_one_channel(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for i in range(5):
            image = picture(i, (6, 7)).convert("L")
            image.save(tmp_path / name / f"{i}.tif")
    found = open_folder(tmp_path)["train"]
    assert found.image_shape == (6, 7, 1) and found[0]["image"].shape == (6, 7, 1)
    picture(9, (6, 7)).save(tmp_path / "b" / "colour.bmp")
    assert open_folder(tmp_path)["train"].image_shape == (6, 7, 3)


def test_other_pixels_labels_or_names_are_other_data(photos):
    known = open_folder(photos)["train"].fingerprint
    assert open_folder(photos)["train"].fingerprint == known
    picture(7).save(photos / "cats" / "0.jpg")
    changed = open_folder(photos)["train"].fingerprint
    (photos / "cats").rename(photos / "lynxes")
    renamed = open_folder(photos)["train"].fingerprint
    assert len({known, changed, renamed}) == 3


# CSV files


def listing(path, rows, columns=("path", "label", "split")):
    with open(path, "w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file).writerows([columns, *rows])
    return path


def test_a_csv_file_names_images(photos, tmp_path):
    images = sorted(photos.glob("*/*"))
    rows = [
        (p.relative_to(tmp_path), i // 3 * 2 % 12, ("train", "valid", "test")[i % 3])
        for i, p in enumerate(images)
    ]
    path = listing(tmp_path / "all.csv", rows)
    found = open_folder(path)
    assert {key: len(source) for key, source in found.items()} == {
        "train": 10, "val": 10, "test": 10,
    }  # fmt: skip
    assert found["train"].classes == ("0", "2", "4", "6", "8", "10")
    of = {str(p): str(label) for p, label, _ in rows}
    for source in found.values():
        for i in range(len(source)):
            label = source.classes[source[i]["label"]]
            assert of[source.where(i).removeprefix(f"{tmp_path}/")] == label


def test_a_csv_file_without_splits(photos, tmp_path):
    rows = [(p, p.parent.name) for p in sorted(photos.glob("*/*"))]
    path = listing(tmp_path / "all.csv", rows, ("path", "label"))
    found = open_folder(path)
    assert {key: len(source) for key, source in found.items()} == {
        "train": 24, "test": 6,
    }  # fmt: skip
    assert found["test"].classes == ("cats", "dogs", "owls")


# Refusals


def truncated(path, keep=0.5):
    path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])


def animated(path):
    first, second = (picture(i, (9, 9)) for i in range(2))
    first.save(path, save_all=True, append_images=[second])


def test_all_problems_are_named_before_a_run_begins(photos, tmp_path):
    (photos / "empty").mkdir()
    truncated(photos / "cats" / "3.jpg")
    truncated(photos / "dogs" / "4.PNG", 0.9)
    (photos / "owls" / "5.webp").write_text("<html>not found</html>")
    (photos / "owls" / "6.webp").write_bytes(b"")
    animated(photos / "cats" / "moving.gif")
    line = told(photos, tmp_path)
    assert line.startswith(f"data.dir={photos}: empty/ holds no image; ")
    for path in ("cats/3.jpg", "dogs/4.PNG", "owls/5.webp", "owls/6.webp"):
        assert f"{path}: damaged image (" in line
    assert "cats/moving.gif: image is an animated GIF of 2 frames" in line
    assert line.count("; ") == 6
    assert line.endswith(
        "; mend or remove what is named, and run the same command again"
    )


def test_many_problems_are_counted(photos, tmp_path, monkeypatch):
    monkeypatch.setattr("resnet_jax.data.sources.image_list.SHOWN", 3)
    for path in photos.glob("cats/*"):
        path.write_text("")
    line = told(photos, tmp_path)
    assert line.count("damaged image") == 3 and "; and 7 more; mend" in line


def test_of_many_images_the_headers_are_read(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(image_folder, "FEW", 20)
    truncated(photos / "cats" / "3.jpg", 0.9)
    (photos / "dogs" / "1.PNG").write_text("no image")
    line = told(photos, tmp_path)
    assert "dogs/1.PNG: damaged" in line and "cats/3.jpg" not in line
    picture(1).save(photos / "dogs" / "1.PNG")
    found = open_folder(photos)
    (source, i), *_ = [
        (s, i) for s in found.values() for i, p in enumerate(names(s)) if "cats/3" in p
    ]
    with pytest.raises(DataError, match=r"cats/3\.jpg: damaged image .*; mend it"):
        source[i]


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda p: shutil.rmtree(p), "is no folder; name a folder of one folder per"),
        (lambda p: [shutil.rmtree(d) for d in p.glob("*")], "holds no training images"),
        (
            lambda p: [shutil.rmtree(p / d) for d in ("cats", "dogs")],
            "there is one class, owls, and two are needed",
        ),
        (lambda p: (p / "cats").rename(p / "train"), "dogs/ stands beside train/"),
        (
            lambda p: [fill(p / "all" / "train"), fill(p / "all" / "training")],
            "two of train/, training/ are one split",
        ),
        (
            lambda p: [fill(p / "all" / "train"), fill(p / "all" / "val" / "x")],
            "class x of val has no training image",
        ),
    ],
)
def test_folders_that_are_no_data_set(photos, tmp_path, prepare, message):
    prepare(photos)
    place = photos / "all" if (photos / "all").exists() else photos
    assert message in told(place, tmp_path)


@pytest.mark.parametrize(
    ("columns", "row", "message"),
    [
        (("file", "label"), (), "has no column 'path', only file, label"),
        (("path", "label"), ("x.png", "1"), "x.png in row 2 is not there"),
        (("path", "label"), ("photos/cats/1.jpg", ""), "row 2 has no label"),
        (("path", "label"), ("", "1"), "row 2 has no path"),
        (
            ("path", "label", "split"),
            ("photos/cats/1.jpg", "1", "dev"),
            "row 2 has split 'dev', must be train, val or test",
        ),
    ],
)
def test_csv_files_that_are_no_data_set(photos, tmp_path, columns, row, message):
    path = listing(tmp_path / "all.csv", [row] if row else [], columns)
    assert message in told(path, tmp_path)


def test_a_path_twice_and_a_file_that_is_no_text(photos, tmp_path):
    rows = [("photos/cats/1.jpg", "1")] * 2
    path = listing(tmp_path / "all.csv", rows, ("path", "label"))
    assert "row 3 names photos/cats/1.jpg, which row 2 named" in told(path, tmp_path)
    path.write_bytes(b"path,label\n\xff\xfe,1\n")
    assert "all.csv: cannot be read ('utf-8' codec" in told(path, tmp_path)


def test_no_folder_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"data.dir=None: names no folder"):
        open_folder(None)


def test_formats_that_run_what_is_in_a_file_are_not_read(photos, tmp_path):
    buffer = io.BytesIO()
    picture(1).save(buffer, "EPS")
    (photos / "cats" / "1.jpg").write_bytes(buffer.getvalue())
    (photos / "cats" / "2.eps").write_bytes(buffer.getvalue())
    line = told(photos, tmp_path)
    assert "cats/1.jpg: damaged image (Unidentified" in line and "2.eps" not in line
