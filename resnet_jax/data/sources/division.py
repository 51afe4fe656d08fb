"""Division of the records of a data set into training, validation and test records."""

import re
from typing import NamedTuple

from resnet_jax.data.sources import folders
from resnet_jax.errors import ConfigError, DataError

# The labels of ImageNet's test images were never published; tfds stores -1.
TEST_SPLITS = {"imagenet2012": ("validation",)}


class Part(NamedTuple):
    """Consecutive records of a tfds split."""

    split: str
    start: int
    length: int


def divided(info, *, split: str, test_split: str | None) -> dict[str, Part]:
    """Choose the records of "train", "test" and, where `split` asks for one, "val".

    A test split that is a slice of the training split is held out of it: no record is
    both trained on and tested on.
    """
    if "train" not in info.splits:
        raise DataError(
            f"data.name={info.name!r}: has no split 'train', only"
            f" {', '.join(info.splits)}; name a data set that has one"
        )
    test = _test(info, test_split)
    train = Part("train", 0, info.splits["train"].num_examples)
    if test.split == "train":
        train = _without(train, test, f"data.test_split={test_split!r}")
    for part in (train, test):
        if not part.length:
            raise DataError(
                f"data.name={info.name!r}: split {part.split!r} holds no examples;"
                " name another split in data.test_split, or prepare the data set again"
            )
    return _with_validation(train, split) | {"test": test}


def _test(info, test_split: str | None) -> Part:
    """Find the test records: those asked for, or the split "test" or "validation"."""
    usual = TEST_SPLITS.get(info.name, ("test", "validation"))
    known = [name for name in usual if name in info.splits]
    if test_split is None and not known:
        missing = " or ".join(map(repr, usual))
        raise DataError(
            f"data.name={info.name!r}: has no split {missing}, only"
            f" {', '.join(info.splits)}; name the records to test on in"
            " data.test_split, for example 'train[-10%:]', which are not trained on"
        )
    return _sliced(info, test_split or known[0])


def _sliced(info, name: str) -> Part:
    """Find a tfds split, whole or a slice, for example "train[-10%:]"."""
    import tensorflow_datasets as tfds

    instruction, splits = tfds.core.ReadInstruction.from_spec, info.splits
    try:
        (found,) = instruction(name).to_absolute(dict(splits))
    # tfds raises ValueError, AssertionError and others, several lines long.
    except Exception as error:
        raise ConfigError(
            f"data.test_split={name!r}: is no split or slice of {info.name}"
            f" ({folders.first_line(error)}); its splits are {', '.join(splits)}; a"
            " slice is written like 'train[-10%:]' or 'train[-500:]'"
        ) from error
    length = splits[found.splitname].num_examples
    start = found.from_ or 0
    stop = length if found.to is None else found.to
    if length and stop <= start:
        raise ConfigError(f"data.test_split={name!r}: holds no examples; name more")
    return Part(found.splitname, start, stop - start)


def _without(train: Part, test: Part, field: str) -> Part:
    """Training records that remain beside the test records at one of their ends."""
    end = test.start + test.length
    if test.length == train.length:
        raise ConfigError(
            f"{field}: leaves no training examples; hold out a share of them, for"
            " example 'train[-10%:]'"
        )
    if test.start == 0:
        return Part("train", end, train.length - end)
    if end == train.length:
        return Part("train", 0, test.start)
    raise ConfigError(
        f"{field}: must be at the beginning or end of the training split, for example"
        " 'train[-10%:]'"
    )


def _with_validation(train: Part, split: str) -> dict[str, Part]:
    """Divide the training records: the first N "train", the last M "val"."""
    if split == "full":
        return {"train": train}
    match = re.fullmatch(r"(\d+k?)/(\d+k?)", split)
    if match is None:
        raise ConfigError(f"data.split={split!r}: must be 'full' or like '45k/5k'")
    first, last = (int(n.replace("k", "000")) for n in match.groups())
    if not (first and last) or first + last > train.length:
        raise ConfigError(
            f"data.split={split!r}: asks for {first} + {last} of the {train.length}"
            " training examples"
        )
    end = train.start + train.length
    return {
        "train": train._replace(length=first),
        "val": Part(train.split, end - last, last),
    }
