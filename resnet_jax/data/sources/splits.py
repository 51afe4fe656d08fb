"""Training, validation and test splits of a data set, by its name."""

import functools
import itertools
import os
import pathlib
from collections.abc import Callable

from resnet_jax.data.sources import content, folders, image_folder, images
from resnet_jax.data.sources.division import divided
from resnet_jax.data.sources.features import declared
from resnet_jax.data.sources.records import open_builder, open_records
from resnet_jax.data.sources.source import Progress, Source
from resnet_jax.data.sources.tfds import TfdsSource
from resnet_jax.errors import DataError


def open_splits(
    name: str,
    *,
    directory: str | os.PathLike | None = None,
    split: str = "full",
    test_split: str | None = None,
    progress: Progress | None = None,
) -> dict[str, Source]:
    """Open the splits "train", "test" and, where `split` asks for one, "val".

    `name` is NAME[/CONFIG][:VERSION] of a tfds image classification set, or "folder"
    for image files, which `image_folder.open_folder` explains. `split` is
    "full", or "N/M" such as "45k/5k": the first N training records to train on, the
    last M to validate on. `test_split` is a tfds split or a slice of one, by default
    "test", or else "validation". Digits, still or moving, and CIFAR-10 and -100, from
    the original archives, are prepared on first use. All others must lie prepared in
    `directory`. Shards and the records at their ends are checked.
    """
    if name == image_folder.NAME:
        return dict(
            image_folder.open_folder(
                directory, split=split, test_split=test_split, progress=progress
            )
        )
    builder = open_builder(_prepared(name, directory=folders.root(directory)))
    info = builder.info
    features = declared(info)
    parts = divided(info, split=split, test_split=test_split)
    names = dict.fromkeys(part.split for part in parts.values())
    records = {split: open_records(builder, split) for split in names}
    files = itertools.chain.from_iterable(r.files for r in records.values())
    known = content.Content(repr(features), tuple(files))
    found = {
        key: TfdsSource(
            name=info.full_name.split(":")[0].rsplit("/", 1)[0],
            version=str(info.version),
            split=key,
            features=features,
            description=info.description,
            records=records[part.split],
            content=known,
            start=part.start,
            length=part.length,
        )
        for key, part in parts.items()
    }
    for source in found.values():
        source.check()
    return dict(found)


def _prepared(name: str, *, directory: pathlib.Path) -> pathlib.Path:
    """Find the prepared folder; prepare a data set of this package if it is missing."""
    if folder := folders.find(name, directory=directory):
        return folder
    own, _, version = name.partition(":")
    if own not in OWN or version not in ("", VERSIONS.get(own)):
        raise _not_prepared(name, directory)
    file = directory / own / VERSIONS.get(own, "") / "dataset_info.json"
    if own in VERSIONS and os.path.lexists(file.parent) and not file.is_file():
        cause = FileNotFoundError(f"no file {file.name}")
        raise folders.damaged(file.parent, cause)
    with folders.locked(own, directory=directory):
        if folder := folders.find(name, directory=directory):
            return folder  # another process was faster
        return OWN[own](directory)


def _not_prepared(name: str, directory: pathlib.Path) -> DataError:
    """Make the error for a data set that is not there, with the way to it."""
    base, _, version = name.partition(":")
    there = sorted({p.parts[-3] for p in directory.glob("*/*/dataset_info.json")})
    if version and base in OWN:
        way = f"this package prepares {base}:{VERSIONS.get(base)}: name that version"
    elif image := images.first_image(directory, name=base.partition("/")[0]):
        way = (
            f"{image} is of a folder of images: set data.name=folder, and data.dir to"
            " the folder that holds one folder per class"
        )
    else:
        way = (
            "set data.dir to the tfds folder that holds it, or, if tfds has a builder"
            f" {base!r}, run `tfds build {name} --file_format=array_record"
            " --data_dir=DIR` where TensorFlow is installed, and set data.dir to DIR"
        )
    return DataError(
        f"data.name={name!r}: not prepared in {directory} (there:"
        f" {', '.join(there) or 'no data set'}); {way}"
    )


def _digits(builder: str, directory: pathlib.Path) -> pathlib.Path:
    from resnet_jax.data.sources import digits

    return folders.prepare(getattr(digits, builder)(data_dir=directory))


def _moving_digits(directory: pathlib.Path) -> pathlib.Path:
    from resnet_jax.data.sources import clips

    return folders.prepare(clips.MovingDigits(data_dir=directory))


def _cifar(name: str, directory: pathlib.Path) -> pathlib.Path:
    from resnet_jax.data.sources import cifar

    return cifar.prepare(name, directory=directory)


# Versions that the builders prepare; others can only be read.
VERSIONS = {
    "digits": "1.0.0",
    "digits_low": "1.0.0",
    "digits_high": "1.0.0",
    "moving_digits": "1.0.0",
    "cifar10": "3.0.2",
    "cifar100": "3.0.2",
}
# Data sets that are prepared on first use, each by a module of this package.
OWN: dict[str, Callable[[pathlib.Path], pathlib.Path]] = {
    "digits": functools.partial(_digits, "Digits"),
    "digits_low": functools.partial(_digits, "DigitsLow"),
    "digits_high": functools.partial(_digits, "DigitsHigh"),
    "moving_digits": _moving_digits,
    "cifar10": functools.partial(_cifar, "cifar10"),
    "cifar100": functools.partial(_cifar, "cifar100"),
}
