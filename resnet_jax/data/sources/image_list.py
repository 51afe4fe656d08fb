"""Lists of image files with a class each: a folder of folders, or a CSV file."""

import csv
import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from resnet_jax.data import decode
from resnet_jax.errors import DataError
from resnet_jax.paths import shortened

# Names of folders, and values of the column `split`
SPLITS = {
    "train": "train", "training": "train", "val": "val", "valid": "val",
    "validation": "val", "test": "test", "testing": "test",
}  # fmt: skip
WAY = (
    "name a folder of one folder per class, or of train/, val/ or test/ with one folder"
    " per class each, or a .csv file with the columns path, label and, if wanted, split"
)
SHOWN = 50  # problems in one message


@dataclasses.dataclass(frozen=True)
class ImageList:
    """Paths and labels of the images of a split; a label is an index into `classes`."""

    root: pathlib.Path
    paths: tuple[str, ...]  # relative to `root`
    labels: tuple[int, ...]
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def where(self, index: int) -> str:
        """Path of an image."""
        return os.path.join(self.root, self.paths[index])

    def part(self, start: int, length: int) -> "ImageList":
        """Take `length` images from `start` on."""
        chosen = slice(start, start + length)
        return dataclasses.replace(
            self, paths=self.paths[chosen], labels=self.labels[chosen]
        )


class Listing(NamedTuple):
    """Lists of "train" and, where they are apart, "val" and "test"; and problems."""

    lists: dict[str, ImageList]
    problems: list[str]


def listed(place: pathlib.Path) -> Listing:
    """List the images of a folder or a CSV file by split; DataError where it is none.

    Classes are the names in sorted order, whole numbers by their value. The images of a
    split are in an order that is drawn from their paths, the same on every machine, in
    which every part of consecutive images has its share of every class.
    """
    if place.suffix.lower() == ".csv":
        root, (found, problems) = place.parent, _of_csv(place)
    else:
        root, (found, problems) = place, _of_folder(place)
    if not found.get("train") and not problems:
        raise DataError(f"data.dir={place}: holds no training images; {WAY}")
    classes = _sorted({name for _, name in found.get("train", ())})
    strangers = list(_strangers(found, classes))
    index = {name: number for number, name in enumerate(classes)}
    lists = {}
    for split, images in found.items():
        images = [(path, name) for path, name in _spread(images) if name in index]
        paths = tuple(path for path, _ in images)
        labels = tuple(index[name] for _, name in images)
        lists[split] = ImageList(root, paths, labels, classes)
    return Listing(lists, problems + strangers)


def check(place: pathlib.Path, problems: Iterable[str]) -> None:
    """DataError that names every problem of a set of images."""
    if not (problems := list(problems)):
        return
    shown = "; ".join(shortened(problems, most=SHOWN))
    raise DataError(
        f"data.dir={place}: {shown}; mend or remove what is named, and run the"
        " same command again"
    )


Found = dict[str, list[tuple[str, str]]]  # split -> (path, name of the class)


def _of_folder(root: pathlib.Path) -> tuple[Found, list[str]]:
    """Images by split in a folder; empty folders of classes are problems."""
    if not root.is_dir():
        raise DataError(f"data.dir={root}: is no folder; {WAY}")
    children = _folders(root)
    splits = {SPLITS[c.name]: c for c in children if c.name in SPLITS}
    problems = []
    if "train" not in splits:
        splits = {"train": root}
    elif others := [c.name for c in children if c.name not in SPLITS]:
        problems = [f"{name}/ stands beside train/, but is no split" for name in others]
    elif len(splits) < len(children):
        names = ", ".join(f"{child.name}/" for child in children)
        problems = [f"two of {names} are one split"]
    found: Found = {}
    for split, folder in splits.items():
        found[split] = []
        for child in _folders(folder):
            images = sorted(images_below(child))
            names = (path.relative_to(root).as_posix() for path in images)
            found[split] += [(name, child.name) for name in names]
            if not images:
                problems.append(f"{child.relative_to(root)}/ holds no image")
    return found, problems


def _folders(folder: pathlib.Path) -> list[pathlib.Path]:
    children = (c for c in folder.iterdir() if not c.name.startswith("."))
    return sorted(child for child in children if child.is_dir())


def images_below(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """Files below a folder whose suffix is one of an image."""
    suffixes = decode.suffixes()
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in files:
            path = pathlib.Path(place, name)
            if path.suffix.lower() in suffixes and not name.startswith("."):
                yield path


def _of_csv(path: pathlib.Path) -> tuple[Found, list[str]]:
    """Images by split in a CSV file; paths are relative to its folder."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            names, rows = reader.fieldnames or (), list(reader)
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"data.dir={path}: cannot be read ({error}); {WAY}") from error
    if missing := [name for name in ("path", "label") if name not in names]:
        raise DataError(
            f"data.dir={path}: has no column {missing[0]!r}, only {', '.join(names)};"
            " its first line must name the columns path, label and, if wanted, split"
        )
    found: Found = {}
    problems = list(_of_rows(path.parent, rows, found))
    return found, problems


def _of_rows(
    root: pathlib.Path, rows: Sequence[Mapping[str, str | None]], found: Found
) -> Iterator[str]:
    """Sort rows into `found`; yield their problems."""
    seen: dict[str, int] = {}
    for number, row in enumerate(rows, 2):
        image, label = row["path"] or "", row["label"] or ""
        split = row.get("split", "train") or ""
        if not image or not label:
            yield f"row {number} has no {'label' if image else 'path'}"
        elif split not in SPLITS:
            yield f"row {number} has split {split!r}, must be train, val or test"
        elif image in seen:
            yield f"row {number} names {image}, which row {seen[image]} named"
        elif not (root / image).is_file():
            yield f"{image} in row {number} is not there"
        else:
            found.setdefault(SPLITS[split], []).append((image, label))
        seen.setdefault(image, number)


def _sorted(names: Iterable[str]) -> tuple[str, ...]:
    """Names in order; whole numbers by their value, as 2 comes before 10."""
    names = sorted(names)
    return tuple(sorted(names, key=int) if all(map(str.isdecimal, names)) else names)


def _strangers(found: Found, classes: Sequence[str]) -> Iterator[str]:
    """Classes that cannot be learnt: only one, or not in the training images."""
    if len(classes) == 1:
        yield f"there is one class, {classes[0]}, and two are needed"
    for split, images in found.items():
        for name in sorted({name for _, name in images} - set(classes)):
            yield f"class {name} of {split} has no training image"


def _spread(images: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Order images by a digest of their paths, the classes evenly interleaved."""
    by_class: dict[str, list[str]] = {}
    for path, name in images:
        by_class.setdefault(name, []).append(path)
    placed = []
    for name, paths in by_class.items():
        paths.sort(key=lambda path: hashlib.sha256(path.encode()).digest())
        share = 1 / len(paths)
        placed += [((i + 0.5) * share, name, path) for i, path in enumerate(paths)]
    return [(path, name) for _, name, path in sorted(placed)]
