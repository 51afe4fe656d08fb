"""Score a checkpoint on any split, with moving or precise BatchNorm statistics.

  python -m resnet_jax.evaluate --workdir runs/digits_preact/PreAct-20/seed0
  python -m resnet_jax.evaluate --workdir DIR --split train --precise 200

  --workdir DIR     the folder of a run; only read
  --split SPLIT     test (default), val or train; every example once
  --protocol NAME   evaluation protocol (1crop), by default the run's
  --best            use the checkpoint of the best validation error, not the last one
  --details DIR     also write, to a folder: every prediction, errors by class, and the
                    confusion matrix, as tables and, with matplotlib, as a picture
  --precise N       recompute BatchNorm statistics over N training batches
  --data_dir DIR    folder of the data set, by default the config's
  --debug           show tracebacks of errors that a user can cause

Exit codes: 0 done, 2 config or usage, 3 data, 4 checkpoint, 6 the details cannot be
written.
"""

import argparse
import json
import sys
from collections.abc import Sequence

from resnet_jax import cli


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code of the command line `argv`."""
    return cli.run(_evaluate, argv, text=__doc__)


def _evaluate(arguments: Sequence[str]) -> None:
    options = parse(arguments)
    cli.prepare_jax()
    from resnet_jax.train import trained  # imports jax

    net = trained.load(
        options.workdir,
        which=options.which,
        data_dir=options.data_dir,
        protocol=options.protocol,
    )
    row = {"split": options.split, "step": net.step, "stats": "moving"} | net.params
    if options.precise:
        net = net.with_precise_statistics(options.precise)
        row |= {"stats": "precise", "stats_batches": options.precise}
    row |= net.scores(options.split) | {"protocol": net.protocol}
    if options.details:
        from resnet_jax.analysis import details
        from resnet_jax.report import confusion

        found = details.predictions(net, options.split)
        confusion.write(options.details, found, net.classes)
    print(json.dumps(row))


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options."""
    parser = cli.Parser("resnet_jax.evaluate")
    parser.add_run()
    parser.add_argument("--split", default="test", choices=("train", "val", "test"))
    parser.add_argument("--protocol")
    parser.add_argument("--details", type=cli.folder)
    parser.add_argument("--precise", type=int, default=0)
    options = parser.parse_args(arguments)
    if options.precise < 0:
        parser.error(f"--precise {options.precise}: must be a number of batches")
    return options


if __name__ == "__main__":
    sys.exit(main())
