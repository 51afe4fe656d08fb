"""Jobs carried out a few at a time: one display, an ETA, and a graceful stop."""

import collections
import contextlib
import datetime
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence

import tqdm

from resnet_jax.errors import StorageError, UserError
from resnet_jax.runs import directory as workdir
from resnet_jax.sweep.process import PROGRAM, Child, Job, Outcome

POLL_S = 0.2


class SweepBar:
    """Runs done of all, what is running, and the ETA: a line on stderr.

    In a file a line every half minute.
    """

    def __init__(self, name: str, *, total: int):
        self._name = name
        self._bar = tqdm.tqdm(
            total=total,
            desc=name,
            bar_format="|{bar:20}| {desc}",
            dynamic_ncols=True,
            mininterval=0.5 if sys.stderr.isatty() else 30,
            miniters=0,  # time passes between two steps as well
        )

    def __enter__(self) -> "SweepBar":
        return self

    def __exit__(self, *error) -> None:
        self._bar.close()

    def update(self, done: float, text: str) -> None:
        self._bar.set_description_str(f"{self._name}: {text}", refresh=False)
        self._bar.update(min(done, self._bar.total) - self._bar.n)

    def note(self, text: str) -> None:
        self._bar.write(text, file=sys.stderr)


class Launch:
    """Carries out jobs in their order, `at_once` at a time."""

    def __init__(
        self, jobs: Sequence[Job], *, at_once: int, program: Sequence[str] = PROGRAM
    ):
        self.waiting = collections.deque(jobs)
        self.running: list[Child] = []
        self.outcomes: list[Outcome] = []
        self._total, self._at_once, self._program = len(jobs), at_once, program
        self._environment = shared_accelerator(os.environ, at_once=at_once)
        # Row -> seconds that whole runs of it took.
        self._took: dict[str, list[float]] = collections.defaultdict(list)

    def run(self, bar: SweepBar) -> int | None:
        """Runs all; the number of the signal that ended it early, if one did."""
        told = 0
        with caught_signals() as came, self._stopping():
            while self.running or (self.waiting and not came):
                while self.waiting and not came and len(self.running) < self._at_once:
                    self._start(self.waiting.popleft(), bar)
                if came[told:]:
                    self._stop(bar)
                    told = len(came)
                self._collect(bar)
                bar.update(*self.progress())
                time.sleep(POLL_S if self.running else 0)
        return came[0] if came else None

    def progress(self) -> tuple[float, str]:
        """Runs done, in fractions, and `3/10 runs, A/seed0 1200/64000, ETA 2:05:00`."""
        kinds = collections.Counter(outcome.kind for outcome in self.outcomes)
        done = kinds["done"] + kinds["kept"]
        shown, shares = [f"{done}/{self._total} runs"], float(done)
        shown += [f"{kinds[k]} {k}" for k in ("failed", "refused") if kinds[k]]
        for child in self.running:
            steps = child.steps()
            place = f"{steps[0]}/{steps[1]}" if steps else "starting"
            shown.append(f"{child.job.name} {place}")
            shares += child.share()
        if self.running:
            shown.append(f"ETA {eta_text(self.eta())}")
        return shares, ", ".join(shown)

    def eta(self) -> tuple[float, bool] | None:
        """Seconds left, and whether every row that is left has been measured."""
        took = {row: sum(s) / len(s) for row, s in self._took.items()}
        for child in self.running:
            if child.job.row not in took and (seconds := child.takes()):
                took[child.job.row] = seconds
        left = [(child.job.row, 1 - child.share()) for child in self.running]
        left += [(job.row, 1.0) for job in self.waiting]
        return time_left(took, left, at_once=self._at_once)

    def _start(self, job: Job, bar: SweepBar) -> None:
        try:
            workdir.check_writable(job.folder)
            if done := job.done():
                self._took[job.row].append(done["wall_s"])
                self._end(Outcome(job, "kept"), bar)
            else:
                child = Child(job, self._program, self._environment)
                self.running.append(child)
        except UserError as error:
            said = f"{error.kind}: {str(error).splitlines()[0]}"
            self._end(Outcome(job, "refused", error.exit_code, said), bar)
        except OSError as error:
            said = f"storage: {job.folder}: {error.strerror}"
            self._end(Outcome(job, "refused", StorageError.exit_code, said), bar)

    def _collect(self, bar: SweepBar) -> None:
        for child in [c for c in self.running if c.process.poll() is not None]:
            self.running.remove(child)
            outcome = child.outcome()
            if outcome.kind == "done":
                done = workdir.read_json(child.job.folder / "DONE") or {"wall_s": 0.0}
                # A resumed run took longer than its last part.
                seconds = max(child.took(), done["wall_s"])
                self._took[child.job.row].append(seconds)
            self._end(outcome, bar)

    def _end(self, outcome: Outcome, bar: SweepBar) -> None:
        self.outcomes.append(outcome)
        if outcome.kind != "kept":
            bar.note(f"{outcome.job.name}: {outcome.said}")

    def _stop(self, bar: SweepBar) -> None:
        """Asks every child to save and end; one that is asked twice ends at once."""
        bar.note(f"stopping: waiting for {len(self.running)} runs to save")
        for child in self.running:
            child.process.terminate()

    @contextlib.contextmanager
    def _stopping(self) -> Iterator[None]:
        """Leaves no child behind where the sweep itself fails."""
        try:
            yield
        finally:
            for child in self.running:
                child.process.terminate()


def time_left(
    took: Mapping[str, float], left: Sequence[tuple[str, float]], *, at_once: int
) -> tuple[float, bool] | None:
    """(seconds, all measured) for shares of runs; rows not measured count as the mean.

    `took` maps a row to the seconds of a whole run; None where nothing is measured.
    """
    if not took:
        return None
    mean = sum(took.values()) / len(took)
    seconds = [took.get(row, mean) * share for row, share in left]
    longest = max(seconds, default=0.0)
    return max(sum(seconds) / at_once, longest), all(row in took for row, _ in left)


def eta_text(eta: tuple[float, bool] | None) -> str:
    """`2:05:00`, or `~2:05:00` where a row left is not measured yet."""
    if eta is None:
        return "not known yet"
    seconds, measured = eta
    return f"{'' if measured else '~'}{datetime.timedelta(seconds=round(seconds))}"


def shared_accelerator(environment: Mapping, *, at_once: int) -> dict[str, str]:
    """JAX takes three quarters of a GPU's memory unless it is told its part."""
    part = {"XLA_PYTHON_CLIENT_MEM_FRACTION": f"{0.9 / at_once:.3f}"}
    return (part if at_once > 1 else {}) | dict(environment)


@contextlib.contextmanager
def caught_signals() -> Iterator[list[int]]:
    """The SIGINT and SIGTERM that came, in their order."""
    came: list[int] = []
    handled = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(n, lambda number, _: came.append(number)) for n in handled]
    try:
        yield came
    finally:
        for number, handler in zip(handled, before, strict=True):
            signal.signal(number, handler)
