"""Convert weights of released networks to run folders, and back.

  python -m resnet_jax.convert --from torchvision/resnet50 FILE --out DIR
  python -m resnet_jax.convert --to torchvision/resnet50 DIR --out FILE
  python -m resnet_jax.convert --list

  --from NET FILE   a file of weights, .safetensors or .pth, of a network LIBRARY/NET
  --to NET DIR      the folder of a run or of converted weights; only read
  --out PATH        the new run folder, or the new file of weights
  --list            print the networks that are covered
  --debug           show tracebacks of errors that a user can cause

A run folder has a checkpoint of step 0 and the preprocessing of the released weights as
far as a config can say it: resnet_jax.evaluate, .saliency and others take it. Which
networks are covered, and how they differ from the papers', is told in docs/weights.md.

Exit codes: 0 done, 2 config or usage, 4 weights that are not of the network, 6 storage.
"""

import argparse
import pathlib
import sys
from collections.abc import Sequence

from resnet_jax import cli


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code of the command line `argv`."""
    return cli.run(_convert, argv, text=__doc__)


def _convert(arguments: Sequence[str]) -> None:
    options = parse(arguments)
    cli.prepare_jax()
    from resnet_jax.interop import folder, nets  # imports jax

    if options.list:
        print("\n".join(nets.NETS))
    elif options.weights:
        name, source = options.weights
        spec = folder.import_file(name, pathlib.Path(source), options.out)
        print(f"{options.out}: {name}, {spec.num_classes} classes, at step 0")
    else:
        name, run = options.to
        count = folder.export_file(name, cli.folder(run), options.out)
        print(f"{options.out}: {name}, {count} arrays")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options."""
    parser = cli.Parser("resnet_jax.convert")
    parser.add_argument("--from", dest="weights", nargs=2)
    parser.add_argument("--to", nargs=2)
    parser.add_argument("--out", type=cli.folder)
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args(arguments)
    chosen = [bool(options.weights), bool(options.to), options.list]
    if sum(chosen) != 1:
        parser.error("give one of --from NET FILE, --to NET DIR, --list")
    if options.out is None and not options.list:
        parser.error("--out: names the new folder or file")
    return options


if __name__ == "__main__":
    sys.exit(main())
