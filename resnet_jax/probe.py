"""Variances of signals and gradients at initialisation, layer by layer.

  python -m resnet_jax.probe --config experiments/digits_rectifiers.py:ReLU-30-Xavier
  python -m resnet_jax.probe --config FILE:ROW --config.model.act=prelu --figure a.png

  --config FILE[:ROW]   an experiment file, which is a program that will be run
  --config.FIELD=VALUE  changes a field, as in resnet_jax.main
  --batch N             images of one training batch (default 64)
  --seeds N             so many seeds, from the config's on (default 5)
  --format md|json      default md
  --figure FILE         also draws the table, as .png, .pdf or .svg
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
import pathlib
import sys
from collections.abc import Sequence

from resnet_jax import cli
from resnet_jax.report import figure_path


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code of the command line `argv`."""
    return cli.run(_probe, argv, text=__doc__)


def _probe(arguments: Sequence[str]) -> None:
    options, fields = parse(arguments)
    *_, config = cli.chosen(options.config, fields)
    cli.prepare_jax()
    from resnet_jax.analysis import init_statistics  # imports jax
    from resnet_jax.report import init_table

    layers = init_statistics.probed(config, batch=options.batch, seeds=options.seeds)
    print(init_table.render(layers, options.format))
    if options.figure:
        from resnet_jax.report import init_figure  # imports matplotlib

        init_figure.draw(layers, options.figure, title=options.config)


def parse(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """The options, and the --config.x.y=v."""
    parser = cli.Parser("resnet_jax.probe")
    parser.add_argument("--config", required=True)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--format", choices=("md", "json"), default="md")
    parser.add_argument("--figure", type=pathlib.Path)
    options, fields = parser.parse_known_args(arguments)
    for name in ("batch", "seeds"):
        if getattr(options, name) < 1:
            parser.error(f"--{name}={getattr(options, name)}: must be at least 1")
    if options.figure:
        figure_path.checked(options.figure)
    return options, fields


if __name__ == "__main__":
    sys.exit(main())
