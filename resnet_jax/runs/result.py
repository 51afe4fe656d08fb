"""The result of a run: its status, its scores, and result.json."""

import dataclasses
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypedDict, cast

from resnet_jax.runs.directory import read_json
from resnet_jax.runs.reader import LogFile, LogRow

Status = Literal["done", "incomplete", "failed"]
USUAL = "1crop"  # protocol of rows that name none


class Best(TypedDict):
    """The evaluation of the lowest validation error; errors in percent."""

    step: int
    val_top1_err: float
    test_top1_err: float


class Result(TypedDict):
    """result.json: errors in percent at the last step, over `n` test examples."""

    step: int
    n: int
    test_top1_err: float
    test_top1_err_precise: float | None
    best_on_val: Best | None
    wall_s: float


@dataclasses.dataclass(frozen=True)
class Score:
    """Errors in percent over n examples, as one evaluation logged them."""

    step: int
    n: int
    top1_err: float
    top5_err: float | None
    protocol: str = USUAL


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """The end of a run, or why it has none.

    `final` is the test at the last step with moving averages, `precise` the same with
    precise BatchNorm statistics, `selected` the test at the step of the lowest
    validation error. Only a run that is done has them.
    """

    status: Status
    reason: str = ""
    final: Score | None = None
    precise: Score | None = None
    selected: Score | None = None


def outcome(
    folder: pathlib.Path,
    end: Mapping[str, Any] | None,
    log: LogFile | None,
    *,
    protocol: str = USUAL,
) -> Outcome:
    """The outcome of a run from DONE and its log, None where there is no such file.

    Only a finished run with a finite test error counts; of several protocols that of
    the config does.
    """
    if end is None or log is None:
        return _unfinished(folder, log)
    step = end.get("step")
    if not isinstance(step, int) or isinstance(step, bool):
        return Outcome(status="incomplete", reason="DONE names no step")
    tests = [row for row in log.at("test", step) if _protocol(row) == protocol]
    final = _only(tests, "moving")
    if final is None:
        reason = f"no test row at step {step}, the last"
        return Outcome(status="incomplete", reason=reason)
    score = _score(final)
    if score is None:
        reason = f"the test error at step {step} is not finite"
        return Outcome(status="failed", reason=reason)
    return Outcome(
        status="done",
        final=score,
        precise=_score(_only(tests, "precise")),
        selected=_selected(log, protocol),
    )


def failure(folder: pathlib.Path) -> str | None:
    """The first line of FAILED; None for a run that has not failed."""
    try:
        text = (folder / "FAILED").read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
    return text.strip().partition("\n")[0] or "no reason given"


def diverged(folder: pathlib.Path) -> str | None:
    """Why a run ended, where its loss was not finite."""
    kind, _, reason = (failure(folder) or "").partition(": ")
    return reason.partition(";")[0] if kind == "diverged" else None


def done(folder: pathlib.Path, *, steps: int) -> Result | None:
    """The result of a run that has made so many steps."""
    end = read_json(folder / "DONE")
    result = read_json(folder / "result.json")
    return cast(Result, result) if end and result and end["step"] >= steps else None


def summary(
    path: pathlib.Path, *, best: Best | None, wall_s: float, protocol: str = USUAL
) -> Result:
    """The result of a run that has made its last step, from its log."""
    log = LogFile(path)
    step = log.steps("test")[-1]
    tests = [row for row in log.at("test", step) if _protocol(row) == protocol]
    final, precise = (_score(_only(tests, stats)) for stats in ("moving", "precise"))
    if final is None:
        raise ValueError(f"{path}: no finite test error at step {step}")
    return {
        "step": step,
        "n": final.n,
        "test_top1_err": final.top1_err,
        "test_top1_err_precise": precise and precise.top1_err,
        "best_on_val": best,
        "wall_s": wall_s,
    }


def contradictions(result: Mapping[str, Any], outcome: Outcome) -> list[str]:
    """Errors that result.json and the log of a finished run do not share."""
    told = {
        "test_top1_err": outcome.final,
        "test_top1_err_precise": outcome.precise,
    }
    return [
        f"{name} is {result[name]!r}, the log has {score.top1_err!r}"
        for name, score in told.items()
        if score and result.get(name) not in (None, score.top1_err)
    ]


def _unfinished(folder: pathlib.Path, log: LogFile | None) -> Outcome:
    """Why there is no DONE: FAILED, a number that is not finite, or time."""
    if reason := failure(folder):
        return Outcome(status="failed", reason=reason)
    last = log and log.last()
    if last is None:
        return Outcome(status="incomplete", reason="no log lines")
    if last.get("nonfinite"):
        return Outcome(status="failed", reason=f"not finite at step {last['step']}")
    return Outcome(status="incomplete", reason=f"stopped at step {last['step']}")


def _selected(log: LogFile, protocol: str) -> Score | None:
    """The test at the lowest validation error; the earliest where two are equal."""
    errors = [
        (error, row["step"])
        for row in log.rows("val")
        if (error := row.get("top1_err")) is not None
        and row.get("stats", "moving") == "moving"
        and _protocol(row) == protocol
    ]
    if not errors:
        return None
    _, step = min(errors)
    tests = [row for row in log.at("test", step) if _protocol(row) == protocol]
    return _score(_only(tests, "moving"))


def _protocol(row: LogRow) -> str:
    return row.get("protocol", USUAL)


def _only(rows: Iterable[LogRow], stats: str) -> LogRow | None:
    """The first of some rows under one kind of BatchNorm statistics."""
    return next((row for row in rows if row.get("stats", "moving") == stats), None)


def _score(row: LogRow | None) -> Score | None:
    """The score in a row; None where its error is not finite."""
    top1 = row and row.get("top1_err")
    if row is None or top1 is None:
        return None
    top5, n = row.get("top5_err"), row.get("n", 0)
    return Score(
        step=row["step"],
        n=n if isinstance(n, int) else 0,
        top1_err=float(top1),
        top5_err=None if top5 is None else float(top5),
        protocol=_protocol(row),
    )
