"""Variances of signals and gradients at initialisation, layer by layer.

  python -m resnet_jax.probe --config experiments/digits_rectifiers.py:ReLU-30-Xavier
  python -m resnet_jax.probe --config FILE:ROW --config.model.act=prelu --figure a.png

  --config FILE[:ROW]   an experiment file, which is a program that will be run
  --config.FIELD=VALUE  changes a field, as in resnet_jax.main
  --batch N             images of one training batch (default 64)
  --seeds N             so many seeds, from the config's on (default 5)
  --format md|json      default md
  --figure PNG          also draws the table
  --debug               show tracebacks of errors that a user can cause

y is a layer's output ahead of norm and activation, dy the gradient of the sum of the
images' losses with respect to it: their variances over images, pixels and channels as
mean ± std over the seeds. Columns (He et al. 2015, Sec. 2.2; slope a below zero):

  n, m       inputs of an output, k^2 c_in; outputs that read an input, k^2 c_out over
             strides squared
  Eq. 10     (1 + a^2)/2 n Var[w], which keeps signals where it is 1
  Eq. 14     (1 + a^2)/2 m Var[w], which keeps gradients where it is 1
  theory     what these make of the images' mean square, and of the last convolution's
             gradient; only for nets without norms and shortcuts, as the paper's

Exit codes: 0 done, 1 bug, 2 config or usage, 3 data, 6 the figure cannot be written.
"""

import argparse
import dataclasses
import json
import math
import pathlib
import statistics
import sys
from collections.abc import Callable, Sequence
from typing import Any

from resnet_jax import cli
from resnet_jax.errors import ConfigError
from resnet_jax.main import prepare_jax
from resnet_jax.report.figure import canvas, save

NONE = "\N{EN DASH}"
HEIGHT = 6.4  # inches, of two panels


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code of the command line `argv`."""
    argv = sys.argv if argv is None else argv
    if {"-h", "--help"} & set(argv):
        print(__doc__.strip())
        return 0
    return cli.guarded(lambda: _probe(argv[1:]), debug="--debug" in argv)


def _probe(argv: Sequence[str]) -> None:
    chosen, fields = parse(argv)
    config = cli.changed(chosen.config, fields)
    figure = canvas(height=HEIGHT) if chosen.figure else None  # errors ahead of work
    prepare_jax()
    from resnet_jax.analysis import init_statistics as signals  # imports jax

    layers = signals.probed(config, batch=chosen.batch, seeds=chosen.seeds)
    print({"md": markdown, "json": as_json}[chosen.format](layers))
    if figure:
        draw(layers, figure)
        save(figure, chosen.figure, title=chosen.config)


def parse(argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """The options, and the --config.x.y=v."""
    parser = cli.Parser("resnet_jax.probe")
    parser.add_argument("--config", required=True)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--format", choices=("md", "json"), default="md")
    parser.add_argument("--figure", type=pathlib.Path)
    parser.add_argument("--debug", action="store_true")
    chosen, fields = parser.parse_known_args(argv)
    for name in ("batch", "seeds"):
        if getattr(chosen, name) < 1:
            raise ConfigError(f"--{name}={getattr(chosen, name)}: must be at least 1")
    return chosen, fields


COLUMNS: dict[str, Callable[[Any], str]] = {
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


def markdown(layers: Sequence[Any]) -> str:
    """A row a layer, in forward order; numbers to the right."""
    rows = [[cell(layer) for cell in COLUMNS.values()] for layer in layers]
    cells = [list(COLUMNS), *rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    first, *rest = widths
    rule = ["-" * first, *("-" * (width - 1) + ":" for width in rest)]
    return "\n".join(_row(row, widths) for row in (cells[0], rule, *cells[1:]))


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    name, *numbers = zip(cells, widths, strict=True)
    padded = [f"{name[0]:{name[1]}}", *(f"{c:>{width}}" for c, width in numbers)]
    return "| " + " | ".join(padded) + " |"


def number(value: float | None) -> str:
    return NONE if value is None else f"{value:.3g}"


def spread(values: Sequence[float]) -> str:
    """Mean ± std over the seeds; `inf` or `nan` where a value is not finite."""
    mean = statistics.fmean(values)
    if len(values) == 1 or not math.isfinite(mean):
        return number(mean)
    return f"{mean:.3g} ± {statistics.stdev(values):.2g}"


def as_json(layers: Sequence[Any]) -> str:
    """Strict JSON: what is not finite is null."""
    rows = [
        {name: _strict(value) for name, value in dataclasses.asdict(layer).items()}
        for layer in layers
    ]
    return json.dumps(rows, indent=1, allow_nan=False)


def _strict(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_strict(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def draw(layers: Sequence[Any], figure: Any) -> None:
    """Var[y] and Var[dy] against depth: seeds thin, their mean bold, theory dashed."""
    upper, lower = figure.subplots(2, sharex=True)
    _panel(upper, layers, "variance", "theory")
    _panel(lower, layers, "gradient_variance", "gradient_theory")
    upper.set_ylabel("Var[y]")
    lower.set_ylabel("Var[dy]")
    lower.set_xlabel("weighted layer")
    upper.legend(fontsize=8)


def _panel(axes: Any, layers: Sequence[Any], measured: str, theory: str) -> None:
    depth = range(1, len(layers) + 1)
    seeds = list(zip(*(getattr(layer, measured) for layer in layers), strict=True))
    for values in seeds:
        axes.plot(depth, values, color="C0", linewidth=0.8, alpha=0.4)
    means = [statistics.fmean(getattr(layer, measured)) for layer in layers]
    axes.plot(depth, means, color="C0", linewidth=2, label=f"mean of {len(seeds)}")
    told = [getattr(layer, theory) for layer in layers]
    if any(told):
        told = [float("nan") if value is None else value for value in told]
        axes.plot(depth, told, color="0.3", linestyle="--", label="He et al. 2015")
    axes.set_yscale("log")
    axes.grid(color="0.9")


if __name__ == "__main__":
    sys.exit(main())
