"""Reader of metrics.jsonl.

A run writes thousands of rows and a table needs a few of them. One pattern checks the
frame of every line and finds its split and step, six times as fast as parsing; a row is
parsed when it is requested.
"""

import bisect
import collections
import hashlib
import os
import pathlib
import re
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from resnet_jax.runs.row import SPLITS, LogRow, Split, parse

Path = str | os.PathLike[str]
EXCERPT = 40  # characters of a line quoted in a complaint

# A line as `runs.log` writes it: one object, with a nested one under `nonfinite` only.
FRAME = re.compile(
    rb'^\{"split": ?"(train|val|test)", ?"step": ?(0|[1-9]\d*)(?=[,}])'
    rb'[^\n{}\0]*(?:"nonfinite": ?\{[^\n{}\0]*\}[^\n{}\0]*)?\}$',
    re.MULTILINE,
)
RUN = re.compile(rb'"run": ?"([^"\n]*)"')
# Fields that distinguish rows of one split and step, with their defaults.
IDENTITY = {"stats": "moving", "params": "last", "protocol": "1crop", "event": ""}


Kind = Literal["torn", "foreign", "repeated"]


class Problem(NamedTuple):
    """A line that is not a valid row.

    torn: the last line, cut off by a kill; foreign: not a row of this run; repeated:
    the row of an earlier line, or one of several that contradict each other.
    """

    line: int
    kind: Kind
    complaint: str
    excerpt: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.complaint}: {self.excerpt}"


class LogFile:
    """One log, parsed lazily; `problems` grows as rows are parsed.

    `run` is the id of its run, None: that of the first row. `digest` is the SHA-256 of
    the file. OSError where it cannot be read.
    """

    def __init__(self, path: Path, *, run: str | None = None):
        self.path = pathlib.Path(path)
        data = self.path.read_bytes()
        self.digest = hashlib.sha256(data).hexdigest()
        self.problems: list[Problem] = []
        self._lines = data.split(b"\n")
        if not self._lines[-1]:
            self._lines.pop()
        # Split and step of every line; None for a line that is not a row.
        self._keys: list[tuple[bytes, bytes] | None] = FRAME.findall(data)
        self._ended = data.count(b"\n")
        whole = len(self._keys) == len(self._lines) == self._ended
        if not whole or any(
            data.count(k) != self._ended for k in (b'"step"', b'"split"')
        ):
            self._keys = [self._key(number) for number in range(len(self._lines))]
        self._drop_foreign(run, data)
        self._drop_repeated()

    @property
    def count(self) -> int:
        """Number of rows, as far as lines have been parsed."""
        return sum(key is not None for key in self._keys)

    @property
    def torn(self) -> Problem | None:
        """The problem of a last line that a kill has cut off."""
        return next((p for p in self.problems if p.kind == "torn"), None)

    def rows(
        self, split: Split | None = None, *, at_most: int | None = None
    ) -> Iterator[LogRow]:
        """Iterate over the rows of a split (or all), evenly thinned to `at_most`."""
        found = self._numbers(split)
        stride = max(1, -(-len(found) // at_most)) if at_most else 1
        # Counted from the end, so that the last row is kept.
        return self._parsed(found[::-1][::stride][::-1])

    def at(self, split: Split, step: int) -> list[LogRow]:
        """List the rows of a split at one step."""
        key = (split.encode(), str(step).encode())
        found = [i for i, other in enumerate(self._keys) if other == key]
        return list(self._parsed(found))

    def steps(self, split: Split | None = None) -> list[int]:
        """List the steps of the rows of a split (or all)."""
        keys = (self._keys[number] for number in self._numbers(split))
        return [int(key[1]) for key in keys if key]

    def last(self) -> LogRow | None:
        """The last row of any split."""
        return next(self._parsed(self._numbers(None)[::-1]), None)

    def _numbers(self, split: Split | None) -> list[int]:
        wanted = split and split.encode()
        return [
            number
            for number, key in enumerate(self._keys)
            if key is not None and wanted in (None, key[0])
        ]

    def _parsed(self, numbers: Iterable[int]) -> Iterator[LogRow]:
        rows = map(self._row, numbers)
        return (row for row in rows if row is not None)

    def _key(self, number: int) -> tuple[bytes, bytes] | None:
        row = self._row(number)
        return row and (row["split"].encode(), str(row["step"]).encode())

    def _row(self, number: int) -> LogRow | None:
        """Parse a line; None, and a problem, if it is not a row."""
        try:
            return parse(self._lines[number])
        except ValueError as error:
            torn = number == self._ended  # the only line without a newline
            kind, complaint = ("torn", "torn") if torn else ("foreign", str(error))
            self._complain(number, kind, complaint)
            return None

    def _complain(self, number: int, kind: Kind, complaint: str) -> None:
        if number < len(self._keys):
            self._keys[number] = None
        excerpt = printable(self._lines[number][:EXCERPT].decode(errors="replace"))
        self.problems.append(Problem(number + 1, kind, complaint, excerpt))

    def _drop_foreign(self, run: str | None, data: bytes) -> None:
        """Complain of every row of another run."""
        ids = set(RUN.findall(data)) - {run and run.encode()}
        if not ids or (run is None and len(ids) == 1):
            return
        for number in self._numbers(None):
            own = (self._row(number) or {}).get("run")
            run = run or own
            if own not in (run, None):
                self._complain(number, "foreign", f"is a row of another run, {own}")

    def _drop_repeated(self) -> None:
        """Complain of every row that an earlier one equals, and of contradictory ones.

        Rows are the same if their key and their IDENTITY fields are.
        """
        counts = collections.Counter(self._keys)
        same = collections.defaultdict(list)
        for number, key in enumerate(self._keys):
            if row := self._row(number) if key and counts[key] > 1 else None:
                identity = (row.get(k, usual) for k, usual in IDENTITY.items())
                same[key, *identity].append(number)
        for (key, *_), numbers in same.items():
            split, step = (part.decode() for part in key)
            equal = len({self._lines[number] for number in numbers}) == 1
            told = "repeats the" if equal else "contradicts another"
            for number in numbers[1:] if equal else numbers:
                complaint = f"{told} {split} row of step {step}"
                self._complain(number, "repeated", complaint)

    def good_lines(self) -> list[bytes]:
        """List the lines that are rows, without their newlines."""
        pairs = zip(self._lines, self._keys, strict=True)
        return [line for line, key in pairs if key is not None]


def read(path: Path) -> tuple[list[LogRow], list[Problem]]:
    """All rows of a log, and its invalid lines."""
    log = LogFile(path)
    rows = list(log.rows())
    return rows, sorted(log.problems)


def gaps(log: LogFile, *, every: int, end: int) -> list[str]:
    """Complaints about holes in the log of a run of `end` steps, and rows beyond it."""
    found = holes(log, every=every, end=end)
    beyond = sum(step > end for step in log.steps())
    if beyond:
        found.append(f"has {beyond} rows after step {end}, the last")
    return found


def holes(log: LogFile, *, every: int, end: int) -> list[str]:
    """Complaints about missing evaluations up to the step `end`.

    An evaluation due less than half an interval before the end may be made there.
    """
    found = []
    for split in SPLITS if log.steps("val") else ("train", "test"):
        steps, missing = sorted(set(log.steps(split))), []
        for due in range(every, end + 1, every):
            at = bisect.bisect_left(steps, due)
            if at == len(steps) or 2 * (steps[at] - due) >= every:
                missing.append(due)
        if missing:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            found.append(f"has no {split} row of step {missing[0]}{more}")
    return found


def printable(text: str) -> str:
    """Replace control characters and direction marks by blanks."""
    return "".join(c if c.isprintable() else " " for c in text)
