"""Prepared folders to checked examples; damage is an error that names its place."""

import dataclasses
import os
import pickle
import re
import subprocess
import sys
import zlib

import numpy as np
import pytest
import tinyset
from PIL import Image

from resnet_jax.config.datasets import DATASETS
from resnet_jax.data.sources import digits
from resnet_jax.data.sources.source import Source, to_arrays
from resnet_jax.data.sources.splits import open_splits
from resnet_jax.errors import ConfigError, DataError, StorageError


@pytest.fixture
def tiny(tmp_path):
    """A folder with 40 train and 12 test images, and what was put into it."""
    examples = {"train": tinyset.pairs(40), "test": tinyset.pairs(12, seed=1)}
    return tinyset.prepare(tmp_path, examples=examples), examples


def opened(folder, **kwargs):
    return open_splits("tiny", directory=folder.parents[1], **kwargs)


def test_examples_come_back_as_they_were_stored(tiny):
    folder, examples = tiny
    for split, source in opened(folder).items():
        arrays = to_arrays(source)
        assert arrays["image"].dtype == np.uint8
        assert arrays["label"].dtype == np.int32
        assert tinyset.rows(arrays) == {(x.tobytes(), y) for x, y in examples[split]}
        for i in (0, len(source) - 1):
            assert (source[i]["image"] == arrays["image"][i]).all()
            assert source[i]["label"] == arrays["label"][i]
        with pytest.raises(IndexError):
            source[len(source)]


def test_a_source_says_what_it_is_and_travels_to_workers(tiny):
    source = opened(tiny[0])["test"]
    assert isinstance(source, Source)
    assert re.fullmatch(r"tiny:1\.0\.0:test:12:[0-9a-f]{16}", source.fingerprint)
    assert (source.num_classes, source.image_shape) == (10, (8, 8, 3))
    again = pickle.loads(pickle.dumps(source))
    assert (again[5]["image"] == source[5]["image"]).all()


def test_progress_counts_to_the_end(tiny):
    seen = []
    source = opened(tiny[0])["train"]
    to_arrays(source, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (40, 40)


def test_split_takes_the_first_and_the_last_records(tiny):
    full = to_arrays(opened(tiny[0])["train"])
    parts = opened(tiny[0], split="30/8")
    train, val = (to_arrays(parts[key]) for key in ("train", "val"))
    assert (train["image"] == full["image"][:30]).all()
    assert (val["image"] == full["image"][-8:]).all()
    assert parts["val"].fingerprint.startswith("tiny:1.0.0:val:8:")
    assert parts["val"].where(1).startswith("train[33] in ")


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ("35/8", r"data.split='35/8': asks for 35 \+ 8 of the 40"),
        ("1k/5", "asks for 1000"),
        ("0/5", "asks for 0"),
        ("half", "must be 'full' or like '45k/5k'"),
    ],
)
def test_impossible_splits_are_refused(tiny, split, message):
    with pytest.raises(ConfigError, match=message):
        opened(tiny[0], split=split)


def test_validation_is_the_test_set_where_there_is_no_other(tmp_path):
    examples = {"train": tinyset.pairs(4), "validation": tinyset.pairs(3, seed=1)}
    folder = tinyset.prepare(tmp_path, examples=examples)
    assert opened(folder)["test"].fingerprint.startswith("tiny:1.0.0:test:3:")


def test_a_set_without_a_test_split_is_refused(tmp_path):
    folder = tinyset.prepare(tmp_path, examples={"train": tinyset.pairs(4)})
    told = "has no split 'test' or 'validation', only train; .* data.test_split"
    with pytest.raises(DataError, match=told):
        opened(folder)


def test_the_newest_version_is_read_unless_one_is_named(tiny):
    folder, _ = tiny
    newer = folder.with_name("1.10.0")
    folder.rename(newer)
    tinyset.edit(newer, lambda info: info.update(version="1.10.0"))
    older = tinyset.prepare(
        folder.parents[1], examples={s: tinyset.pairs(3) for s in ("train", "test")}
    )
    older.rename(older.with_name("1.9.0"))
    tinyset.edit(older.with_name("1.9.0"), lambda info: info.update(version="1.9.0"))
    folder.with_name("2.0.0.incomplete7A").mkdir()
    assert opened(folder)["train"].fingerprint.startswith("tiny:1.10.0:train:40:")
    named = open_splits("tiny:1.9.0", directory=folder.parents[1])
    assert named["train"].fingerprint.startswith("tiny:1.9.0:train:3:")


def test_what_is_not_prepared_is_one_line(tiny, tmp_path):
    with pytest.raises(
        DataError, match=r"'mnist': not prepared in .*there: tiny.*tfds"
    ):
        open_splits("mnist", directory=tmp_path)
    with pytest.raises(ConfigError, match="must be NAME"):
        open_splits("../tiny", directory=tmp_path)


def test_the_folder_is_tfds_data_dir_by_default(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    assert len(open_splits("tiny")["train"]) == 40


# Damage: reliability of what lies on disk


def shard(folder, split="train"):
    return next(folder.glob(f"tiny-{split}.array_record-*"))


def test_no_flipped_bit_is_silent(tiny):
    folder, _ = tiny
    path, whole = shard(folder), to_arrays(opened(folder)["train"])
    data = path.read_bytes()
    caught = 0
    filled = np.flatnonzero(np.frombuffer(data, np.uint8))  # the rest is padding
    for position in filled[:: len(filled) // 30]:
        flipped = bytearray(data)
        flipped[position] ^= 1 << (position % 8)
        path.write_bytes(flipped)
        try:
            arrays = to_arrays(opened(folder)["train"])
        except DataError as error:
            assert "tiny" in str(error) and "\n" not in str(error)
            caught += 1
        else:
            assert (arrays["image"] == whole["image"]).all()
            assert (arrays["label"] == whole["label"]).all()
    assert caught >= 20


def test_truncated_and_missing_shards(tiny):
    folder, _ = tiny
    path = shard(folder)
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(DataError, match=r"tiny.*(damaged|cannot be read)"):
        to_arrays(opened(folder)["train"])
    path.unlink()
    with pytest.raises(DataError, match=r"tiny.*(damaged|cannot be read)"):
        to_arrays(opened(folder)["train"])


@pytest.mark.parametrize("file", ["dataset_info.json", "features.json"])
def test_damaged_metadata(tiny, file):
    folder, _ = tiny
    (folder / file).write_text('{"name": "ti')
    with pytest.raises(DataError, match=r"1\.0\.0: damaged or incomplete"):
        opened(folder)


@pytest.mark.parametrize("damage", ["removed", "a folder", "a link to nowhere"])
def test_own_data_without_their_metadata_are_damaged(tmp_path, damage):
    """A data set that is prepared on first use is not prepared over its own folder."""
    file = tmp_path / "digits" / "1.0.0" / "dataset_info.json"
    file.parent.mkdir(parents=True)
    if damage == "a folder":
        file.mkdir()
    elif damage == "a link to nowhere":
        file.symlink_to("nowhere")
    with pytest.raises(DataError, match=r"1\.0\.0: damaged or incomplete \(FileNot"):
        open_splits("digits", directory=tmp_path)
    assert os.listdir(tmp_path) == ["digits"]


WIDE = np.zeros((8, 9, 3), np.uint8)
GOOD = tinyset.images(1)[0]


@pytest.mark.parametrize(
    ("image", "label", "message"),
    [
        (GOOD, -1, r"data.num_classes=10: label -1 at train\[\d\] in .*must be 0\.\.9"),
        (WIDE, 1, r"train\[\d\] in .*undeclared image .*is 8x9, declared as 8x8"),
        (b"II*\0", 1, r"train\[\d\] in .*unsupported image .*is a TIFF file"),
        (tinyset.encoded(GOOD)[:60], 1, r"train\[\d\] in .*damaged image"),
        (b"<html>not found</html>", 1, r"train\[\d\] in .*damaged image"),
        (b"", 1, r"train\[\d\] in .*damaged image"),
    ],
)
def test_a_bad_example_is_named(tmp_path, image, label, message):
    train = [*tinyset.pairs(3), (image, label)]
    folder = tinyset.prepare(
        tmp_path, examples={"train": train, "test": tinyset.pairs(2)}
    )
    with pytest.raises(DataError, match=message):
        to_arrays(opened(folder)["train"])


def test_a_label_equal_to_the_number_of_classes(tiny):
    folder, _ = tiny
    tinyset.edit(
        folder,
        lambda f: f["featuresDict"]["features"]["label"]["classLabel"].update(
            numClasses="9"
        ),
        file="features.json",
    )
    with pytest.raises(DataError, match=r"data.num_classes=9: label 9 at train\[\d+\]"):
        to_arrays(opened(folder)["train"])


def test_a_decompression_bomb_is_not_unpacked(tmp_path):
    data = bytearray(tinyset.encoded(GOOD))
    size = (20_000).to_bytes(4, "big")
    data[16:24] = size + size  # width and height of the PNG header
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    pairs = [(bytes(data), 0)]
    folder = tinyset.prepare(
        tmp_path, examples={"train": pairs, "test": pairs}, shape=(None, None, 3)
    )
    with pytest.raises(
        DataError, match=r"unsupported image \(image is too large.*bomb"
    ):
        opened(folder)["train"][0]


def test_without_a_declared_size_grey_becomes_colour(tmp_path):
    pairs = [(np.full((5, 6), 7, np.uint8), 0)]
    folder = tinyset.prepare(
        tmp_path, examples={"train": pairs, "test": pairs}, shape=(None, None, 3)
    )
    source = opened(folder)["train"]
    assert (source[0]["image"] == np.full((5, 6, 3), 7)).all()
    with pytest.raises(ConfigError, match=r"data.feed='resident'.*differ in size"):
        to_arrays(source)


def test_the_class_count_of_the_source_is_what_labels_are_checked_against(tiny):
    source = opened(tiny[0])["test"]
    two = dataclasses.replace(source.features, classes=("a", "b"))
    source = dataclasses.replace(source, features=two)
    with pytest.raises(DataError, match=r"labels must be 0..1"):
        to_arrays(source)


# Digits


def test_digits_hold_scikit_learns_images(tmp_path):
    found = open_splits("digits", directory=tmp_path)
    assert {key: len(source) for key, source in found.items()} == {
        "train": 1437,
        "test": 360,
    }
    arrays = {key: to_arrays(source) for key, source in found.items()}
    assert set(np.unique(arrays["train"]["image"])) == set(
        np.rint(np.arange(17) * 255 / 16).astype(int)
    )
    images, labels = digits.arrays()
    stored = tinyset.rows(arrays["train"]) | tinyset.rows(arrays["test"])
    assert stored == tinyset.rows({"image": images, "label": labels})
    # Every class gives a fifth of its images, within one.
    share = np.bincount(arrays["test"]["label"]) - np.bincount(labels) / 5
    assert (np.abs(share) < 1).all()


def test_halves_are_the_digits_of_five_classes(tmp_path):
    whole = open_splits("digits", directory=tmp_path)
    for name, first in (("digits_low", 0), ("digits_high", 5)):
        parts = open_splits(name, directory=tmp_path)
        names = tuple(str(first + label) for label in range(5))
        for split, source in parts.items():
            assert (source.classes, source.num_classes) == (names, 5)
            known, arrays = DATASETS[name], to_arrays(source)
            assert len(source) == getattr(known, split) and source.image_shape == (
                known.image
            )
            every = to_arrays(whole[split])
            own = (every["label"] >= first) & (every["label"] < first + 5)
            wanted = {"image": every["image"][own], "label": every["label"][own]}
            arrays["label"] += first
            assert tinyset.rows(arrays) == tinyset.rows(wanted)


@pytest.mark.process
def test_two_processes_prepare_digits_at_once(tmp_path):
    code = (
        "import sys; from resnet_jax.data.sources import source, splits;"
        "s = splits.open_splits('digits', directory=sys.argv[1]);"
        "print(source.to_arrays(s['train'])['image'].sum())"
    )
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    results = [run.communicate(timeout=60) for run in runs]
    assert [run.returncode for run in runs] == [0, 0], results
    assert results[0][0] == results[1][0], "stdout holds the caller's result alone"
    assert os.listdir(tmp_path / "digits") == ["1.0.0"]


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"data.dir=.*cannot be written"):
        open_splits("digits", directory=tmp_path / "file" / "below")


def test_a_png_of_a_digit_is_lossless():
    images, _ = digits.arrays()
    assert (np.asarray(Image.open(digits.png(images[0]))) == images[0]).all()
