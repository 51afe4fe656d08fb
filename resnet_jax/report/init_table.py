"""Table of init statistics, one line per layer, as Markdown or JSON."""

import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from resnet_jax.report.render import Grid, as_json, padded_table

NONE = "\N{EN DASH}"


Layer: TypeAlias = Any  # analysis.init_statistics.Layer, in a room above this one

COLUMNS: dict[str, Callable[[Layer], str]] = {
    "Layer": lambda layer: layer.name,
    "n": lambda layer: f"{layer.fan_in:,}",
    "m": lambda layer: f"{layer.fan_out:,g}",
    "Eq. 10": lambda layer: number(layer.forward_factor),
    "Eq. 14": lambda layer: number(layer.backward_factor),
    "Var[y]": lambda layer: spread(layer.variance),
    "theory": lambda layer: number(layer.theory),
    "E[y^2]": lambda layer: spread(layer.mean_square),
    "Var[dy]": lambda layer: spread(layer.gradient_variance),
    "theory of Var[dy]": lambda layer: number(layer.gradient_theory),
}


def render(layers: Sequence[Layer], form: str) -> str:
    """The layers in forward order as `md` or `json`."""
    if form == "json":
        return as_json([vars(layer) for layer in layers])
    rows = (tuple(cell(layer) for cell in COLUMNS.values()) for layer in layers)
    return padded_table(Grid(tuple(COLUMNS), tuple(rows)))


def number(value: float | None) -> str:
    """Three significant digits; a dash for None."""
    return NONE if value is None else f"{value:.3g}"


def spread(values: Sequence[float]) -> str:
    """Mean ± std over the seeds; `inf` or `nan` if a value is not finite."""
    mean = statistics.fmean(values)
    if len(values) == 1 or not math.isfinite(mean):
        return number(mean)
    return f"{mean:.3g} ± {statistics.stdev(values):.2g}"
