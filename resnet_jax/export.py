"""Export a trained network as a file that runs without this package.

  python -m resnet_jax.export --workdir DIR --to stablehlo --out net.stablehlo

  --workdir DIR     the folder of a run or of converted weights; only read
  --to FORMAT
    stablehlo   for jax.export.deserialize, on CPU, CUDA and TPU
  --out FILE        the new file, named as the format
  --best            use the checkpoint of the best validation error, not the last one
  --data_dir DIR    folder of the data set, where a run of version 0.1 needs another
  --debug           show tracebacks of errors that a user can cause

The file holds weights and normalisation: images of the data set's dtype, cropped to the
net's input, [b height width channels] for any b, to class probabilities, float32
[b classes]. It is read back and compared with the net before it takes its name. For how
long a file can be read, and why there is no ONNX, is told in docs/export.md.

Exit codes: 0 done, 2 config or usage, 3 data, 4 checkpoint, 6 the file cannot be
written.
"""

import argparse
import pathlib
import sys
from collections.abc import Sequence

from resnet_jax import cli

FORMATS = ("stablehlo",)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code of the command line `argv`."""
    return cli.run(_export, argv, text=__doc__)


def _export(arguments: Sequence[str]) -> None:
    options = parse(arguments)
    cli.prepare_jax()
    from resnet_jax.interop import exported  # imports jax
    from resnet_jax.train import loaded

    exported.check_new(options.to, options.out)
    run = loaded.load(options.workdir, which=options.which, data_dir=options.data_dir)
    largest = exported.write(run, options.to, options.out)
    axes = " ".join(map(str, ("b", *run.image_shape)))
    print(
        f"{options.out}: {run.inputs.dtype} [{axes}] to float32 [b {len(run.classes)}],"
        f" step {run.step}, largest difference {largest:.1e} of the largest probability"
    )


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options."""
    parser = cli.Parser("resnet_jax.export")
    parser.add_run()
    parser.add_argument("--to", required=True, choices=FORMATS)
    parser.add_argument("--out", required=True, type=pathlib.Path)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
