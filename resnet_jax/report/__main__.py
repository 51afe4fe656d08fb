"""Make the table of an experiment file from the logs of its runs.

  python -m resnet_jax.report experiments/digits_depth.py
  python -m resnet_jax.report experiments/digits_depth.py --format latex > depth.tex
  python -m resnet_jax.report experiments/digits_depth.py --figure a.png --axis depth
  python -m resnet_jax.report experiments/digits_depth.py --check depth.md
  python -m resnet_jax.report experiments/digits_rectifiers.py --slopes --figure a.pdf

  FILE              an experiment file, which is a program that will be run
  --runs DIR        folder of the runs (default: runs)
  --format FORMAT   of the table: md (default), latex, csv, json, text
  --grid FIELD=A,B  rows of a sweep with the same --grid
  --against ROW     row to compare with (default: the first)
  --figure FILE     also draw error against an axis, as .png, .pdf or .svg
  --axis AXIS       iterations (default; train dashed, test bold) or depth
  --slopes          table and figure of learned slopes by layer instead of errors
  --check TABLE     compare a committed table instead of printing one
  --skip_bad        skip damaged files, log lines and runs that are not those of their
                    folders, and name them in the table
  --debug           show the traceback of an error

The table has the paper's numbers beside ours, and says whether the seeds support an
order of the rows (Student's t, Holm's step-down). A run is
RUNS/<name of FILE>/<row>/seed<k>/ with config.json, env.json, metrics.jsonl and, once
it has finished, DONE. Its result is the test row at its last step. Learned slopes
(PReLU) are in its slopes.json.

Exit codes: 0 done, 2 usage or experiment file, 3 logs are damaged or a checked table is
not what they give, 6 a figure cannot be written.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from resnet_jax import cli
from resnet_jax.config.experiment_file import load
from resnet_jax.config.grid import with_grid
from resnet_jax.report import committed, records
from resnet_jax.report.render import FORMATS, render
from resnet_jax.report.slopes_table import slopes
from resnet_jax.report.table import report


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code of the command line `argv`."""
    return cli.run(_report, argv, text=__doc__)


def _report(arguments: Sequence[str]) -> None:
    options = parse(arguments)
    form = options.format or committed.form(options.check)
    experiment = with_grid(load(options.file).require_rows(), options.grid)
    bad = "skip" if options.skip_bad else "refuse"
    made = report(experiment, options.runs, against=options.against, bad=bad)
    for run in (run for line in made.lines for run in line.runs if run.torn):
        print(f"warning: {run.path}/{run.torn}", file=sys.stderr)
    learned = slopes(made, bad=bad) if options.slopes else None
    text = render(records.slopes(learned) if learned else records.errors(made), form)
    if options.figure and learned:
        from resnet_jax.report import slopes_figure  # imports matplotlib

        slopes_figure.draw_slopes(learned, options.figure)
    elif options.figure:
        from resnet_jax.report import plots  # imports matplotlib

        axis = options.axis or "iterations"
        plots.draw(made, experiment, options.figure, axis=axis)
    if options.check:
        committed.check(options.check, text)
        print(f"{options.check}: is what the logs give")
    else:
        sys.stdout.write(text)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options; ConfigError for those that exclude each other."""
    parser = cli.Parser("resnet_jax.report")
    add = parser.add_argument
    add("file", type=Path, metavar="FILE")
    add("--runs", type=cli.folder, default=Path("runs"))
    add("--format", choices=tuple(FORMATS))
    add("--grid", action="append", default=[])
    add("--against")
    add("--figure", type=Path)
    add("--axis", choices=("iterations", "depth"))
    add("--slopes", action="store_true")
    add("--check", type=Path)
    add("--skip_bad", action="store_true")
    options = parser.parse_args(arguments)
    if options.slopes and (options.against or options.axis):
        parser.error("--against, --axis: are of errors; leave them out, or --slopes")
    if options.figure:
        cli.check_figure_path(options.figure)
    return options


if __name__ == "__main__":
    sys.exit(main())
