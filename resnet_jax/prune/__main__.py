"""Cut channels of a trained network and train what is left.

  python -m resnet_jax.prune --workdir DIR --method slimming --share 0.7 --out DIR2
  python -m resnet_jax.prune --workdir DIR --method lasso --speedup 2 --out DIR2
  python -m resnet_jax.prune --workdir DIR --method slimming --share 0.5 --cap 0.5 \\
      --passes 4 --out DIR2

  --workdir DIR         the folder of a finished run or of converted weights; only read
  --method METHOD
    slimming    the smallest scales of norms (Liu et al. 2017); DIR is best trained with
                optim.scale_l1
    lasso       channel pruning (He et al. 2017)
    first, response   its baselines: the first channels, those of the largest weights
  --share S, --cap C    slimming: share of all channels, largest share of one layer
  --speedup X           others: multiply-adds before over those left
  --out DIR2            each pass is a run in DIR2/pass<k>, which other commands take
  --passes N            default 1; each pass cuts what the one before has trained
  --config.FIELD=VALUE  a field of the runs in DIR2, in place of that of DIR
  --cut_only            cut, score and save the first pass, and train nothing
  --debug               show tracebacks of errors that a user can cause

In DIR2/pass<k>: what a run has, spec.json, the network that is left, and cut.json, what
was cut and the errors before training. The same command goes on where it was stopped.
A row of an experiment is cut by the fields train.start_from and train.prune.

Exit codes: those of resnet_jax.main.
"""

import argparse
import re
from collections.abc import Sequence

from resnet_jax import cli
from resnet_jax.errors import ConfigError

HEADER = ("pass", "multiply-adds", "fewer", "parameters", "cut", "error as cut, %",
          "trained, %")  # fmt: skip
OPTIONS = {"slimming": ("share", "cap"), "lasso": ("speedup",)}
OPTIONS |= dict.fromkeys(("first", "response"), OPTIONS["lasso"])


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code of the command line `argv`."""
    return cli.run(_prune, argv, text=__doc__)


def _prune(arguments: Sequence[str]) -> None:
    options, fields = parse(arguments)
    cli.prepare_jax()
    from resnet_jax.report.render import Grid, text_table
    from resnet_jax.train import passes  # imports jax
    from resnet_jax.train.progress import Bar

    given = {name: getattr(options, name) for name in OPTIONS[options.method]}
    method = {name: value for name, value in given.items() if value is not None}
    found = passes.configs(
        options.workdir,
        options.out,
        {"name": options.method} | method,
        passes=options.passes,
        fields=fields,
    )
    rows: list[tuple[str, ...]] = []
    whole = None
    try:
        for done in passes.carry_out(found, bar=Bar, cut_only=options.cut_only):
            after, left = done.cut["multiply_adds"][1], done.cut["params"][1]
            whole = whole or (done.cut["multiply_adds"][0], done.cut["params"][0])
            cut = done.cut["errors"]["test"]["top1_err"]
            trained = f"{done.result['test_top1_err']:.2f}" if done.result else "-"
            rows.append(
                (str(done.folder), f"{after:,}", f"{whole[0] / after:.2f}x",
                 f"{left:,}", f"{100 * (1 - left / whole[1]):.1f} %", f"{cut:.2f}",
                 trained)
            )  # fmt: skip
    finally:
        if rows:
            print(text_table(Grid(HEADER, tuple(rows), "lrrrrrr")))


def parse(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """The options, and the --config.x.y=v."""
    parser = cli.Parser("resnet_jax.prune")
    parser.add_argument("--workdir", required=True, type=cli.folder)
    parser.add_argument("--method", required=True, choices=tuple(OPTIONS))
    parser.add_argument("--out", required=True, type=cli.folder)
    for option in ("share", "cap", "speedup"):
        parser.add_argument(f"--{option}", type=float)
    parser.add_argument("--passes", type=int, default=1)
    parser.add_argument("--cut_only", action="store_true")
    options, fields = parser.parse_known_args(arguments)
    for option in ("share", "cap", "speedup"):
        own = option in OPTIONS[options.method]
        if getattr(options, option) is not None and not own:
            raise ConfigError(f"--{option}: is no option of --method {options.method}")
    taken = {"train.start_from": "--workdir", "train.prune": "--method"}
    taken |= {f"train.prune.{name}": f"--{name}" for name in OPTIONS[options.method]}
    for field, option in taken.items():
        if any(re.match(rf"--?config\.{re.escape(field)}(=|$)", f) for f in fields):
            raise ConfigError(f"--config.{field}: is said by {option} here")
    return options, fields


if __name__ == "__main__":
    cli.leave(main())
