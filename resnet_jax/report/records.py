"""Sheets of a report: its tables as text, its rows as numbers."""

import dataclasses
from typing import Any

from resnet_jax.papers import Value
from resnet_jax.report import cells
from resnet_jax.report.line import Line
from resnet_jax.report.pairs import Pair
from resnet_jax.report.render import Sheet, plain, rounded
from resnet_jax.report.runs import digest
from resnet_jax.report.slopes_table import LayerSlopes, RowSlopes, Slopes
from resnet_jax.report.statistics import AsPaper, Summary
from resnet_jax.report.table import Report

PAIRS = "Paired differences over common seeds"
CUT_PAIRS = "Paired differences as cut, before training"


def errors(report: Report) -> Sheet:
    """Sheet of a report: the table of errors, and the paired differences."""
    grids = [("", cells.table(report))]
    for heading, pairs in ((PAIRS, report.pairs), (CUT_PAIRS, report.cut_pairs)):
        if pairs:
            grids.append((heading, cells.differences(pairs)))
    records = tuple(_record(report, line) for line in report.lines)
    return Sheet(
        title=report.title,
        grids=tuple(grids),
        notes=report.notes,
        records=records,
        content={
            "name": report.name,
            "title": plain(report.title),
            "rows": records,
            "pairs": [_fields(Pair, pair) for pair in report.pairs],
            "pairs_as_cut": [_fields(Pair, pair) for pair in report.cut_pairs],
            "notes": [plain(note) for note in report.notes],
        },
    )


def _record(report: Report, line: Line) -> dict[str, Any]:
    """A row of the table as numbers; unknown ones are None."""
    pairs = [p for p in report.pairs if (p.row, p.other) == (line.row, report.against)]
    floats = {key: getattr(line, key) for key in ("difference", "wall_s", "step_s")}
    return {
        "row": line.row,
        "paper": _fields(Value, line.value),
        "top1_err": _fields(Summary, line.top1),
        "top5_err": _fields(Summary, line.top5),
        "at_lowest_val": _fields(Summary, line.selected),
        "precise_batchnorm": _fields(Summary, line.precise),
        "as_cut": _fields(Summary, line.as_cut),
        "as_paper": _fields(AsPaper, line.ours),
        **rounded(floats),
        "paired": _fields(Pair, pairs[0] if pairs else None),
        "parameters": line.parameters,
        "multiply_adds": line.multiply_adds,
        "steps": list(line.steps),
        "total_steps": line.total_steps,
        "marks": [plain(mark) for mark in line.marks],
        "seeds": [run.seed for run in line.done],
        "sha256": digest(line.runs),
    }


def _fields(kind: type, record: Any) -> dict[str, Any]:
    """A dataclass as a dict; all fields None if the record is None."""
    if record is None:
        return {field.name: None for field in dataclasses.fields(kind)}
    return rounded(dataclasses.asdict(record))


def slopes(made: Slopes) -> Sheet:
    """Sheet of learned slopes: one table per row, one line per layer."""
    records = tuple(
        _layer(row, place, layer)
        for row in made.rows
        for place, layer in enumerate(row.layers, 1)
    )
    return Sheet(
        title=made.title,
        grids=tuple((row.row, cells.slopes(row)) for row in made.rows),
        notes=made.notes,
        records=records,
        content={
            "name": made.name,
            "title": plain(made.title),
            "layers": records,
            "notes": [plain(note) for note in made.notes],
        },
    )


def _layer(row: RowSlopes, place: int, layer: LayerSlopes) -> dict[str, Any]:
    """A layer of a row as numbers; `place` is its position in the net from 1."""
    numbers = {
        "paper": layer.published,
        "mean": layer.mean,
        "std_of_seeds": layer.over_seeds,
        "std_of_channels": layer.std,
        "lowest": layer.low,
        "highest": layer.high,
    }
    return {
        "row": row.row,
        "place": place,
        "layer": plain(layer.layer),
        "number": layer.number,
        **rounded(numbers),
        "seeds": list(row.seeds),
    }
