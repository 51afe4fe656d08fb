"""Train every row and seed of an experiment, or go on where it stopped.

  python -m resnet_jax.sweep --config experiments/cifar_preact.py
  python -m resnet_jax.sweep --config FILE --rows PreAct-110,ResNet-110 --seeds 0,1,2
  python -m resnet_jax.sweep --config FILE --dry_run
  python -m resnet_jax.sweep --config FILE --slurm > sweep.sh

  --config FILE         an experiment file, which is a program that will be run
  --rows A,B            default: all of its ROWS
  --seeds 0,1,2         default: its SEEDS
  --config.FIELD=VALUE  changes a field of every row, as in resnet_jax.main
  --runs DIR            default runs; a run is kept in DIR/<experiment>/<row>/seed<k>
  --jobs N              runs at a time, each on all devices; default 1

  --dry_run             trains and writes nothing: what each row changes, parameters,
                        multiply-adds, memory, seconds to compile, iterations
    --shapes            without compiling: neither memory nor seconds
    --time              with hours, from a few steps of each row on made-up images
  --commands            prints the commands instead, one a line
  --slurm               prints a script for `sbatch`, an array with a task a run
  --debug               shows tracebacks of errors that a user can cause

The first seed of every row comes first, so that a table fills evenly. Runs that are
DONE are not started. A run of another config in the same folder is refused, and the
rest goes on. What a run prints is in its folder, in sweep.log; why it failed, in
FAILED. SIGTERM or Ctrl-C lets the runs save; the same command goes on.
Exit codes: 0 all done, 143 or 130 stopped, else that of the worst run (1, then 6 to 2,
then 143; see resnet_jax.main).
"""

import argparse
import collections
import pathlib
import re
import shlex
import sys
from collections.abc import Iterable, Sequence

from resnet_jax import cli
from resnet_jax.errors import ConfigError
from resnet_jax.paths import did_you_mean
from resnet_jax.sweep.process import Job, Outcome
from resnet_jax.sweep.scheduler import Launch, SweepBar

WORST = (1, 6, 5, 4, 3, 2, 143)
# What a site decides is given on sbatch's command line. SIGTERM comes five minutes
# ahead of the time limit, to a process that has taken the shell's place.
SLURM = """\
#!/bin/bash
# sbatch --time=1-00:00:00 --gres=gpu:1 THIS_FILE; again to go on with what is not DONE
#SBATCH --job-name={name}
#SBATCH --array=0-{last}{limit}
#SBATCH --signal=B:TERM@300
#SBATCH --requeue
#SBATCH --open-mode=append
case "$SLURM_ARRAY_TASK_ID" in
{cases}
*) echo "no task $SLURM_ARRAY_TASK_ID" >&2; exit 2 ;;
esac
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code of the command line `argv`."""
    argv = sys.argv if argv is None else argv
    if {"-h", "--help"} & set(argv):
        print(__doc__.strip())
        return 0
    codes: list[int] = []
    failed = cli.guarded(lambda: codes.append(_sweep(argv)), debug="--debug" in argv)
    return failed or codes[0]


def _sweep(argv: Sequence[str]) -> int:
    chosen, fields = parse(argv[1:])
    name = cli.folder_name(pathlib.Path(chosen.config).stem)
    jobs = make_jobs(chosen, fields, name=name)
    if chosen.commands:
        print("\n".join(map(command, jobs)))
    elif chosen.slurm:
        print(slurm(jobs, name=name, at_once=chosen.jobs), end="")
    elif chosen.dry_run:
        from resnet_jax.sweep import dry_run  # imports jax

        level = "shapes" if chosen.shapes else "time" if chosen.time else "compile"
        print(dry_run.table(jobs, name=name, level=level))
    else:
        launch = Launch(jobs, at_once=chosen.jobs or 1)
        with SweepBar(name, total=len(jobs)) as bar:
            number = launch.run(bar)
        print("\n".join(summary(launch.outcomes, total=len(jobs))))
        return 128 + number if number else worst(launch.outcomes)
    return 0


def parse(argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """The options, and the --config.x.y=v that every run is given."""
    parser = cli.Parser("resnet_jax.sweep")
    add = parser.add_argument
    add("--config", required=True)
    for option in ("--rows", "--seeds"):
        add(option)
    add("--runs", default="runs")
    add("--jobs", type=int)
    for option in ("shapes", "time", "debug"):
        add(f"--{option}", action="store_true")
    instead = parser.add_mutually_exclusive_group()
    for option in ("dry_run", "commands", "slurm"):
        instead.add_argument(f"--{option}", action="store_true")
    chosen, fields = parser.parse_known_args(argv)
    if chosen.jobs is not None and chosen.jobs < 1:
        raise ConfigError(f"--jobs={chosen.jobs}: must be at least 1")
    if (chosen.shapes or chosen.time) and not chosen.dry_run:
        raise ConfigError("--shapes, --time: belong to --dry_run")
    if chosen.shapes and chosen.time:
        raise ConfigError("--time: needs the steps that --shapes does not compile")
    if ":" in chosen.config:
        raise ConfigError(f"--config={chosen.config}: choose rows with --rows A,B")
    if any(re.match(r"--?config\.seed(=|$)", field) for field in fields):
        raise ConfigError("--config.seed: choose seeds with --seeds 0,1,2")
    return chosen, fields


def make_jobs(
    chosen: argparse.Namespace, fields: Sequence[str], *, name: str
) -> list[Job]:
    """Every row with every seed, seed after seed; ConfigError with all problems."""
    rows, seeds = chosen_rows(chosen), chosen_seeds(chosen)
    runs = pathlib.Path(chosen.runs).expanduser()
    jobs, problems = [], []
    for seed in seeds:
        for row in rows:
            folder = runs / name / cli.folder_name(row) / f"seed{seed}"
            reference, changed = f"{chosen.config}:{row}", [f"--config.seed={seed}"]
            changed += fields
            try:
                config = cli.changed(reference, changed)
            except ConfigError as error:
                problems += str(error).splitlines()
                continue
            if config.train.seeds:
                problems.append(
                    f"train.seeds={config.train.seeds}: a sweep starts a run for each "
                    "seed, --seeds 0,1,2; resnet_jax.main trains several in one program"
                )
            options = ("--config", reference, *changed, "--workdir", str(folder))
            jobs.append(Job(row, seed, folder, config, options))
    if problems:
        raise ConfigError("\n".join(dict.fromkeys(problems)))
    return jobs


def chosen_rows(chosen: argparse.Namespace) -> list[str]:
    known = list(cli.definitions(chosen.config).get("ROWS", ()))
    if not known:
        raise ConfigError(f"{chosen.config}: has no ROWS, or an empty one")
    rows = known if chosen.rows is None else _listed(chosen.rows)
    problems = [
        f"--rows: no row {row!r}; this experiment has {', '.join(known)}"
        f"{did_you_mean(row, known)}"
        for row in rows
        if row not in known
    ]
    if problems or not rows:
        raise ConfigError("\n".join(problems) or "--rows: names none")
    return rows


def chosen_seeds(chosen: argparse.Namespace) -> list[int]:
    if chosen.seeds is None:
        seeds = cli.definitions(chosen.config).get("SEEDS", (0,))
        return list(dict.fromkeys(seeds))
    try:
        seeds = [int(seed) for seed in _listed(chosen.seeds)]
    except ValueError:
        seeds = []
    if not seeds:
        raise ConfigError(f"--seeds={chosen.seeds}: give numbers, e.g. 0,1,2")
    return seeds


def _listed(text: str) -> list[str]:
    """Words between commas, each once."""
    return list(dict.fromkeys(w for word in text.split(",") if (w := word.strip())))


def command(job: Job) -> str:
    """A line for a shell."""
    return shlex.join(["python", "-m", "resnet_jax.main", *job.options])


def slurm(jobs: Sequence[Job], *, name: str, at_once: int | None) -> str:
    """A job array with a task for each run."""
    cases = [f"{i}) exec {command(job)} ;;" for i, job in enumerate(jobs)]
    return SLURM.format(
        name=name,
        last=len(jobs) - 1,
        limit=f"%{at_once}" if at_once else "",
        cases="\n".join(cases),
    )


def summary(outcomes: Sequence[Outcome], *, total: int) -> list[str]:
    """How many runs ended how, and a line for each that is not done."""
    count = collections.Counter(outcome.kind for outcome in outcomes)
    counts = [f"{count['done'] + count['kept']} of {total} runs done"]
    if count["kept"]:
        counts[0] += f", {count['kept']} of them before"
    kinds = ("failed", "refused", "stopped")
    counts += [f"{count[kind]} {kind}" for kind in kinds if count[kind]]
    if left := total - len(outcomes):
        counts.append(f"{left} not started")
    lines = ["; ".join(counts)]
    for outcome in (o for kind in kinds for o in outcomes if o.kind == kind):
        lines.append(f"{outcome.kind} {outcome.job.folder}: {outcome.said}")
    if count["done"] + count["kept"] < total:
        lines.append("the same command goes on with the runs that are not done")
    return lines


def worst(outcomes: Iterable[Outcome]) -> int:
    codes = {outcome.code for outcome in outcomes}
    return next((code for code in WORST if code in codes), max(codes, default=0))


if __name__ == "__main__":
    sys.exit(main())
