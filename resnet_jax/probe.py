"""Print variances of signals and gradients at initialisation by layer.

  python -m resnet_jax.probe --config experiments/digits_rectifiers.py:ReLU-30-Xavier
  python -m resnet_jax.probe --config FILE:ROW --config.model.act=prelu --figure a.png

  --config FILE[:ROW]   an experiment file, which is a program that will be run
  --config.FIELD=VALUE  changes a field, as in resnet_jax.main
  --batch N             images of one training batch (default 64)
  --seeds N             number of seeds, counted from the config's (default 5)
  --format md|json      default md
  --figure FILE         also plot the table, as .png, .pdf or .svg
  --debug               show tracebacks of errors that a user can cause

y is a layer's output before norm and activation, dy the gradient of the sum of the
images' losses with respect to y: variances over images, pixels and channels, as mean ±
std over the seeds. Columns (He et al. 2015, Sec. 2.2; a is the slope below zero):

  n, m       fan-in k^2 c_in, and fan-out k^2 c_out over strides squared
  Eq. 10     (1 + a^2)/2 n Var[w], 1 preserves the variance of signals
  Eq. 14     (1 + a^2)/2 m Var[w], 1 preserves the variance of gradients
  theory     products of these factors with the images' mean square and with the last
             convolution's gradient; only for nets without norms and shortcuts, as in
             the paper

Exit codes: 0 done, 1 bug, 2 config or usage, 3 data, 6 the figure cannot be written.
"""

import argparse
import pathlib
import sys
from collections.abc import Sequence

from resnet_jax import cli


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
        if (number := getattr(options, name)) < 1:
            parser.error(f"--{name}={number}: must be at least 1")
    if options.figure:
        cli.check_figure_path(options.figure)
    return options, fields


if __name__ == "__main__":
    sys.exit(main())
