"""Training, validation and test splits of a data set, by its name."""

import dataclasses
import functools
import os
import pathlib
import re
from collections.abc import Callable

from resnet_jax.data.sources import folders
from resnet_jax.data.sources.records import open_builder
from resnet_jax.data.sources.source import Source
from resnet_jax.data.sources.tfds import TfdsSource, open_split
from resnet_jax.errors import ConfigError, DataError

# The labels of ImageNet's test images were never published; tfds stores -1.
TEST_SPLIT = {"imagenet2012": "validation"}


def open_splits(
    name: str, *, directory: str | os.PathLike | None = None, split: str = "full"
) -> dict[str, Source]:
    """Open the splits "train", "test" and, where `split` asks for one, "val".

    `name` is NAME[/CONFIG][:VERSION] of a tfds image classification set. `split` is
    "full", or "N/M" such as "45k/5k": the first N training records to train on, the
    last M to validate on. Digits, still or moving, and CIFAR-10 and -100, from the
    original archives, are prepared on first use. All others must lie prepared in
    `directory`.
    """
    builder = open_builder(_prepared(name, directory=folders.root(directory)))
    test = TEST_SPLIT.get(builder.name) or next(
        (s for s in ("test", "validation") if s in builder.info.splits), "test"
    )
    missing = {"train", test} - set(builder.info.splits)
    if missing:
        raise DataError(
            f"data.name={name!r}: has no split {sorted(missing)[0]!r}, only"
            f" {', '.join(builder.info.splits)}; needs train and test or validation"
        )
    found = _divided(open_split(builder, "train"), split)
    found["test"] = open_split(builder, test)
    return {
        key: dataclasses.replace(source, split=key) for key, source in found.items()
    }


def _divided(train: TfdsSource, split: str) -> dict[str, TfdsSource]:
    """Divide the training split: first N records "train", last M "val"."""
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


def _prepared(name: str, *, directory: pathlib.Path) -> pathlib.Path:
    """Find the prepared folder; prepare a data set of this package if it is missing."""
    if folder := folders.find(name, directory=directory):
        return folder
    if name not in OWN:
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
        return OWN[name](directory)


def _digits(directory: pathlib.Path) -> pathlib.Path:
    from resnet_jax.data.sources import digits

    return folders.prepare(digits.Digits(data_dir=directory))


def _moving_digits(directory: pathlib.Path) -> pathlib.Path:
    from resnet_jax.data.sources import clips

    return folders.prepare(clips.MovingDigits(data_dir=directory))


def _cifar(name: str, directory: pathlib.Path) -> pathlib.Path:
    from resnet_jax.data.sources import cifar

    return cifar.prepare(name, directory=directory)


# Data sets that are prepared on first use, each by a module of this package.
OWN: dict[str, Callable[[pathlib.Path], pathlib.Path]] = {
    "digits": _digits,
    "moving_digits": _moving_digits,
    "cifar10": functools.partial(_cifar, "cifar10"),
    "cifar100": functools.partial(_cifar, "cifar100"),
}
