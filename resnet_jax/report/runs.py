"""The runs of an experiment: folders with a config, a log and, once finished, DONE."""

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
from resnet_jax.runs.compatibility import differences
from resnet_jax.runs.reader import LogFile, gaps
from resnet_jax.runs.result import USUAL, Outcome, Score, contradictions, outcome

WINDOWS = 50  # rows of training read for the time of a step
FILES = ("config.json", "env.json", "metrics.jsonl", "DONE", "FAILED")


@dataclass(frozen=True, kw_only=True)
class Run:
    """One row and seed: its outcome, what is wrong with its files, and its facts."""

    row: str
    seed: int
    path: Path
    outcome: Outcome
    changed: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()  # fields of its config that nothing reads today
    torn: str = ""
    problems: tuple[str, ...] = ()
    wall_s: float | None = None
    step_s: float | None = None  # median over the log of training
    parameters: int | None = None
    multiply_adds: int | None = None
    total_steps: int | None = None  # of the schedule
    devices: str = ""
    data: str = ""
    depth: int | None = None
    num_classes: int | None = None
    lines: int = 0
    digest: str = ""

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
        """Is it done with fewer iterations than its schedule has?"""
        return bool(self.final and self.final.step < (self.total_steps or 0))

    @property
    def final(self) -> Score | None:
        """The test that counts."""
        return self.outcome.final


def read_runs(experiment: ExperimentFile, runs: Path) -> dict[str, tuple[Run, ...]]:
    """Every run found of every row, ordered as SEEDS, further seeds after those."""
    if not runs.is_dir():
        raise DataError(f"--runs {runs}: no such folder; name the one the runs are in")
    return {
        row: _read_row(
            experiment, experiment.tree(row), runs / experiment.name / row, row
        )
        for row in experiment.rows
    }


def strangers(experiment: ExperimentFile, runs: Path) -> tuple[str, ...]:
    """Folders of the experiment that belong to no row of its file."""
    folder = runs / experiment.name
    found = folder.iterdir() if folder.is_dir() else ()
    return tuple(
        sorted(p.name for p in found if p.is_dir() and p.name not in experiment.rows)
    )


def digest(runs: Sequence[Run]) -> str:
    """SHA-256 over some runs' names and files, whatever their order."""
    named = sorted(f"{run.name} {run.digest}\n" for run in runs)
    return hashlib.sha256("".join(named).encode()).hexdigest()


def _read_row(
    experiment: ExperimentFile, today: Tree, folder: Path, row: str
) -> tuple[Run, ...]:
    names = folder.glob("seed*") if folder.is_dir() else ()
    found = {p.name.removeprefix("seed"): p for p in names if p.is_dir()}
    seeds = {int(k) for k in found if k.isascii() and k.isdigit() and k == str(int(k))}
    order = [s for s in experiment.seeds if s in seeds] + sorted(
        seeds - set(experiment.seeds)
    )
    return tuple(_read_run(today, found[str(s)], row, s) for s in order)


def _read_run(today: Tree, path: Path, row: str, seed: int) -> Run:
    """A run's outcome, its facts, and what is wrong with its files."""
    problems: list[str] = []
    config = _json(path / "config.json", problems) or {}
    derived = _section(config, "derived")
    tree, unread = _migrated(config, problems)
    env = _json(path / "env.json", problems) or {}
    end = _json(path / "DONE", problems)
    log = _log(path / "metrics.jsonl", problems)
    if end is not None and not config:
        problems.append("config.json: missing, so what was run is not known")
    protocol = _section(_section(config, "data"), "protocol").get("name", USUAL)
    found = outcome(path, end, log, protocol=protocol)
    step_s = _step_s(log, _whole(_section(config, "data").get("batch_size")))
    problems += _faults(path, found, log, every=_whole(derived.get("eval_every")))
    return Run(
        row=row,
        seed=seed,
        path=path,
        outcome=found,
        changed=differences(tree, today) if config else (),
        unread=tuple(unread),
        torn=f"metrics.jsonl {log.torn}" if log and log.torn else "",
        problems=tuple(problems),
        wall_s=_number((end or {}).get("wall_s")),
        step_s=step_s,
        parameters=_whole(derived.get("num_params")),
        multiply_adds=_whole(derived.get("multiply_adds")),
        total_steps=_whole(derived.get("total_steps")),
        devices=_devices(env),
        data=" ".join(str(derived.get("description") or "").split()),
        depth=_whole(_section(config, "model").get("depth")),
        num_classes=_whole(derived.get("num_classes")),
        lines=log.count if log else 0,
        digest=_digest(path, log),
    )


def _faults(
    path: Path, found: Outcome, log: LogFile | None, *, every: int | None
) -> list[str]:
    """Faults of the log of a run, and of its result.json."""
    if log is None:
        return []
    faults = [f"metrics.jsonl {p}" for p in log.problems if p.kind != "torn"]
    if found.final and every:
        holes = gaps(log, every=every, end=found.final.step)
        faults += [f"metrics.jsonl {hole}" for hole in holes]
    result = _json(path / "result.json", faults)
    if found.final and result:
        faults += [f"result.json: {c}" for c in contradictions(result, found)]
    return faults


def _step_s(log: LogFile | None, batch: int | None) -> float | None:
    """Seconds of a step: the median over windows of training, some of a long log."""
    if log is None or not batch:
        return None
    windows = [
        (_number(row.get("step_s")), _whole(row.get("n")))
        for row in log.rows("train", at_most=WINDOWS)
    ]
    each = [seconds / n * batch for seconds, n in windows if seconds and n]
    return statistics.median(each) if each else None


def _migrated(config: Mapping[str, Any], problems: list[str]) -> tuple[Tree, list[str]]:
    """The config of a run as a tree of today, and what nothing read of it."""
    try:
        return migrated({k: v for k, v in config.items() if k != "derived"})
    except ConfigError as error:
        problems.append(f"config.json: {error}")
        return {}, []


def _json(path: Path, problems: list[str]) -> dict[str, Any] | None:
    """A JSON object from a file; None where there is no file, or a named problem."""
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


def _log(path: Path, problems: list[str]) -> LogFile | None:
    try:
        return LogFile(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        problems.append(f"{path.name}: {error.strerror}")
        return None


def _digest(path: Path, log: LogFile | None) -> str:
    """SHA-256 over the run's files, so that a table names the logs it was made from."""
    total = hashlib.sha256()
    for name in FILES:
        if name == "metrics.jsonl":
            content = log.digest.encode() if log else b""
        else:
            content = (path / name).read_bytes() if (path / name).is_file() else b""
        total.update(hashlib.sha256(content).digest())
    return total.hexdigest()


def _devices(env: dict[str, Any]) -> str:
    devices = env.get("devices", "")
    if isinstance(devices, list):
        counts = Counter(map(str, devices))
        return ", ".join(f"{n} x {device}" for device, n in counts.items())
    return devices if isinstance(devices, str) else json.dumps(devices, sort_keys=True)


def _section(tree: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A section of a config; empty where it is missing."""
    section = tree.get(name)
    return section if isinstance(section, dict) else {}


def _whole(number: Any) -> int | None:
    whole = isinstance(number, int) and not isinstance(number, bool)
    return number if whole else None


def _number(number: Any) -> float | None:
    fits = isinstance(number, int | float) and not isinstance(number, bool)
    return float(number) if fits else None
