"""Predictions as lines for a reader, and as a CSV file for programs."""

import contextlib
import csv
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from resnet_jax.errors import StorageError
from resnet_jax.report.render import plain, spreadsheet

# (cells in front, probabilities of the classes)
Write: TypeAlias = Callable[[Sequence[object], Sequence[float]], None]


def line(name: object, top: Sequence[tuple[str, float]]) -> str:
    """The most probable classes of an image: "a.png  cat 97.1 %, dog 2.3 %"."""
    found = ", ".join(f"{plain(label)} {100 * p:.1f} %" for label, p in top)
    return f"{plain(str(name))}  {found}"


@contextlib.contextmanager
def table(
    path: pathlib.Path | None, columns: Sequence[str], classes: Sequence[str]
) -> Iterator[Write]:
    """Open a CSV file of predictions; None: nothing is written.

    After `columns` a line has the predicted class, its probability, and those of all
    `classes`. The file has its name once it is complete.
    """
    if path is None:
        yield lambda cells, probabilities: None
        return
    new = path.with_name(f"{path.name}.tmp")
    try:
        with open(new, "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            header = [*columns, "class", "probability", *classes]
            writer.writerow(map(spreadsheet, header))

            def write(cells: Sequence[object], probabilities: Sequence[float]) -> None:
                values = [float(p) for p in probabilities]
                best = max(range(len(values)), key=values.__getitem__)
                row = [*map(str, cells), classes[best]]
                numbers = (f"{p:.6g}" for p in (values[best], *values))
                writer.writerow([*map(spreadsheet, row), *numbers])

            yield write
        os.replace(new, path)
    except OSError as error:
        raise StorageError(f"{path}: cannot be written ({error.strerror})") from error
    finally:
        new.unlink(missing_ok=True)
