"""Predictions of a split: every one, errors by class, and the confusion matrix."""

import pathlib
from collections.abc import Iterable, Sequence
from importlib.util import find_spec

import numpy as np

from resnet_jax.errors import StorageError
from resnet_jax.report import predictions
from resnet_jax.report.render import Grid, Sheet, render


def write(
    folder: pathlib.Path,
    examples: Iterable[tuple[str, int, Sequence[float]]],
    classes: Sequence[str],
) -> None:
    """Write predictions.csv, classes.csv, classes.md and confusion.csv to a folder.

    `examples` have a location, a label and the probabilities of all classes. Where
    matplotlib is installed, confusion.png shows the matrix.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        counts = _counted(folder / "predictions.csv", examples, classes)
        sheet = by_class(counts, classes)
        for name, form in (("classes.csv", "csv"), ("classes.md", "md")):
            (folder / name).write_text(render(sheet, form), encoding="utf-8")
        table = render(matrix(counts, classes), "csv")
        (folder / "confusion.csv").write_text(table, encoding="utf-8")
    except OSError as error:
        raise StorageError(f"{folder}: cannot be written ({error.strerror})") from error
    if find_spec("matplotlib"):
        from resnet_jax.report import confusion_figure

        confusion_figure.draw(folder / "confusion.png", counts, classes)


def _counted(
    path: pathlib.Path,
    examples: Iterable[tuple[str, int, Sequence[float]]],
    classes: Sequence[str],
) -> np.ndarray:
    """Write a line per example; count them by label and predicted class, [n n]."""
    counts = np.zeros((len(classes), len(classes)), int)
    with predictions.table(path, ("example", "label"), classes) as write_line:
        for where, label, probabilities in examples:
            write_line((where, classes[label]), probabilities)
            counts[label, int(np.argmax(probabilities))] += 1
    return counts


def by_class(counts: np.ndarray, classes: Sequence[str]) -> Sheet:
    """Error of every class, and the class that it was most often taken for."""
    wrong = counts - np.diag(np.diag(counts))
    records = []
    for name, row, missed in zip(classes, counts, wrong, strict=True):
        most, n = int(missed.max()), int(row.sum())
        error = 100 * missed.sum() / n if n else None
        other = classes[int(missed.argmax())] if most else ""
        records.append(
            {"class": name, "n": n, "error_percent": error, "taken_for": other}
            | {"taken_for_n": most}
        )
    rows = tuple(
        (
            record["class"],
            str(record["n"]),
            "" if record["n"] == 0 else f"{record['error_percent']:.2f}",
            f"{record['taken_for']} ({record['taken_for_n']})"
            if record["taken_for"]
            else "",
        )
        for record in sorted(records, key=lambda r: -(r["error_percent"] or 0))
    )
    header = ("class", "n", "error (%)", "most often taken for")
    total, right = int(counts.sum()), int(np.trace(counts))
    note = f"{total - right} of {total} examples have another class predicted"
    return Sheet(
        title="Errors by class",
        grids=(("", Grid(header, rows, "lrrl")),),
        notes=(note,),
        records=tuple(records),
        content={"classes": records},
    )


def matrix(counts: np.ndarray, classes: Sequence[str]) -> Sheet:
    """Examples by class (rows) and predicted class (columns)."""
    records = tuple(
        {"class": name}
        | {f"as {other}": int(n) for other, n in zip(classes, row, strict=True)}
        for name, row in zip(classes, counts.tolist(), strict=True)
    )
    return Sheet(title="", grids=(), notes=(), records=records, content={})
