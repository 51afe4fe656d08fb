"""Plan of a sweep: one job per row and seed of an experiment file."""

import dataclasses
import pathlib
from collections.abc import Iterator, Mapping, Sequence

from resnet_jax.config.experiment_file import ExperimentFile
from resnet_jax.config.schema import Config
from resnet_jax.errors import ConfigError
from resnet_jax.paths import did_you_mean


@dataclasses.dataclass(frozen=True)
class Job:
    """One run with its folder, config, and options of resnet_jax.main."""

    row: str
    seed: int
    folder: pathlib.Path
    config: Config
    options: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.row}/seed{self.seed}"


def plan(
    experiment: ExperimentFile,
    fields: Sequence[str],
    *,
    rows: str | None,
    seeds: str | None,
    runs: pathlib.Path,
) -> list[Job]:
    """List the jobs, all rows of a seed first; ConfigError with all problems.

    `rows` and `seeds` are comma-separated, None for those of the file; `fields` are the
    --config.x.y=v of every run.
    """
    names, wrong_rows = chosen_rows(experiment, rows)
    numbers, wrong_seeds = chosen_seeds(experiment, seeds)
    if problems := wrong_rows + wrong_seeds:
        raise ConfigError("\n".join(problems))
    jobs: list[Job] = []
    affected: dict[str, list[str]] = {}  # rows by problem
    for seed in numbers:
        for row in names:
            folder = runs.expanduser() / experiment.name / row / f"seed{seed}"
            changes = [f"--config.seed={seed}", *fields]
            try:
                config = experiment.config(row, changes)
                if config.train.seeds:
                    raise ConfigError(
                        f"train.seeds={config.train.seeds}: a sweep starts a run for "
                        "each seed, --seeds 0,1,2; resnet_jax.main trains several in "
                        "one program"
                    )
            except ConfigError as error:
                for problem in str(error).splitlines():
                    affected.setdefault(problem, []).append(row)
                continue
            of, own = experiment.variant(row)
            options = ("--config", f"{experiment.path}:{of}", *own, *changes)
            options += ("--workdir", str(folder))
            jobs.append(Job(row, seed, folder, config, options))
    if affected:
        raise ConfigError("\n".join(_with_rows(affected, total=len(names))))
    return jobs


def with_networks(jobs: Sequence[Job]) -> Sequence[Job]:
    """Return the jobs; ConfigError where a row's network cannot be; imports jax."""
    rows = {job.row: job.config for job in jobs}
    affected: dict[str, list[str]] = {}
    for row, config in rows.items():
        try:
            config.model.network()
        except ConfigError as error:
            affected.setdefault(str(error), []).append(row)
    if affected:
        raise ConfigError("\n".join(_with_rows(affected, total=len(rows))))
    return jobs


def chosen_rows(
    experiment: ExperimentFile, listed: str | None
) -> tuple[list[str], list[str]]:
    """(chosen rows, problems with the list)."""
    known = list(experiment.rows)
    if not known:
        return [], [f"{experiment.path}: has no ROWS, or an empty one"]
    if listed is None:
        return known, []
    rows = _words(listed)
    names = list(dict.fromkeys(experiment.variant(row).row for row in known))
    problems = [
        f"--rows: no row {row!r}; this experiment has {', '.join(names)}"
        f"{did_you_mean(row, names)}"
        for row in rows
        if row not in {*names, *known}
    ]
    if not rows:
        problems.append(
            "--rows is empty; list rows, e.g. --rows " + ",".join(names[:2])
        )
    return [
        name
        for row in rows
        for name in known
        if row in (name, experiment.variant(name).row)
    ], problems


def chosen_seeds(
    experiment: ExperimentFile, listed: str | None
) -> tuple[list[int], list[str]]:
    """(chosen seeds, problems with the list)."""
    if listed is None:
        return list(experiment.seeds or (0,)), []
    try:
        seeds = [int(seed) for seed in _words(listed)]
    except ValueError:
        seeds = []
    if not seeds:
        return [], [f"--seeds={listed}: must be whole numbers, e.g. 0,1,2"]
    return seeds, []


def _words(listed: str) -> list[str]:
    """Split at commas, without repetitions."""
    words = (word.strip() for word in listed.split(","))
    return list(dict.fromkeys(word for word in words if word))


def _with_rows(affected: Mapping[str, Sequence[str]], *, total: int) -> Iterator[str]:
    """Problems, each with its rows unless all rows have it."""
    for problem, rows in affected.items():
        names = dict.fromkeys(rows)
        yield problem + (f" (rows: {', '.join(names)})" if len(names) < total else "")
