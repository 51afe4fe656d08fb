"""Predict the classes of images in files.

  python -m resnet_jax.predict --workdir DIR photo.jpg photos/
  python -m resnet_jax.predict --workdir DIR photos/ --out classes.csv

  --workdir DIR     the folder of a run, or of converted weights; only read
  PATH ...          files of images, of any format that Pillow reads, or folders of them
  --top N           classes that are printed for an image (default 3)
  --out FILE.csv    a line per image: path, class, its probability, those of all classes
  --resize          resize images of another size, where the net was trained on images
                    of one size; others are cropped as in evaluation anyway
  --best            use the checkpoint of the best validation error, not the last one
  --data_dir DIR    folder of the data set, of runs that version 0.1 began
  --debug           show tracebacks of errors that a user can cause

Exit codes: 0 done, 2 config or usage, 3 an image or the data, 4 checkpoint, 6 the file
cannot be written. Files that cannot be read are named at the end.
"""

import argparse
import pathlib
import sys
from collections.abc import Sequence

from resnet_jax import cli


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code of the command line `argv`."""
    return cli.run(_predict, argv, text=__doc__)


def _predict(arguments: Sequence[str]) -> None:
    options = parse(arguments)
    cli.prepare_jax()
    from resnet_jax.analysis import prediction  # imports jax
    from resnet_jax.report import predictions as report
    from resnet_jax.train import loaded
    from resnet_jax.train.progress import Bar

    run = loaded.load(options.workdir, which=options.which, data_dir=options.data_dir)
    files = prediction.image_files(options.paths)
    problems: list[str] = []
    with (
        Bar(total=len(files), unit="image", leave=False) as bar,
        report.table(options.out, ("path",), run.classes) as write,
    ):
        for found in prediction.predictions(
            run, files, resize=options.resize, advance=bar.update
        ):
            if found.problem:
                problems.append(found.problem)
                continue
            print(report.line(found.path, found.top(run.classes, options.top)))
            write((found.path,), found.probabilities.tolist())
    prediction.check(problems, files=len(files))


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options."""
    parser = cli.Parser("resnet_jax.predict")
    parser.add_argument("paths", nargs="+", type=pathlib.Path, metavar="PATH")
    parser.add_run()
    parser.add_argument("--top", type=int, default=3)
    parser.add_argument("--out", type=pathlib.Path)
    parser.add_argument("--resize", action="store_true")
    options = parser.parse_args(arguments)
    if options.top < 1:
        parser.error(f"--top={options.top}: must be at least 1")
    if options.out is not None:
        cli.check_table_path(options.out)
    return options


if __name__ == "__main__":
    sys.exit(main())
