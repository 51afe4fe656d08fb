"""Figure of init statistics against depth; imports matplotlib."""

import statistics
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes

from resnet_jax.report.figure import new_figure, save
from resnet_jax.report.init_table import Layer


def draw(layers: Sequence[Layer], path: Path, *, title: str) -> None:
    """Draw Var[y] and Var[dy]: seeds thin, their mean bold, theory dashed."""
    figure = new_figure(height=6.4)
    upper, lower = figure.subplots(2, sharex=True)
    signals = [layer.variance for layer in layers]
    gradients = [layer.gradient_variance for layer in layers]
    _panel(upper, signals, [layer.theory for layer in layers])
    _panel(lower, gradients, [layer.gradient_theory for layer in layers])
    upper.set_ylabel("Var[y]")
    lower.set_ylabel("Var[dy]")
    lower.set_xlabel("weighted layer")
    upper.legend(fontsize=8)
    save(figure, path, title=title)


def _panel(
    axes: Axes, measured: Sequence[Sequence[float]], theory: Sequence[float | None]
) -> None:
    depth = range(1, len(measured) + 1)
    seeds = list(zip(*measured, strict=True))
    for values in seeds:
        axes.plot(depth, values, color="C0", linewidth=0.8, alpha=0.4)
    means = [statistics.fmean(values) for values in measured]
    axes.plot(depth, means, color="C0", linewidth=2, label=f"mean of {len(seeds)}")
    if any(theory):
        values = [float("nan") if value is None else value for value in theory]
        axes.plot(depth, values, color="0.3", linestyle="--", label="He et al. 2015")
    axes.set_yscale("log")
    axes.grid(color="0.9")
