"""`python -m resnet_jax.report FILE`: the paper's table, from logs."""

import argparse
import itertools
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from resnet_jax.config.experiment_file import load
from resnet_jax.errors import ConfigError, DataError, UserError
from resnet_jax.report import records
from resnet_jax.report.render import FORMATS, SUFFIXES, plain, render
from resnet_jax.report.slopes_table import slopes
from resnet_jax.report.table import report

EPILOG = """\
A run is RUNS/<name of FILE>/<row>/seed<k>/ with config.json, env.json, metrics.jsonl
and, once it has finished, DONE. Its result is the test row at its last step. A net with
learned slopes (PReLU) leaves them in slopes.json.

examples:
  python -m resnet_jax.report experiments/digits_depth.py
  python -m resnet_jax.report experiments/digits_depth.py --format latex > depth.tex
  python -m resnet_jax.report experiments/digits_depth.py --figure a.png --axis depth
  python -m resnet_jax.report experiments/digits_depth.py --check depth.md
  python -m resnet_jax.report experiments/digits_rectifiers.py --slopes --figure a.png

exit codes: 0 done, 2 usage or experiment file, 3 logs are damaged or a checked table is
not what they give, 6 a figure cannot be written
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the table, or checks one; returns the exit code."""
    arguments = _parser().parse_args(argv)
    try:
        _run(arguments)
    except UserError as error:
        if arguments.debug:
            traceback.print_exc()
        print(f"error[{error.kind}] {plain(str(error))}", file=sys.stderr)
        return error.exit_code
    return 0


def _run(arguments: argparse.Namespace):
    form = _form(arguments)
    claim = load(arguments.file).require_rows()
    bad = "skip" if arguments.skip_bad else "refuse"
    made = report(claim, arguments.runs, against=arguments.against, bad=bad)
    for line in made.lines:
        for run in line.runs:
            if run.torn:
                print(f"warning: {plain(f'{run.path}/{run.torn}')}", file=sys.stderr)
    learned = slopes(made, bad=bad) if arguments.slopes else None
    text = render(records.slopes(learned) if learned else records.errors(made), form)
    if arguments.figure:
        from resnet_jax.report import plots

        if learned:
            plots.draw_slopes(learned, arguments.figure)
        else:
            axis = arguments.axis or "iterations"
            plots.draw(made, claim, arguments.figure, axis=axis)
    if arguments.check:
        check(arguments.check, text)
        print(f"{arguments.check}: is what the logs give")
    else:
        sys.stdout.write(text)


def check(path: Path, text: str):
    """DataError naming the first line at which a committed table differs."""
    try:
        committed = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--check {path}: cannot be read: {error}") from error
    given = text.splitlines()
    if committed == given:
        return
    pairs = zip([*committed, None], [*given, None], strict=False)
    number, (old, new) = next(
        (n, (a, b)) for n, (a, b) in enumerate(pairs, 1) if a != b
    )
    raise DataError(
        f"{path}:{number}: the committed line is not what the logs give: "
        f"{_near(old, new)}; make the table again if the logs are right"
    )


def _near(old: str | None, new: str | None) -> str:
    """Both lines around the first character that differs."""
    if old is None or new is None:
        return "the table ends here" if old is None else "the logs give no such line"
    both = zip(old, new, strict=False)
    same = len(list(itertools.takewhile(lambda pair: pair[0] == pair[1], both)))
    start = max(0, same - 20)
    return f"has {old[start : start + 60]!r}, should have {new[start : start + 60]!r}"


def _form(arguments: argparse.Namespace) -> str:
    """The format asked for, or that of the checked table's name."""
    if arguments.slopes and (arguments.against or arguments.axis):
        raise ConfigError(
            "--against, --axis: are of errors; leave them out, or --slopes"
        )
    if arguments.format or not arguments.check:
        return arguments.format or "md"
    suffix = arguments.check.suffix
    if suffix not in SUFFIXES:
        raise ConfigError(
            f"--check {arguments.check}: no format is named {suffix!r}; "
            f"use one of {', '.join(SUFFIXES)}, or give --format"
        )
    return SUFFIXES[suffix]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m resnet_jax.report",
        description="Makes the table of an experiment file from the logs of its runs: "
        "the paper's numbers beside ours, their difference, and whether the seeds "
        "support an order of the rows. Reads files only.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("file", type=Path, metavar="FILE", help="an experiment file, a Python program")
    add(
        "--runs", type=Path, default=Path("runs"), help="folder of runs (default: runs)"
    )
    add("--format", choices=list(FORMATS), help="of the table (default: md)")
    add("--against", metavar="ROW", help="row to compare with (default: the first)")
    add("--figure", type=Path, metavar="PNG", help="also draw error against an axis")
    add(
        "--axis",
        choices=("iterations", "depth"),
        help="of the figure: iterations (default; train dashed, test bold) or depth",
    )
    add(
        "--slopes",
        action="store_true",
        help="learned slopes in place of errors, layer by layer: table and figure",
    )
    add("--check", type=Path, metavar="TABLE", help="compare a committed table instead")
    add(
        "--skip_bad", action="store_true", help="go on past damaged files and log lines"
    )
    add("--debug", action="store_true", help="show the traceback of an error")
    return parser


if __name__ == "__main__":
    sys.exit(main())
