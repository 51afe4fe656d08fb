"""Runs of an experiment, read from their folders."""

import hashlib
import json
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resnet_jax.config.experiment_file import ExperimentFile
from resnet_jax.config.merge import Tree
from resnet_jax.config.migrate import migrated
from resnet_jax.errors import ConfigError, DataError
from resnet_jax.paths import flat
from resnet_jax.runs.compatibility import differences
from resnet_jax.runs.directory import CUT
from resnet_jax.runs.reader import LogFile, gaps
from resnet_jax.runs.result import USUAL, Outcome, Score, contradictions, outcome
from resnet_jax.runs.row import Split, as_int, as_number

OLD_AVERAGE = (
    "train.ema: averages of parameters were scored with BatchNorm statistics of others"
)
WINDOWS = 50  # rows of a split read for the time per step and `computed`
COMPUTED = ("split", "step", "n", "loss", "top1_err", "top5_err", "stats")
FILES = ("config.json", "env.json", "metrics.jsonl", "DONE", "FAILED")


@dataclass(frozen=True, kw_only=True)
class Run:
    """One row and seed: its outcome, problems with its files, and its facts."""

    row: str
    seed: int
    path: Path
    outcome: Outcome
    changed: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()  # complaints about fields of an older version
    torn: str = ""
    problems: tuple[str, ...] = ()
    wall_s: float | None = None
    step_s: float | None = None  # median over train rows
    parameters: int | None = None
    multiply_adds: int | None = None
    total_steps: int | None = None  # of the schedule
    devices: str = ""
    data: str = ""
    dataset: tuple[str, ...] = ()  # name, version and description of the data
    depth: int | None = None
    lines: int = 0
    digest: str = ""
    id: str = ""
    computed: str = ""  # digest of the losses and errors of a run that is done
    cut: bool = False  # its network was cut by its seed's weights
    cut_err: float | None = None  # of the test before the first update
    foreign: tuple[str, ...] = ()  # reasons why it is not the run of its folder

    @property
    def name(self) -> str:
        return f"{self.row}/seed{self.seed}"

    @property
    def done(self) -> bool:
        return self.outcome.status == "done"

    @property
    def failed(self) -> bool:
        return self.outcome.status == "failed"

    @property
    def ended_early(self) -> bool:
        """True if it is done with fewer iterations than its schedule has."""
        return bool(self.final and self.final.step < (self.total_steps or 0))

    @property
    def final(self) -> Score | None:
        """The test at the last step."""
        return self.outcome.final


def read_runs(experiment: ExperimentFile, runs: Path) -> dict[str, tuple[Run, ...]]:
    """Read the runs of every row in the order of SEEDS, then those of other seeds."""
    if not runs.is_dir():
        raise DataError(f"--runs {runs}: no such folder; name the one the runs are in")
    return {row: _read_row(experiment, runs, row) for row in experiment.rows}


def unknown_folders(experiment: ExperimentFile, runs: Path) -> tuple[str, ...]:
    """Names of the experiment's folders that are no rows of its file."""
    folder = runs / experiment.name
    found = folder.iterdir() if folder.is_dir() else ()
    return tuple(
        sorted(p.name for p in found if p.is_dir() and p.name not in experiment.rows)
    )


def digest(runs: Sequence[Run]) -> str:
    """SHA-256 over the names and files of runs in any order."""
    named = sorted(f"{run.name} {run.digest}\n" for run in runs)
    return hashlib.sha256("".join(named).encode()).hexdigest()


def _read_row(experiment: ExperimentFile, runs: Path, row: str) -> tuple[Run, ...]:
    today, folder = experiment.tree(row), runs / experiment.name / row
    names = folder.glob("seed*") if folder.is_dir() else ()
    found = {p.name.removeprefix("seed"): p for p in names if p.is_dir()}
    seeds = {int(k) for k in found if k.isascii() and k.isdigit() and k == str(int(k))}
    order = [s for s in experiment.seeds if s in seeds]
    order += sorted(seeds - set(experiment.seeds))
    return tuple(_read_run(today, found[str(s)], row, s) for s in order)


def _read_run(today: Tree, path: Path, row: str, seed: int) -> Run:
    """Read a run's folder, with `today`, the config of its row."""
    problems: list[str] = []
    config = _json(path / "config.json", problems) or {}
    fields = flat(config)
    tree, unread = _migrated(config, problems)
    env = _json(path / "env.json", problems) or {}
    cut = flat(_json(path / CUT, problems) or {})
    end = _json(path / "DONE", problems)
    log = _log(path / "metrics.jsonl", problems, run=config.get("run"))
    if end is not None and not config:
        problems.append("config.json: missing, so what was run is not known")
    found = outcome(
        path,
        end,
        log,
        protocol=fields.get("data.protocol.name", USUAL),
        num_classes=as_int(fields.get("derived.num_classes")),
    )
    if fields.get("train.ema") and found.final and found.final.params == "last":
        unread.append(OLD_AVERAGE)
    every = as_int(fields.get("derived.eval_every"))
    problems += _faults(path, found, log, every=every)
    return Run(
        row=row,
        seed=seed,
        path=path,
        outcome=found,
        changed=differences(tree, today) if config else (),
        unread=tuple(unread),
        torn=f"metrics.jsonl {log.torn}" if log and log.torn else "",
        problems=tuple(problems),
        wall_s=as_number((end or {}).get("wall_s")),
        step_s=_step_s(log, as_int(fields.get("data.batch_size"))),
        parameters=as_int(fields.get("derived.num_params")),
        multiply_adds=as_int(fields.get("derived.multiply_adds")),
        total_steps=as_int(fields.get("derived.total_steps")),
        devices=_devices(env),
        data=_description(fields),
        dataset=(*_data_id(fields), _description(fields)),
        depth=as_int(fields.get("model.depth")),
        lines=log.count if log else 0,
        digest=_digest(path, log),
        id=str(config.get("run") or ""),
        computed=_computed(log) if log and found.final else "",
        cut=bool(fields.get("train.prune.name")),
        cut_err=as_number(cut.get("errors.test.top1_err")),
        foreign=_other_seed(config, seed),
    )


def _faults(
    path: Path, found: Outcome, log: LogFile | None, *, every: int | None
) -> list[str]:
    """Faults of a run's log and of its result.json; `every`: steps per evaluation."""
    if log is None:
        return []
    faults = [f"metrics.jsonl {p}" for p in log.problems if p.kind != "torn"]
    if found.final:
        end = found.final.step
        # Without an interval, rows beyond the end are all that can be found.
        holes = gaps(log, every=every or end + 1, end=end)
        faults += [f"metrics.jsonl {hole}" for hole in holes]
    result = _json(path / "result.json", faults)
    if result and not found.final and found.status == "incomplete":
        faults.append(f"metrics.jsonl: {found.reason}, but result.json is there")
    if found.final and result:
        faults += [f"result.json: {c}" for c in contradictions(result, found)]
    return faults


def _other_seed(config: Mapping[str, Any], seed: int) -> tuple[str, ...]:
    """The complaint about a config of another seed than its folder names."""
    if not config or config.get("seed") == seed:
        return ()
    found = config.get("seed")
    return (f"config.json: seed is {found!r}, the folder is of seed {seed}",)


def _data_id(fields: Mapping[str, Any]) -> tuple[str, ...]:
    """Name and version of the data, the first parts of their fingerprint."""
    known = fields.get("derived.data") or fields.get("data.name") or ""
    return tuple(str(known).split(":")[:2])


def _description(fields: Mapping[str, Any]) -> str:
    return " ".join(str(fields.get("derived.description") or "").split())


def _step_s(log: LogFile | None, batch: int | None) -> float | None:
    """Seconds per step: median over up to WINDOWS train rows."""
    if log is None or not batch:
        return None
    windows = [
        (as_number(row.get("step_s")), as_int(row.get("n")))
        for row in log.rows("train", at_most=WINDOWS)
    ]
    each = [seconds / n * batch for seconds, n in windows if seconds and n]
    return statistics.median(each) if each else None


def _migrated(config: Mapping[str, Any], problems: list[str]) -> tuple[Tree, list[str]]:
    """A run's config in today's schema, and complaints about unread fields."""
    try:
        return migrated({k: v for k, v in config.items() if k != "derived"})
    except ConfigError as error:
        problems.append(f"config.json: {error}")
        return {}, []


def _json(path: Path, problems: list[str]) -> dict[str, Any] | None:
    """The JSON object in a file; None without one, or with a problem added."""
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        problems.append(f"{path.name}: {error.strerror}")
    except (ValueError, RecursionError):
        problems.append(f"{path.name}: not JSON")
    else:
        if isinstance(content, dict):
            return content
        problems.append(f"{path.name}: not a JSON object")
    return None


def _log(path: Path, problems: list[str], *, run: object) -> LogFile | None:
    """The log of a run, whose id is in its config; None without one."""
    try:
        return LogFile(path, run=run if isinstance(run, str) else None)
    except FileNotFoundError:
        return None
    except OSError as error:
        problems.append(f"{path.name}: {error.strerror}")
        return None


def _computed(log: LogFile) -> str:
    """SHA-256 over losses and errors, which differ from seed to seed; "" without."""
    splits: tuple[Split, ...] = ("train", "test")
    rows = [row for split in splits for row in log.rows(split, at_most=WINDOWS)]
    if all(row.get("loss") is None for row in rows):
        return ""
    numbers = [[row.get(name) for name in COMPUTED] for row in rows]
    return hashlib.sha256(json.dumps(numbers).encode()).hexdigest()


def _digest(path: Path, log: LogFile | None) -> str:
    """SHA-256 over a run's FILES, by which a table names its logs."""
    total = hashlib.sha256()
    for name in FILES:
        if name == "metrics.jsonl":
            content = log.digest.encode() if log else b""
        else:
            content = (path / name).read_bytes() if (path / name).is_file() else b""
        total.update(hashlib.sha256(content).digest())
    if (path / CUT).is_file():
        total.update((path / CUT).read_bytes())
    return total.hexdigest()


def _devices(env: dict[str, Any]) -> str:
    devices = env.get("devices", "")
    if isinstance(devices, list):
        counts = Counter(map(str, devices))
        return ", ".join(f"{n} x {device}" for device, n in counts.items())
    return devices if isinstance(devices, str) else json.dumps(devices, sort_keys=True)
