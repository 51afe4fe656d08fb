"""Train every row and seed of an experiment, or resume it.

  python -m resnet_jax.sweep --config experiments/cifar_preact.py
  python -m resnet_jax.sweep --config FILE --rows PreAct-110,ResNet-110 --seeds 0,1,2
  python -m resnet_jax.sweep --config FILE --dry_run
  python -m resnet_jax.sweep --config FILE --slurm > sweep.sh

  --config FILE         an experiment file, which is a program that will be run
  --rows A,B            default: all of its ROWS
  --seeds 0,1,2         default: its SEEDS, or 0
  --grid FIELD=A,B,C    every row with every value, as rows <row>+<field>=<value>; with
                        several --grid, with every combination
  --config.FIELD=VALUE  changes a field of every row, as in resnet_jax.main
  --runs DIR            default runs; saves a run in DIR/<experiment>/<row>/seed<k>
  --jobs N              runs at a time, each on all devices; default 1

  --dry_run             train and write nothing; print, per row, changed fields,
                        parameters, multiply-adds, memory, compile time and steps
    --shapes            counts only, without compiling: no memory, no compile time
    --time              also hours, from a few steps of each row on black images
  --commands            print the command of every run instead, one per line
  --slurm               print a script for `sbatch`: a job array, one task per run
  --debug               show tracebacks of errors that a user can cause

All rows of the first seed come first, so that a table fills evenly. Runs that are DONE
are not started. A run whose folder holds another config is refused, and the sweep goes
on. The output of a run is in its sweep.log, the reason of a failure in its FAILED. On
SIGTERM or Ctrl-C the runs save; the same command resumes them.
Exit codes: 0 all done, 143 or 130 stopped, else that of the worst run (1, then 6 to 2,
then 143; see resnet_jax.main).
"""

import argparse
import re
import sys
from collections.abc import Sequence

from resnet_jax import cli
from resnet_jax.config.experiment_file import load
from resnet_jax.config.grid import with_grid
from resnet_jax.errors import ConfigError
from resnet_jax.report.render import Grid, text_table
from resnet_jax.sweep import scheduler, slurm
from resnet_jax.sweep.plan import Job, plan, with_networks
from resnet_jax.sweep.process import worst_code


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code of the command line `argv`."""
    return cli.run(_sweep, argv, text=__doc__)


def _sweep(arguments: Sequence[str]) -> int:
    options, fields = parse(arguments)
    experiment = with_grid(load(options.config), options.grid)
    rows, seeds, runs = options.rows, options.seeds, options.runs
    jobs = plan(experiment, fields, rows=rows, seeds=seeds, runs=runs)
    if options.commands:
        print("\n".join(map(slurm.command, jobs)))
    elif options.slurm:
        print(slurm.script(jobs, name=experiment.name, at_once=options.jobs), end="")
    elif options.dry_run:
        from resnet_jax.sweep import dry_run  # imports jax

        level = "shapes" if options.shapes else "time" if options.time else "compile"
        found = dry_run.dry_run(jobs, name=experiment.name, level=level)
        table = text_table(Grid(dry_run.HEADER, found.rows, dry_run.ALIGN))
        print(found.title, table, found.note, sep="\n")
    else:
        return carry_out(with_networks(jobs), experiment.name, options.jobs or 1)
    return 0


def carry_out(jobs: Sequence[Job], name: str, at_once: int) -> int:
    """Run the jobs and print a summary; the exit code."""
    start = scheduler.processes(at_once=at_once)
    runs = scheduler.Scheduler(jobs, at_once=at_once, start=start)
    with scheduler.SweepBar(name, total=len(jobs)) as bar:
        number = runs.run(bar)
    print(*runs.summary(), sep="\n")
    return 128 + number if number else worst_code(runs.outcomes)


def parse(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """The options, and the --config.x.y=v that every run is given."""
    parser = cli.Parser("resnet_jax.sweep")
    parser.add_argument("--config", required=True)
    parser.add_argument("--rows")
    parser.add_argument("--seeds")
    parser.add_argument("--grid", action="append", default=[])
    parser.add_argument("--runs", type=cli.folder, default="runs")
    parser.add_argument("--jobs", type=int)
    for exclusive in (("shapes", "time"), ("dry_run", "commands", "slurm")):
        group = parser.add_mutually_exclusive_group()
        for option in exclusive:
            group.add_argument(f"--{option}", action="store_true")
    options, fields = parser.parse_known_args(arguments)
    if options.jobs is not None and options.jobs < 1:
        raise ConfigError(f"--jobs={options.jobs}: must be at least 1")
    if (options.shapes or options.time) and not options.dry_run:
        raise ConfigError("--shapes, --time: only with --dry_run")
    if ":" in options.config:
        raise ConfigError(f"--config={options.config}: choose rows with --rows A,B")
    if any(re.match(r"--?config\.seed(=|$)", field) for field in fields):
        raise ConfigError("--config.seed: choose seeds with --seeds 0,1,2")
    return options, fields


if __name__ == "__main__":
    sys.exit(main())
