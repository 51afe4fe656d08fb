"""metrics.jsonl: the lines a table needs, and the lines that are not log lines.

A run writes thousands of lines and a table needs a few of them. So the frame of the
whole file is checked by counting, which is a hundred times faster than parsing, and
only the lines asked for are parsed. A file whose frame is off is parsed line by line,
and each line that is not a log line is named with its number.
"""

import hashlib
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SPLITS = ("train", "val", "test")
# A quoted line is cut to this many characters: enough to recognise it.
EXCERPT = 40


class Lines:
    """The log lines of one run; `problems` grows as lines are read.

    `count` is the number of good lines, as far as the frame tells. `torn` is the
    complaint about a last line that was cut off, as a kill while writing leaves it;
    every other complaint is in `problems`, with its line number.
    """

    def __init__(self, path: Path):
        self.path = path
        self.data = path.read_bytes()
        self.digest = hashlib.sha256(self.data).hexdigest()
        self.problems: list[str] = []
        self.torn: str | None = None
        self._marks = {split: _mark(self.data, split) for split in SPLITS}
        self.count = self.data.count(b"\n")
        if not self._framed():
            self._keep_good_lines()

    def rows(
        self, split: str, *, at_most: int | None = None
    ) -> Iterator[dict[str, Any]]:
        """The rows of a split, in the file's order; evenly thinned to `at_most`."""
        mark, at = self._marks[split], -1
        left = self.data.count(mark)
        stride = -(-left // at_most) if at_most else 1
        while (at := self.data.find(mark, at + 1)) >= 0:
            left -= 1
            # Counted from the end, so that the last row is one of them.
            if left % stride == 0:
                yield from self._parsed(*self._around(at))

    def last(self, split: str, step: int) -> list[dict[str, Any]]:
        """The rows of a split at one step, the last in the file first."""
        found = []
        for match in re.finditer(rb'"step": ?%d[,}]' % step, self.data):
            start, end = self._around(match.start())
            if self._marks[split] in self.data[start:end]:
                found += self._parsed(start, end)
        return found[::-1]

    def final(self) -> dict[str, Any] | None:
        """The last row of the file, whatever its split."""
        end = len(self.data) - 1
        start = self.data.rfind(b"\n", 0, max(end, 0)) + 1
        return next(iter(self._parsed(start, end)), None) if end > 0 else None

    def _around(self, at: int) -> tuple[int, int]:
        return self.data.rfind(b"\n", 0, at) + 1, self.data.find(b"\n", at)

    def _parsed(self, start: int, end: int) -> list[dict[str, Any]]:
        row, complaint = parse(self.data[start:end])
        if row is not None:
            return [row]
        number = self.data.count(b"\n", 0, start) + 1
        self._complain(number, complaint, self.data[start:end])
        return []

    def _complain(self, number: int, complaint: str, line: bytes):
        text = line[:EXCERPT].decode("utf-8", errors="replace")
        problem = f"line {number}: {complaint}: {text}"
        if problem not in self.problems:
            self.problems.append(problem)

    def _framed(self) -> bool:
        """True where every line has one brace at each end and one known split."""
        data, lines = self.data, self.count
        if not lines:
            return not data
        return (
            data.startswith(b"{")
            and data.endswith(b"}\n")
            and data.count(b"}\n{") == lines - 1
            and sum(data.count(mark) for mark in self._marks.values()) == lines
            and self._nested() == 0
            and b"\0" not in data
        )

    def _nested(self) -> int:
        """Braces inside lines, but for those of the rows that are not finite."""
        inside = self.data.count(b"{") - self.count
        return inside and inside - self.data.count(b'"nonfinite"')

    def _keep_good_lines(self):
        """Leaves the good lines, written in one style, and names the others."""
        good = []
        lines = self.data.split(b"\n")
        for number, line in enumerate(lines, 1):
            if not line and number == len(lines):
                continue
            row, complaint = parse(line)
            if row is not None:
                good.append(json.dumps(row))
            elif number == len(lines):
                text = line[:EXCERPT].decode("utf-8", errors="replace")
                self.torn = f"line {number}: torn: {text}"
            else:
                self._complain(number, complaint, line)
        self.data = "".join(line + "\n" for line in good).encode()
        self._marks = {split: _mark(self.data, split) for split in SPLITS}
        self.count = len(good)


def _mark(data: bytes, split: str) -> bytes:
    """The bytes that a line of a split contains, in the style of this file."""
    space = b"" if b'"split":"' in data[:4096] else b" "
    return b'"split":%s"%s"' % (space, split.encode())


def parse(line: bytes) -> tuple[dict[str, Any] | None, str]:
    """A log line as a row, or None and what is wrong with it."""
    try:
        row = json.loads(line, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None, "not JSON"
    if not isinstance(row, dict):
        return None, "not a JSON object"
    if row.get("split") not in SPLITS:
        return None, f"split is not one of {', '.join(SPLITS)}"
    step = row.get("step")
    if not isinstance(step, int) or isinstance(step, bool) or step < 0:
        return None, "step is not a whole number"
    for name in ("top1_err", "top5_err"):
        if not _percent(row.get(name)):
            return None, f"{name} is not a percentage"
    if any(isinstance(x, float) and not math.isfinite(x) for x in row.values()):
        return None, "a number is out of range"
    return row, ""


def _percent(error: Any) -> bool:
    """True for a number in 0..100, and for null: absent or not finite."""
    if error is None:
        return True
    number = isinstance(error, int | float) and not isinstance(error, bool)
    return number and math.isfinite(error) and 0 <= error <= 100


def _refuse(constant: str):
    raise ValueError(f"{constant} is not JSON")
