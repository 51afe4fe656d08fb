"""metrics.jsonl: its rows, the rules that they keep, and the one reader of them.

A run writes thousands of rows and a table needs a few of them. One pattern checks the
frame of every line and finds its split and step, six times as fast as parsing; a row is
parsed when it is asked for.
"""

import bisect
import collections
import hashlib
import json
import math
import os
import pathlib
import re
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple, NoReturn, Required, TypedDict, cast, get_args

Path = str | os.PathLike[str]
Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
EXCERPT = 40  # characters of a line that a complaint quotes

# A line as the writer writes it: one object, in which only `nonfinite` holds another.
FRAME = re.compile(
    rb'^\{"split": ?"(train|val|test)", ?"step": ?(0|[1-9]\d*)(?=[,}])'
    rb'[^\n{}\0]*(?:"nonfinite": ?\{[^\n{}\0]*\}[^\n{}\0]*)?\}$',
    re.MULTILINE,
)
# What tells apart the rows of one split and step, and what it is where a row is silent.
IDENTITY = {"stats": "moving", "params": "last", "protocol": "1crop", "event": ""}


class LogRow(TypedDict, total=False):
    """A row of metrics.jsonl; errors in percent, loss in nats, times in seconds.

    `n` examples since the last row (train) or of the split. A number that was not
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


Kind = Literal["torn", "foreign", "repeated"]


class Problem(NamedTuple):
    """A line that is no row of the log.

    torn: the last line, cut off by a kill; foreign: not a row; repeated: a row that an
    earlier line has already.
    """

    line: int
    kind: Kind
    complaint: str
    excerpt: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.complaint}: {self.excerpt}"


class LogFile:
    """The rows of one log, parsed when asked for; `problems` grows as they are.

    `digest` is the SHA-256 of the file. OSError where it cannot be read.
    """

    def __init__(self, path: Path):
        self.path = pathlib.Path(path)
        data = self.path.read_bytes()
        self.digest = hashlib.sha256(data).hexdigest()
        self.problems: list[Problem] = []
        self._lines = data.split(b"\n")
        if not self._lines[-1]:
            self._lines.pop()
        # Split and step of every line; None where it is no row.
        self._places: list[tuple[bytes, bytes] | None] = FRAME.findall(data)
        self._ended = data.count(b"\n")
        if len(self._places) != self._ended or len(self._lines) != self._ended:
            self._places = [self._place(number) for number in range(len(self._lines))]
        self._drop_repeated()

    @property
    def count(self) -> int:
        """Number of rows, as far as they have been looked at."""
        return sum(place is not None for place in self._places)

    @property
    def torn(self) -> Problem | None:
        """The last line, where a kill has cut it off."""
        return next((p for p in self.problems if p.kind == "torn"), None)

    def rows(
        self, split: Split | None = None, *, at_most: int | None = None
    ) -> Iterator[LogRow]:
        """The rows of a split (or all) in their order, evenly thinned to `at_most`."""
        found = self._numbers(split)
        stride = max(1, -(-len(found) // at_most)) if at_most else 1
        # Counted from the end, so that the last row is one of them.
        return self._parsed(found[::-1][::stride][::-1])

    def at(self, split: Split, step: int) -> list[LogRow]:
        """The rows of a split at one step, in their order."""
        place = (split.encode(), str(step).encode())
        found = [i for i, other in enumerate(self._places) if other == place]
        return list(self._parsed(found))

    def steps(self, split: Split | None = None) -> list[int]:
        """The steps of the rows of a split (or all), in their order."""
        places = (self._places[number] for number in self._numbers(split))
        return [int(place[1]) for place in places if place]

    def last(self) -> LogRow | None:
        """The last row, whatever its split."""
        return next(self._parsed(self._numbers(None)[::-1]), None)

    def _numbers(self, split: Split | None) -> list[int]:
        wanted = split and split.encode()
        return [
            number
            for number, place in enumerate(self._places)
            if place is not None and wanted in (None, place[0])
        ]

    def _parsed(self, numbers: Iterable[int]) -> Iterator[LogRow]:
        for number in numbers:
            row = self._row(number)
            if row is not None:
                yield row

    def _place(self, number: int) -> tuple[bytes, bytes] | None:
        row = self._row(number)
        return row and (row["split"].encode(), str(row["step"]).encode())

    def _row(self, number: int) -> LogRow | None:
        """The row of a line; None, and a problem, where it is none."""
        try:
            return parse(self._lines[number])
        except ValueError as error:
            cut = number == self._ended  # the one line without its end
            kind, told = ("torn", "torn") if cut else ("foreign", str(error))
            self._complain(number, kind, told)
            return None

    def _complain(self, number: int, kind: Kind, complaint: str) -> None:
        if number < len(self._places):
            self._places[number] = None
        excerpt = printable(self._lines[number][:EXCERPT])
        self.problems.append(Problem(number + 1, kind, complaint, excerpt))

    def _drop_repeated(self) -> None:
        """Complain of every row that an earlier line has, whatever its numbers."""
        counts = collections.Counter(self._places)
        seen = set()
        for number, place in enumerate(self._places):
            row = self._row(number) if place and counts[place] > 1 else None
            if row is None:
                continue
            known = (place, *(row.get(k, usual) for k, usual in IDENTITY.items()))
            if known in seen:
                told = f"repeats the {row['split']} row of step {row['step']}"
                self._complain(number, "repeated", told)
            seen.add(known)


def read(path: Path) -> tuple[list[LogRow], list[Problem]]:
    """All rows of a log, and the lines that are none."""
    log = LogFile(path)
    rows = list(log.rows())
    return rows, sorted(log.problems)


def parse(line: bytes) -> LogRow:
    """The row in a line; ValueError says why it is none."""
    try:
        row = json.loads(line.decode(), parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise ValueError("not JSON") from None
    if not isinstance(row, dict):
        raise ValueError("not a JSON object")
    if row.get("split") not in SPLITS:
        raise ValueError(f"split is not one of {', '.join(SPLITS)}")
    step = row.get("step")
    if not isinstance(step, int) or isinstance(step, bool) or step < 0:
        raise ValueError("step is not a whole number")
    for name in ("top1_err", "top5_err"):
        if not _percent(row.get(name)):
            raise ValueError(f"{name} is not a percentage")
    if any(isinstance(x, float) and not math.isfinite(x) for x in row.values()):
        raise ValueError("a number is out of range")
    return cast(LogRow, row)


def gaps(log: LogFile, *, every: int, end: int) -> list[str]:
    """Complaints about evaluations that a log of `end` steps lacks, or has beyond it.

    One that falls due less than half an interval ahead of an end may be made there.
    """
    found = []
    for split in ("train", "test"):
        steps, missing = sorted(set(log.steps(split))), []
        for due in range(every, end + 1, every):
            at = bisect.bisect_left(steps, due)
            if at == len(steps) or 2 * (steps[at] - due) >= every:
                missing.append(due)
        if missing:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            found.append(f"has no {split} row of step {missing[0]}{more}")
    beyond = sum(step > end for step in log.steps())
    if beyond:
        found.append(f"has {beyond} rows behind step {end}, the last")
    return found


def printable(line: bytes) -> str:
    """The text of a line without control characters and marks of direction."""
    text = line.decode(errors="replace")
    return "".join(c if c.isprintable() else " " for c in text)


def _percent(error: object) -> bool:
    """True for a number in 0..100, and for null: absent or not finite."""
    if error is None:
        return True
    if isinstance(error, bool) or not isinstance(error, int | float):
        return False
    return 0 <= error <= 100


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
