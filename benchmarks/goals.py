"""Performance goals of the project, and their values computed from rows."""

import statistics
from dataclasses import dataclass
from typing import Literal

from cases import JAX_PEERS
from rows import Rows, ratios, spread, succeeded, values


@dataclass(frozen=True)
class Cells:
    """A quantity of one case; of several ways, the one with the lowest median."""

    case: str
    ways: tuple[str, ...]
    quantity: str

    def smallest(self, rows: Rows) -> tuple[str, list[float]] | None:
        """(way, values), or None if none was measured."""
        found = [rows.get((self.case, way)) for way in self.ways]
        measured = {
            row["way"]: samples
            for row in found
            if row and succeeded(row) and (samples := values(row, self.quantity))
        }
        return min(
            measured.items(), key=lambda it: statistics.median(it[1]), default=None
        )


@dataclass(frozen=True)
class Measured:
    """Median, min and max over turns, and the ways that were compared."""

    median: float
    low: float
    high: float
    ways: tuple[str, ...]


@dataclass(frozen=True)
class Goal:
    """A bound on a quantity, or on a ratio of two quantities."""

    figure: str
    sense: Literal["at most", "at least"]
    bound: float
    numerator: Cells
    denominator: Cells | None = None
    factor: float = 1.0  # applied to the ratio
    unit: str = ""
    device: Literal["cpu", "gpu"] = "cpu"

    def measured(self, rows: Rows) -> Measured | None:
        """The measured value, or None if a row is missing."""
        found = [cells.smallest(rows) for cells in self.cells]
        if None in found:
            return None
        ways, samples = zip(*found, strict=True)
        figures = ratios(*samples) if self.denominator else samples[0]
        return Measured(*spread([self.factor * each for each in figures]), ways)

    @property
    def cells(self) -> tuple[Cells, ...]:
        """Numerator and, for a ratio, denominator."""
        both = self.numerator, self.denominator
        return tuple(cells for cells in both if cells)

    def met(self, found: Measured) -> bool:
        """True if the median keeps to the bound."""
        if self.sense == "at most":
            return found.median <= self.bound
        return found.median >= self.bound

    def missing(self, rows: Rows) -> str | None:
        """Status of the first row that failed, if any."""
        for cells in self.cells:
            for way in cells.ways:
                row = rows.get((cells.case, way))
                if row and not succeeded(row):
                    return row["status"]
        return None


def step(case: str, *ways: str) -> Cells:
    return Cells(case, ways, "step_ms")


def depth(quantity: str, *ways: str) -> Cells:
    return Cells("Depth of PreAct", ways, quantity)


def launch(quantity: str) -> Cells:
    return Cells("Launch of PreAct-1001", ("ours",), quantity)


ROLLED = tuple(
    Goal(
        f"rolled step over unrolled step, {case}",
        "at most",
        1.10,
        step(case, "ours"),
        step(case, "unrolled"),
    )
    for case in ("ResNet-20", "ResNet-110", "PreAct-164", "ResNeXt-29 8x64d")
)
AGAINST_JAX = tuple(
    Goal(
        f"images a second over those of the fastest JAX peer, {case}",
        "at least",
        1.5,
        step(case, *JAX_PEERS),
        step(case, "ours", "cores"),
    )
    for case in ("ResNet-50", "ResNet-20", "ResNet-110", "PreAct-164")
)
AGAINST_TORCH = tuple(
    Goal(
        f"images a second over those of PyTorch eager, channels_last, {case}",
        "at least",
        1.0,
        step(case, "torch"),
        step(case, "ours", "cores"),
    )
    for case in ("ResNet-50", "ResNet-110", "PreAct-164")
)
LOOP = tuple(
    Goal(
        f"whole loop with real data over bare step, {case}",
        "at most",
        1.05,
        Cells(f"Loop, {case}", ("ours",), "loop_ms"),
        Cells(f"Loop, {case}", ("ours",), "bare_ms"),
    )
    for case in ("digits", "CIFAR-shaped")
)
GOALS = (
    Goal(
        "PreAct-1001, launch to first finished step, empty cache",
        "at most",
        20,
        launch("empty_cache_s"),
        unit=" s",
    ),
    Goal(
        "PreAct-1001, launch to first finished step, warm cache",
        "at most",
        8,
        launch("warm_cache_s"),
        unit=" s",
    ),
    Goal(
        "compile time, 1001 over 164 layers",
        "at most",
        1.1,
        depth("compile_s", "1001"),
        depth("compile_s", "164"),
    ),
    Goal(
        "program size in lines, 1001 over 164 layers",
        "at most",
        1.01,
        depth("program_lines", "1001"),
        depth("program_lines", "164"),
    ),
    *ROLLED,
    Goal(
        "temporary memory of PreAct-1001, rematerialised over not",
        "at most",
        0.25,
        depth("temporary_bytes", "1001-remat", "1001-sqrt"),
        depth("temporary_bytes", "1001"),
    ),
    *AGAINST_JAX,
    *AGAINST_TORCH,
    *LOOP,
    Goal(
        "PReLU step over ReLU step, channel-wise, ResNet-110",
        "at most",
        1.03,
        step("ResNet-110", "prelu"),
        step("ResNet-110", "ours"),
    ),
    Goal(
        "five seeds in one program over five times one seed, ResNet-20",
        "at most",
        0.5,
        step("Five seeds of ResNet-20", "seeds"),
        step("Five seeds of ResNet-20", "ours"),
        factor=1 / 5,
        device="gpu",
    ),
    Goal(
        "images a second over those of PyTorch with torch.compile, ResNet-50, bfloat16",
        "at least",
        1.0,
        step("ResNet-50", "torch-compile"),
        step("ResNet-50", "ours"),
        device="gpu",
    ),
)
