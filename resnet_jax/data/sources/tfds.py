"""A tfds name and split as a random-access source of checked images, or clips."""

import concurrent.futures
import dataclasses
import os
import pathlib
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from resnet_jax.data import decode
from resnet_jax.data.sources import folders
from resnet_jax.data.sources.records import Records, open_builder, open_records
from resnet_jax.errors import ConfigError, DataError

# The labels of ImageNet's test images were never published; tfds stores -1.
TESTED_ON = {"imagenet2012": "validation"}
CHUNK = 256  # records read at once: few calls, and a progress bar that moves

# Height, width and channels of images, or frames and those of clips
ImageShape = tuple[int | None, ...]
Progress = Callable[[int, int], object]


@dataclasses.dataclass(frozen=True)
class Source:
    """One split: `source[i]` is {"image": uint8 [*t h w c], "label": int}.

    The image, or clip, has the declared shape and the label lies in 0..num_classes-1,
    or the item raises DataError. Records `start` to `start + length` of a tfds split.
    """

    name: str
    version: str
    split: str
    num_classes: int
    image_shape: ImageShape
    description: str
    records: Records
    start: int
    length: int
    keys: tuple[str, str] = ("image", "label")

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self._example(index, self.records.read(self._position(index)))

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        """Many examples at once, for readers that are faster so."""
        indices = list(indices)
        records = self.records.read_many([self._position(i) for i in indices])
        return [self._example(*pair) for pair in zip(indices, records, strict=True)]

    @property
    def fingerprint(self) -> str:
        """What a run was fed, for its config and checkpoints."""
        return f"{self.name}:{self.version}:{self.split}:{len(self)}"

    def where(self, index: int) -> str:
        """The place of an example on disk, for messages."""
        return self.records.where(self._position(index))

    def _position(self, index) -> int:
        if not 0 <= index < self.length:
            raise IndexError(f"{self.split}[{index}] of {self.length} examples")
        return self.start + int(index)

    def _example(self, index, record):
        try:
            frames, label = _parse(record, self.keys)
            image = _pixels(frames, shape=self.image_shape)
        # Pillow and protobuf answer damaged bytes with many kinds of exception.
        except Exception as error:
            cause = folders.first_line(error)
            raise DataError(
                f"{self.where(index)}: damaged image ({cause});"
                " delete the folder and prepare the data set again"
            ) from error
        if not 0 <= label < self.num_classes:
            raise DataError(
                f"data.num_classes={self.num_classes}: label {label} at"
                f" {self.where(index)}; labels must be 0..{self.num_classes - 1}"
            )
        return {"image": image, "label": label}


def _parse(record, keys):
    """The bytes of each frame and the label of a serialised example."""
    from tensorflow_datasets.proto import tf_example_pb2

    feature = tf_example_pb2.Example.FromString(record).features.feature
    return feature[keys[0]].bytes_list.value, feature[keys[1]].int64_list.value[0]


def _pixels(frames, *, shape):
    """An image, or a clip of as many frames as declared."""
    if len(shape) == 3:
        return decode.pixels(frames[0], shape=shape)
    if len(frames) != shape[0]:
        raise ValueError(f"clip has {len(frames)} frames, must have {shape[0]}")
    return np.stack([decode.pixels(frame, shape=shape[1:]) for frame in frames])


def open_sources(
    name: str, *, directory: str | os.PathLike | None = None, split: str = "full"
) -> dict[str, Source]:
    """The splits "train", "test" and, where `split` asks for one, "val".

    `name` is NAME[/CONFIG][:VERSION] of a tfds image classification set. `split` is
    "full", or "N/M" such as "45k/5k": the first N training records to train on, the
    last M to validate on. Digits, still or moving, are prepared on first use; so are
    CIFAR-10 and -100, from the original archives. All others must lie prepared in
    `directory`.
    """
    builder = open_builder(_prepared(name, directory=folders.root(directory)))
    test = TESTED_ON.get(builder.name) or next(
        (s for s in ("test", "validation") if s in builder.info.splits), "test"
    )
    missing = {"train", test} - set(builder.info.splits)
    if missing:
        raise DataError(
            f"data.name={name!r}: has no split {sorted(missing)[0]!r}, only"
            f" {', '.join(builder.info.splits)}; needs train and test or validation"
        )
    full = _source(builder, "train")
    sources = {**_divided(full, split), "test": _source(builder, test)}
    return {
        key: dataclasses.replace(source, split=key) for key, source in sources.items()
    }


def _divided(train, split) -> dict[str, Source]:
    """The first N and the last M records of the training split."""
    if split == "full":
        return {"train": train}
    match = re.fullmatch(r"(\d+k?)/(\d+k?)", split)
    if match is None:
        raise ConfigError(f"data.split={split!r}: must be 'full' or like '45k/5k'")
    first, last = (int(n.replace("k", "000")) for n in match.groups())
    if not (first and last) or first + last > len(train):
        raise ConfigError(
            f"data.split={split!r}: asks for {first} + {last} of the {len(train)}"
            f" training examples of {train.name}"
        )
    return {
        "train": dataclasses.replace(train, length=first),
        "val": dataclasses.replace(train, start=len(train) - last, length=last),
    }


def _prepared(name, *, directory) -> pathlib.Path:
    """The prepared folder; our own data sets are prepared where it is missing."""
    if folder := folders.find(name, directory=directory):
        return folder
    if name not in ("digits", "moving_digits", "cifar10", "cifar100"):
        there = sorted(p.parts[-3] for p in directory.glob("*/*/dataset_info.json"))
        raise DataError(
            f"data.name={name!r}: not prepared in {directory} (there:"
            f" {', '.join(there) or 'nothing'}); where TensorFlow is installed,"
            f" run `tfds build {name} --file_format=array_record --data_dir=DIR`,"
            " and set data.dir to DIR"
        )
    with folders.locked(name, directory=directory):
        if folder := folders.find(name, directory=directory):
            return folder  # another process was faster
        if name == "digits":
            from resnet_jax.data.sources import digits

            return folders.prepare(digits.Digits(data_dir=directory))
        if name == "moving_digits":
            from resnet_jax.data.sources import clips

            return folders.prepare(clips.MovingDigits(data_dir=directory))
        from resnet_jax.data.sources import cifar

        return cifar.prepare(name, directory=directory)


def _source(builder, split) -> Source:
    """A whole tfds split; refuses what is not classification of images or clips."""
    info = builder.info
    keys = _keys(info)
    channels = info.features[keys[0]].shape[-1]
    if channels not in decode.MODES:
        raise DataError(f"{info.name}: images have {channels} channels, not 1, 3 or 4")
    records = open_records(builder, split)
    return Source(
        name=info.full_name.split(":")[0].rsplit("/", 1)[0],
        version=str(info.version),
        split=split,
        num_classes=info.features[keys[1]].num_classes,
        image_shape=tuple(info.features[keys[0]].shape),
        description=info.description,
        records=records,
        start=0,
        length=sum(records.lengths),
        keys=keys,
    )


def _keys(info) -> tuple[str, str]:
    """The names of the image and of the label among the features."""
    from tensorflow_datasets import features

    keys = info.supervised_keys or ("image", "label")
    named = len(keys) == 2 and all(key in info.features for key in keys)
    if not (
        named
        and _is_image(info.features[keys[0]])
        and isinstance(info.features[keys[1]], features.ClassLabel)
    ):
        raise DataError(
            f"data.name={info.name!r}: no image classification data set; its features"
            f" are {', '.join(info.features)}"
        )
    return keys


def _is_image(feature) -> bool:
    """Whether it is an image, or a clip: a sequence of so many images."""
    from tensorflow_datasets import features

    if isinstance(feature, features.Sequence) and feature.shape[0]:
        feature = feature.feature
    return isinstance(feature, features.Image)


def to_arrays(
    source: Source, *, progress: Progress | None = None
) -> dict[str, np.ndarray]:
    """The whole split: "image" uint8 [n *t h w c] and "label" int32 [n].

    Every image and label is checked. `progress(done, total)` is called as it goes.
    """
    if None in source.image_shape:
        raise ConfigError(
            f"data.feed='resident': the images of {source.name} differ in size;"
            " use 'streaming', which crops them"
        )
    images = np.empty((len(source), *source.image_shape), np.uint8)
    labels = np.empty(len(source), np.int32)

    def fill(start):
        chunk = range(start, min(start + CHUNK, len(source)))
        for i, example in zip(chunk, source.__getitems__(chunk), strict=True):
            images[i], labels[i] = example["image"], example["label"]
        return chunk.stop

    pool = concurrent.futures.ThreadPoolExecutor(os.cpu_count())
    try:
        for done in pool.map(fill, range(0, len(source), CHUNK)):
            if progress is not None:
                progress(done, len(source))
    finally:
        pool.shutdown(cancel_futures=True)
    return {"image": images, "label": labels}
