"""The runs of an experiment: folders with a config, a log and, once finished, DONE."""

import hashlib
import json
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from resnet_jax.config.experiment_file import ExperimentFile
from resnet_jax.config.merge import Tree
from resnet_jax.config.migrate import migrated
from resnet_jax.errors import DataError
from resnet_jax.runs.compatibility import differences
from resnet_jax.runs.reader import Lines

WINDOWS = 50  # rows of training read for the time of a step
FILES = ("config.json", "env.json", "metrics.jsonl", "DONE", "FAILED")


@dataclass(frozen=True)
class Score:
    """Errors in percent over n examples, as one evaluation logged them."""

    step: int
    n: int
    top1_err: float
    top5_err: float | None


@dataclass(frozen=True, kw_only=True)
class Run:
    """One row and seed. `final` is the test at the last step with moving averages,
    `precise` the same with precise BatchNorm statistics, `selected` the test at the
    step of the lowest validation error. Only a run that is done has them.
    """

    row: str
    seed: int
    path: Path
    state: Literal["done", "incomplete", "failed"]
    reason: str = ""
    final: Score | None = None
    precise: Score | None = None
    selected: Score | None = None
    changed: tuple[str, ...] = ()
    torn: str = ""
    problems: tuple[str, ...] = ()
    wall_s: float | None = None
    step_s: float | None = None  # median over the log of training
    parameters: int | None = None
    multiply_adds: int | None = None
    devices: str = ""
    data: str = ""
    depth: int | None = None
    lines: int = 0
    digest: str = ""

    @property
    def name(self) -> str:
        return f"{self.row}/seed{self.seed}"


def read_runs(claim: ExperimentFile, runs: Path) -> dict[str, tuple[Run, ...]]:
    """Every run found of every row, ordered as SEEDS, further seeds after those."""
    if not runs.is_dir():
        raise DataError(f"--runs {runs}: no such folder; name the one the runs are in")
    return {
        row: _read_row(claim, claim.tree(row), runs / claim.name / row, row)
        for row in claim.rows
    }


def strangers(claim: ExperimentFile, runs: Path) -> tuple[str, ...]:
    """Folders of the experiment that belong to no row of its file."""
    folder = runs / claim.name
    found = folder.iterdir() if folder.is_dir() else ()
    return tuple(
        sorted(p.name for p in found if p.is_dir() and p.name not in claim.rows)
    )


def digest(runs: Sequence[Run]) -> str:
    """SHA-256 over some runs' names and files, whatever their order."""
    named = sorted(f"{run.name} {run.digest}\n" for run in runs)
    return hashlib.sha256("".join(named).encode()).hexdigest()


def _read_row(
    claim: ExperimentFile, today: Tree, folder: Path, row: str
) -> tuple[Run, ...]:
    names = folder.glob("seed*") if folder.is_dir() else ()
    found = {p.name.removeprefix("seed"): p for p in names if p.is_dir()}
    seeds = {int(k) for k in found if k.isascii() and k.isdigit() and k == str(int(k))}
    order = [s for s in claim.seeds if s in seeds] + sorted(seeds - set(claim.seeds))
    return tuple(_read_run(today, found[str(s)], row, s) for s in order)


def _read_run(today: Tree, path: Path, row: str, seed: int) -> Run:
    """A run's state, scores and what is wrong with its files."""
    problems: list[str] = []
    config = _json(path / "config.json", problems)
    tree, _ = (
        migrated({k: v for k, v in config.items() if k != "derived"})
        if config
        else ({}, [])
    )
    env = _json(path / "env.json", problems) or {}
    done = _json(path / "DONE", problems)
    log = _log(path / "metrics.jsonl", problems)
    if done is not None and config is None:
        problems.append("config.json: missing, so what was run is not known")
    state, reason, scores = _outcome(path, done, log)
    problems += [f"metrics.jsonl {p}" for p in log.problems] if log else []
    facts = {
        "changed": differences(tree, today) if config else (),
        "wall_s": _number((done or {}).get("wall_s")),
        "step_s": _step_s(log, _whole(_within(config, "data", "batch_size"))),
        "parameters": _whole(_within(config, "derived", "num_params")),
        "multiply_adds": _whole(_within(config, "derived", "multiply_adds")),
        "devices": _devices(env),
        "data": " ".join(str(_within(config, "derived", "description") or "").split()),
        "depth": _whole(_within(config, "model", "depth")),
        "lines": log.count if log else 0,
        "digest": _digest(path, log),
    }
    return Run(
        row=row,
        seed=seed,
        path=path,
        state=state,
        reason=reason,
        torn=f"metrics.jsonl {log.torn}" if log and log.torn else "",
        problems=tuple(problems),
        **scores,
        **facts,
    )


def _outcome(path: Path, done: dict | None, log: Lines | None):
    """(state, reason, scores): only a finished run with a finite test error counts."""
    if done is None or log is None:
        return (*_unfinished(path, log), {})
    step = _whole(done.get("step"))
    if step is None:
        return "incomplete", "DONE names no step", {}
    tests = log.last("test", step)
    moving = [t for t in tests if t.get("stats", "moving") == "moving"]
    if not moving:
        return "incomplete", f"no test row at step {step}, the last", {}
    if len({t.get("top1_err") for t in moving}) > 1:
        log.problems.append(f"has {len(moving)} different test rows at step {step}")
    final = _score(moving[0])
    if final is None:
        return "failed", f"the test error at step {step} is not finite", {}
    precise = [t for t in tests if t.get("stats") == "precise"]
    return (
        "done",
        "",
        {
            "final": final,
            "precise": _score(precise[0]) if precise else None,
            "selected": _selected(log),
        },
    )


def _unfinished(path: Path, log: Lines | None) -> tuple[str, str]:
    """Why there is no DONE: the run's own word, a number not finite, or time."""
    if (path / "FAILED").exists():
        word = (path / "FAILED").read_text(encoding="utf-8", errors="replace")
        return "failed", word.strip().split("\n")[0] or "no reason given"
    last = log.final() if log else None
    if last is None:
        return "incomplete", "no log lines"
    if last.get("nonfinite"):
        return "failed", f"not finite at step {last['step']}"
    return "incomplete", f"stopped at step {last['step']}"


def _selected(log: Lines) -> Score | None:
    """The test at the lowest validation error; the earliest where two are equal."""
    vals = [v for v in log.rows("val") if v.get("top1_err") is not None]
    vals = [v for v in vals if v.get("stats", "moving") == "moving"]
    if not vals:
        return None
    step = min(vals, key=lambda v: (v["top1_err"], v["step"]))["step"]
    tests = log.last("test", step)
    tests = [t for t in tests if t.get("stats", "moving") == "moving"]
    return _score(tests[0]) if tests else None


def _step_s(log: Lines | None, batch: int | None) -> float | None:
    """Seconds of a step: the median over windows of training, some of a long log."""
    rows = log.rows("train", at_most=WINDOWS) if log and batch else ()
    each = [
        seconds / examples * batch
        for seconds, examples in ((_number(r.get("step_s")), r.get("n")) for r in rows)
        if seconds and _whole(examples)
    ]
    return statistics.median(each) if each else None


def _score(row: dict[str, Any]) -> Score | None:
    top1, top5 = row.get("top1_err"), row.get("top5_err")
    if top1 is None:
        return None
    return Score(
        step=row["step"],
        n=_whole(row.get("n")) or 0,
        top1_err=float(top1),
        top5_err=None if top5 is None else float(top5),
    )


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


def _log(path: Path, problems: list[str]) -> Lines | None:
    try:
        return Lines(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        problems.append(f"{path.name}: {error.strerror}")
        return None


def _digest(path: Path, log: Lines | None) -> str:
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


def _within(config: dict[str, Any] | None, section: str, name: str) -> Any:
    """A field of a section of a config; None where either is missing."""
    fields = (config or {}).get(section)
    return fields.get(name) if isinstance(fields, dict) else None


def _whole(number: Any) -> int | None:
    whole = isinstance(number, int) and not isinstance(number, bool)
    return number if whole else None


def _number(number: Any) -> float | None:
    fits = isinstance(number, int | float) and not isinstance(number, bool)
    return float(number) if fits else None
