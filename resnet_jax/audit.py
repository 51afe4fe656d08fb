"""Compare configs with the papers that they follow, without opening data.

  python -m resnet_jax.audit --config experiments/cifar_resnet.py
  python -m resnet_jax.audit --config experiments/cifar_resnet.py:ResNet-110
  python -m resnet_jax.audit --config FILE:ROW --config.optim.nesterov=True

  --config FILE[:ROW]   an experiment file, which is a program that will be run; all of
                        its ROWS, or one
  --config.FIELD=VALUE  changes a field of every row, as in resnet_jax.main
  --format md|json      default md
  --debug               show tracebacks of errors that a user can cause

Prints one table per row: network (weighted layers, parameters by kind, multiply-adds)
and training (iterations, batch, decay, augmentation ...), each with the values of paper
and config, the source, and a verdict:

  equal      the values are equal
  deviates   they differ, and DEVIATIONS of the file gives the reason
  WRONG      they differ without a reason: exit code 2, and the field is named
  unsettled  the paper is silent or unclear, or the value depends on the unknown size of
             a data set
  shown      nothing is published to compare with

An experiment file names what its rows follow by
  RECIPE      a key of resnet_jax.papers.RECIPES, or {row: key}
  PAPER       {row: key of a table's cell}, which tells the network as well
  NETWORK     {row: key of resnet_jax.papers.NETWORKS}, where PAPER does not
  DEVIATIONS  {field: reason}, or {field: {pattern of rows: reason}}
A reason covers the value in the file, not one from the command line. In an audit of a
whole file, a reason that no row needs is an error, too.
"""

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Sequence

from resnet_jax import cli
from resnet_jax.config import experiment_file
from resnet_jax.errors import ConfigError


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code of the command line `argv`."""
    return cli.run(_audit, argv, text=__doc__)


def _audit(arguments: Sequence[str]) -> None:
    options, fields = parse(arguments)
    # Counts need no accelerator, and a run may hold it.
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    from resnet_jax.analysis import audit_compare  # imports jax
    from resnet_jax.report import audit_table

    path, only = experiment_file.parts(options.config)
    experiment = experiment_file.load(path)
    rows = audit_compare.audited(experiment, only, fields)
    if options.format == "json":
        print(json.dumps([dataclasses.asdict(row) for row in rows], indent=1))
    else:
        print(audit_table.markdown(rows))
    problems = audit_compare.wrong(rows)
    if only is None and not fields:
        problems += audit_compare.stale(experiment, rows)
    if problems:
        raise ConfigError("\n".join(problems))


def parse(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """The options, and the --config.x.y=v that every row is given."""
    parser = cli.Parser("resnet_jax.audit")
    parser.add_argument("--config", required=True)
    parser.add_argument("--format", choices=("md", "json"), default="md")
    return parser.parse_known_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
