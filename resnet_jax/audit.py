"""Compare configs with the papers that they follow; no data is opened.

  python -m resnet_jax.audit --config experiments/cifar_resnet.py
  python -m resnet_jax.audit --config experiments/cifar_resnet.py:ResNet-110
  python -m resnet_jax.audit --config FILE:ROW --config.optim.nesterov=nesterov

  --config FILE[:ROW]   an experiment file, which is a program that will be run; all of
                        its ROWS, or one
  --config.FIELD=VALUE  changes a field of every row, as in resnet_jax.main
  --format md|json      default md
  --debug               show tracebacks of errors that a user can cause

A table a row: the network (weighted layers, parameters by kind, multiply-adds) and the
training (iterations, batch, decay, augmentation ...), each with the paper's value, the
config's, where the paper's is from, and a verdict:

  equal      the paper says so
  deviates   it differs, and DEVIATIONS of the file says why
  WRONG      it differs, and nobody says why: exit code 2, and the field is named
  unsettled  the paper is silent, what is known of it is not certain, or the value here
             depends on the size of a data set that is not known
  shown      nothing is published to compare with

An experiment file tells what its rows follow by
  RECIPE      a key of resnet_jax/report/paper/recipes.py, or {row: key}
  PAPER       {row: key of a table's cell}, which tells the network as well
  NETWORK     {row: key of resnet_jax/report/paper/networks.py}, where PAPER does not
  DEVIATIONS  {field: reason}, or {field: {pattern of rows: reason}}
A reason covers the value that the file gives to a field, not one from the command line.
In a whole file, a reason for what does not deviate in any row is an error, too.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from typing import Any

from resnet_jax import cli
from resnet_jax.errors import ConfigError


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code of the command line `argv`."""
    argv = sys.argv if argv is None else argv
    if {"-h", "--help"} & set(argv):
        print(__doc__.strip())
        return 0
    return cli.guarded(lambda: _audit(argv[1:]), debug="--debug" in argv)


def _audit(argv: Sequence[str]) -> None:
    chosen, fields = parse(argv)
    # Counts need no accelerator, and a run may hold it.
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    from resnet_jax.analysis import audit_compare as verdicts  # imports jax

    rows = verdicts.audited(chosen.config, fields)
    print({"md": markdown, "json": as_json}[chosen.format](rows))
    problems = verdicts.wrong(rows)
    if ":" not in chosen.config and not fields:
        problems += verdicts.stale(chosen.config, rows)
    if problems:
        raise ConfigError("\n".join(problems))


def parse(argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """The options, and the --config.x.y=v that every row is given."""
    parser = cli.Parser("resnet_jax.audit")
    parser.add_argument("--config", required=True)
    parser.add_argument("--format", choices=("md", "json"), default="md")
    parser.add_argument("--debug", action="store_true")
    return parser.parse_known_args(argv)


HEADER = ("quantity", "paper", "config", "verdict", "source")


def markdown(rows: Sequence[Any]) -> str:
    """A table a row, aligned; then the reasons for what deviates, and a summary."""
    parts = []
    for row in rows:
        parts += [f"## {row.title}", table(row.lines), *_reasons(row.lines)]
    counts = {
        verdict: sum(line.verdict == verdict for row in rows for line in row.lines)
        for verdict in ("equal", "deviates", "WRONG", "unsettled")
    }
    said = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    return "\n\n".join([*parts, f"{len(rows)} row{'s'[: len(rows) > 1]}: {said}"])


def table(lines: Sequence[Any]) -> str:
    cells = [HEADER, *([getattr(line, name) for name in HEADER] for line in lines)]
    cells = [[cell.replace("|", r"\|") for cell in row] for row in cells]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    cells.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "| " + " | ".join(f"{c:{w}}" for c, w in zip(row, widths, strict=True)) + " |"
        for row in cells
    )


def _reasons(lines: Sequence[Any]) -> list[str]:
    found = {f"- {line.field}: {line.reason}": None for line in lines if line.reason}
    return ["\n".join(found)] if found else []


def as_json(rows: Sequence[Any]) -> str:
    return json.dumps([row.to_dict() for row in rows], indent=1)


if __name__ == "__main__":
    sys.exit(main())
