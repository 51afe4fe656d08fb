"""Result of a run: its status, its scores, and result.json."""

import dataclasses
import logging
import pathlib
from collections.abc import Mapping
from typing import Any, Literal, TypedDict, cast

from resnet_jax.paths import flat
from resnet_jax.runs.directory import read_config, read_json
from resnet_jax.runs.reader import LogFile, gaps
from resnet_jax.runs.row import LogRow, as_int

_log = logging.getLogger(__name__)

Status = Literal["done", "incomplete", "failed"]
USUAL = "1crop"  # protocol of rows without this field
TOP5_CLASSES = 6  # least number of classes for which a top-5 error can be above 0


class Best(TypedDict):
    """Evaluation with the lowest validation error; errors in percent."""

    step: int
    val_top1_err: float
    test_top1_err: float


class Result(TypedDict):
    """Content of result.json: errors in percent at the last step, n test examples."""

    step: int
    n: int
    test_top1_err: float
    test_top1_err_precise: float | None
    best_on_val: Best | None
    wall_s: float


@dataclasses.dataclass(frozen=True)
class Score:
    """Errors in percent over n examples in one logged evaluation.

    `params`: `last`, or `ema` for the moving average of the parameters.
    """

    step: int
    n: int
    top1_err: float
    top5_err: float | None
    protocol: str = USUAL
    params: str = "last"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """Status of a run, and the scores of one that is done.

    `final`: test at the last step with moving averages; `precise`: with precise
    BatchNorm statistics; `selected`: at the step of the lowest validation error.
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
    num_classes: int | None = None,
) -> Outcome:
    """Judge a run by DONE and its log, each None if the file is missing.

    A run is done if it has a finite test error under `protocol` at its last step. Of
    fewer than TOP5_CLASSES classes there is no top-5 error.
    """
    if end is None or log is None:
        return _unfinished(folder, log)
    step = as_int(end.get("step"))
    if step is None:
        return Outcome(status="incomplete", reason="DONE names no step")
    final = _test(log, step, protocol)
    if final is None:
        reason = f"no test row at step {step}, the last"
        return Outcome(status="incomplete", reason=reason)
    score = _score(final)
    if score is None:
        reason = f"the test error at step {step} is not finite"
        return Outcome(status="failed", reason=reason)
    precise = _test(log, step, protocol, stats="precise", params=score.params)
    best = _lowest(log, protocol, score.params)
    selected = best and _test(log, best[1], protocol, params=score.params)
    scores = [score, _score(precise), _score(selected)]
    if num_classes is not None and num_classes < TOP5_CLASSES:
        scores = [one and dataclasses.replace(one, top5_err=None) for one in scores]
    final, precise, selected = scores
    return Outcome(status="done", final=final, precise=precise, selected=selected)


def failure(folder: pathlib.Path) -> str | None:
    """The first line of FAILED; None without the file."""
    try:
        text = (folder / "FAILED").read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
    return text.strip().partition("\n")[0] or "no reason given"


def diverged(folder: pathlib.Path) -> str | None:
    """The reason in FAILED of a run that diverged; None for other runs."""
    kind, _, reason = (failure(folder) or "").partition(": ")
    return reason.partition(";")[0] if kind == "diverged" else None


def done(folder: pathlib.Path, *, steps: int, protocol: str = USUAL) -> Result | None:
    """The result of a run that is done with at least `steps`; None for other runs.

    Where config.json, the log and result.json are not of one whole run, a warning says
    so, and the run is no longer done.
    """
    end = read_json(folder / "DONE")
    result = read_json(folder / "result.json")
    if not end or not result or (as_int(end.get("step")) or 0) < steps:
        return None
    if problem := _contradiction(folder, end, result, protocol=protocol):
        _log.warning("%s: DONE, but %s; is checked again", folder, problem)
        return None
    return cast(Result, result)


def _contradiction(
    folder: pathlib.Path,
    end: Mapping[str, Any],
    result: Mapping[str, Any],
    *,
    protocol: str,
) -> str | None:
    """The first problem with the files of a run that is done."""
    path, config = folder / "metrics.jsonl", read_config(folder)
    if not path.exists():
        return "metrics.jsonl is not there"
    log = LogFile(path, run=config and config.run)
    list(log.rows())  # finds all problems
    found = outcome(folder, end, log, protocol=protocol)
    every = as_int(config.derived.get("eval_every")) if config else None
    last = as_int(end.get("step")) or 0
    missing = gaps(log, every=every, end=last) if every else []
    problems = [
        *(f"metrics.jsonl {problem}" for problem in log.problems),
        *([] if found.status == "done" else [f"metrics.jsonl: {found.reason}"]),
        *(f"metrics.jsonl {hole}" for hole in missing),
        *(f"result.json: {c}" for c in contradictions(result, found)),
    ]
    return problems[0] if problems else None


def summary(
    path: pathlib.Path, *, best: Best | None, wall_s: float, protocol: str = USUAL
) -> Result:
    """The result of a run that has made its last step, from its log."""
    log = LogFile(path)
    step = log.steps("test")[-1]
    final = _score(_test(log, step, protocol))
    if final is None:
        raise ValueError(f"{path}: no finite test error at step {step}")
    precise = _score(_test(log, step, protocol, stats="precise", params=final.params))
    return {
        "step": step,
        "n": final.n,
        "test_top1_err": final.top1_err,
        "test_top1_err_precise": precise and precise.top1_err,
        "best_on_val": best,
        "wall_s": wall_s,
    }


def lowest(log: LogFile, *, protocol: str = USUAL) -> Best | None:
    """The earliest evaluation with the lowest validation error; None without any."""
    if (found := _lowest(log, protocol)) is None:
        return None
    error, step = found
    test = _score(_test(log, step, protocol))
    return test and Best(step=step, val_top1_err=error, test_top1_err=test.top1_err)


def contradictions(result: Mapping[str, Any], outcome: Outcome) -> list[str]:
    """Complaints about numbers in result.json that are not those of the log."""
    stated = flat(result)
    final, precise, selected = outcome.final, outcome.precise, outcome.selected
    logged = {
        "step": final and final.step,
        "n": final and final.n,
        "test_top1_err": final and final.top1_err,
        "test_top1_err_precise": precise and precise.top1_err,
        "best_on_val.step": selected and selected.step,
        "best_on_val.test_top1_err": selected and selected.top1_err,
    }
    return [
        f"{name} is {stated[name]!r}, the log has {number!r}"
        for name, number in logged.items()
        if stated.get(name) not in (None, number)
    ]


def _unfinished(folder: pathlib.Path, log: LogFile | None) -> Outcome:
    """The outcome of a run without DONE: failed, not finite, or incomplete."""
    if reason := failure(folder):
        return Outcome(status="failed", reason=reason)
    last = log and log.last()
    if last is None:
        return Outcome(status="incomplete", reason="no log lines")
    if last.get("nonfinite"):
        return Outcome(status="failed", reason=f"not finite at step {last['step']}")
    return Outcome(status="incomplete", reason=f"stopped at step {last['step']}")


def _lowest(
    log: LogFile, protocol: str, params: str | None = None
) -> tuple[float, int] | None:
    """The lowest validation error in percent, and its earliest step.

    One whose loss is not finite is never the lowest, as in the run itself.
    """
    errors = [
        (error, row["step"])
        for row in log.rows("val")
        if _is_of(row, protocol, params=params)
        and (error := row.get("top1_err")) is not None
        and row.get("loss", 0.0) is not None
    ]
    return min(errors, default=None)


def _is_of(
    row: LogRow, protocol: str, *, stats: str = "moving", params: str | None = None
) -> bool:
    """True for a row under a protocol, with statistics and (any) parameters."""
    return (
        _protocol(row) == protocol
        and row.get("stats", "moving") == stats
        and params in (None, row.get("params", "last"))
    )


def _protocol(row: LogRow) -> str:
    return row.get("protocol", USUAL)


def _test(
    log: LogFile,
    step: int,
    protocol: str,
    *,
    stats: str = "moving",
    params: str | None = None,
) -> LogRow | None:
    """The first test row at a step of a protocol, statistics and (any) parameters."""
    for row in log.at("test", step):
        if _is_of(row, protocol, stats=stats, params=params):
            return row
    return None


def _score(row: LogRow | None) -> Score | None:
    """The score in a row; None if the row is missing or its error is not finite."""
    top1 = row and row.get("top1_err")
    if row is None or top1 is None:
        return None
    top5 = row.get("top5_err")
    return Score(
        step=row["step"],
        n=as_int(row.get("n")) or 0,
        top1_err=float(top1),
        top5_err=None if top5 is None else float(top5),
        protocol=_protocol(row),
        params=str(row.get("params", "last")),
    )
