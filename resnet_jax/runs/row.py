"""Row of metrics.jsonl: its fields, and the rules for them."""

import json
import math
from typing import Any, Literal, NoReturn, Required, TypedDict, cast, get_args

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
WORDS = ("stats", "params", "protocol", "event", "run")


class LogRow(TypedDict, total=False):
    """A row of metrics.jsonl; errors in percent, loss in nats, times in seconds.

    `n` examples since the last row (train) or of the split; `run` is the id of the run,
    which older versions did not write. A number that was not
    finite is null, and its text is in `nonfinite`.
    """

    split: Required[Split]
    step: Required[int]
    epoch: float
    n: int
    loss: float | None
    top1_err: float | None
    top5_err: float | None
    protocol: str
    run: str
    stats: Literal["moving", "precise"]
    stats_batches: int
    params: Literal["last", "ema"]
    event: str
    lr: float | None
    skipped: int
    images_per_s: float | None
    peak_share: float
    temporary_bytes: int
    step_s: float
    data_s: float
    compile_s: float
    eval_s: float
    save_s: float
    wall_s: float
    nonfinite: dict[str, str]


def parse(line: bytes) -> LogRow:
    """Parse a line; ValueError says why it is not a row."""
    try:
        row = json.loads(
            line.decode(), parse_constant=_refuse, object_pairs_hook=_object
        )
    except RepeatedField as error:
        raise ValueError(str(error)) from None
    except (ValueError, RecursionError):
        raise ValueError("not JSON") from None
    if not isinstance(row, dict):
        raise ValueError("not a JSON object")
    if row.get("split") not in SPLITS:
        raise ValueError(f"split is not one of {', '.join(SPLITS)}")
    step = as_int(row.get("step"))
    if step is None or step < 0:
        raise ValueError("step is not a whole number")
    for name in ("top1_err", "top5_err"):
        error = row.get(name)  # None where absent or not finite
        percent = as_number(error)
        if error is not None and (percent is None or not 0 <= percent <= 100):
            raise ValueError(f"{name} is not a percentage")
    if any(isinstance(x, float) and not math.isfinite(x) for x in row.values()):
        raise ValueError("a number is out of range")
    for name in WORDS:
        if not isinstance(row.get(name, ""), str):
            raise ValueError(f"{name} is not a word")
    if (as_int(row.get("n", 0)) or 0) < 0 or as_int(row.get("n", 0)) is None:
        raise ValueError("n is not a number of examples")
    if row.get("loss") is not None and as_number(row["loss"]) is None:
        raise ValueError("loss is not a number")
    return cast(LogRow, row)


def as_int(value: object) -> int | None:
    """The value if it is a JSON integer, else None."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def as_number(value: object) -> float | None:
    """The value as a float if it is a JSON number in a float's range, else None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


class RepeatedField(ValueError):
    """A field that an object has twice, of which readers take another one each."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of these fields."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise RepeatedField("has a field twice")
    return found


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
