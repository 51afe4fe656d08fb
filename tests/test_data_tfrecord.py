"""Folders prepared as TFRecord, read without TensorFlow."""

import numpy as np
import pytest
import tinyset

from resnet_jax.data.sources.source import to_arrays
from resnet_jax.data.sources.splits import open_splits
from resnet_jax.data.sources.tfrecord import FOOTER, HEADER, TFRecords, masked_crc
from resnet_jax.errors import DataError

# Two records, b"1" and b"1 1", as TensorFlow's own writer framed them.
WRITTEN = (
    b"\x01\x00\x00\x00\x00\x00\x00\x00\x01u\xdeA1\xc3\x0cJ\xd6"
    b"\x03\x00\x00\x00\x00\x00\x00\x00\xb0\x99I\x0e1 1Y\xbe\xd8\xde"
)


@pytest.fixture
def tiny(tmp_path):
    """A set in two formats: its array_record arrays, and a TFRecord folder of it."""
    examples = {"train": tinyset.pairs(20), "test": tinyset.pairs(6, seed=1)}
    folder = tinyset.prepare(tmp_path, examples=examples)
    before = opened(folder)
    arrays = {key: to_arrays(source) for key, source in before.items()}
    for key, source in before.items():
        records = [source.records.read(i) for i in range(len(source))]
        cut = len(records) // 3
        write(folder, key, [records[:cut], records[cut:]])
        next(folder.glob(f"tiny-{key}.array_record-*")).unlink()
    tinyset.edit(folder, as_tfrecord)
    return folder, arrays


def as_tfrecord(info):
    info["fileFormat"] = "tfrecord"
    for split in info["splits"]:
        n = int(split["shardLengths"][0])
        split["shardLengths"] = [str(n // 3), str(n - n // 3)]


def write(folder, split, shards):
    for i, records in enumerate(shards):
        path = folder / f"tiny-{split}.tfrecord-{i:05d}-of-{len(shards):05d}"
        path.write_bytes(b"".join(frame(record) for record in records))


def frame(data):
    """A record with its header and footer."""
    length = masked_crc(len(data).to_bytes(8, "little"))
    return HEADER.pack(len(data), length) + data + FOOTER.pack(masked_crc(data))


def opened(folder):
    return open_splits("tiny", directory=folder.parents[1])


def second_shard(folder):
    return folder / "tiny-train.tfrecord-00001-of-00002"


def test_framing_is_that_of_tensorflow(tmp_path):
    assert frame(b"1") + frame(b"1 1") == WRITTEN
    path = tmp_path / "written.tfrecord"
    path.write_bytes(WRITTEN)
    records = TFRecords((str(path),), (2,))
    assert records.__getitems__([1, 0]) == [b"1 1", b"1"]


def test_a_tfrecord_folder_holds_the_same_examples(tiny):
    folder, arrays = tiny
    for key, source in opened(folder).items():
        again = to_arrays(source)
        assert (again["image"] == arrays[key]["image"]).all()
        assert (again["label"] == arrays[key]["label"]).all()
        assert source.where(len(source) - 1).endswith("00001-of-00002")


def test_no_flipped_bit_is_silent(tiny):
    folder, _ = tiny
    path = second_shard(folder)
    data = path.read_bytes()
    for position in np.linspace(0, len(data) - 1, 40).astype(int):
        flipped = bytearray(data)
        flipped[position] ^= 1 << (position % 8)
        path.write_bytes(flipped)
        with pytest.raises(DataError, match=r"train\[\d+\] in .*tiny.*00001-of-00002"):
            to_arrays(opened(folder)["train"])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[:-3], "file ends inside a record"),
        (lambda data: data + b"\0\0\0", "file ends inside a header"),
        (lambda data: data + frame(b"more"), r"15 records, .* says 14"),
    ],
)
def test_shards_of_the_wrong_length(tiny, damage, message):
    folder, _ = tiny
    path = second_shard(folder)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=rf"train\[\d+\] in .*{message}"):
        to_arrays(opened(folder)["train"])


def test_an_empty_and_a_missing_shard(tiny):
    folder, _ = tiny
    path = second_shard(folder)
    path.write_bytes(b"")
    place = f"{path}: shard of split 'train'"
    with pytest.raises(DataError, match=f"^{place} is empty; restore the file, or"):
        opened(folder)
    path.unlink()
    with pytest.raises(DataError, match=f"^{place} cannot be read .No such file"):
        opened(folder)


def test_other_formats_get_the_command_that_converts(tiny):
    folder, _ = tiny
    tinyset.edit(folder, lambda info: info.update(fileFormat="riegeli"))
    with pytest.raises(
        DataError, match=r"riegeli cannot be read.*tfds build tiny --file"
    ):
        opened(folder)
