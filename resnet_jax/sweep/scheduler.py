"""Jobs carried out a few at a time: one display, an ETA, and a graceful stop."""

import collections
import contextlib
import datetime
import functools
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import tqdm

from resnet_jax.errors import StorageError, UserError
from resnet_jax.runs.directory import check_writable, read_json
from resnet_jax.sweep.plan import Job
from resnet_jax.sweep.process import PROGRAM, ChildProcess, JobOutcome, finished_in

POLL_S = 0.2
Start = Callable[[Job], ChildProcess]


class SweepBar:
    """Finished runs, running ones and the ETA: a line on stderr.

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

    def __exit__(self, *error: object) -> None:
        self._bar.close()

    def update(self, done: float, text: str) -> None:
        self._bar.set_description_str(f"{self._name}: {text}", refresh=False)
        self._bar.update(min(done, self._bar.total) - self._bar.n)

    def note(self, text: str) -> None:
        self._bar.write(text, file=sys.stderr)


class Scheduler:
    """Carries out jobs in their order, `at_once` at a time.

    `start` makes the process of a job.
    """

    def __init__(self, jobs: Sequence[Job], *, at_once: int, start: Start):
        self.waiting = collections.deque(jobs)
        self.running: list[ChildProcess] = []
        self.outcomes: list[JobOutcome] = []
        self._total, self._at_once, self._make_child = len(jobs), at_once, start
        # Row -> seconds of each of its whole runs.
        self._durations: dict[str, list[float]] = collections.defaultdict(list)

    def run(self, bar: SweepBar) -> int | None:
        """Carry out all jobs; the number of the signal that ended it early, if any."""
        handled = 0
        with caught_signals() as received, self._terminating():
            while self.running or (self.waiting and not received):
                while self._has_room() and self.waiting and not received:
                    self._start(self.waiting.popleft(), bar)
                if len(received) > handled:
                    self._stop(bar)
                    handled = len(received)
                self._collect(bar)
                bar.update(*self.progress())
                time.sleep(POLL_S if self.running else 0)
        return received[0] if received else None

    def progress(self) -> tuple[float, str]:
        """Runs done, in fractions, and `3/10 runs, A/seed0 1200/64000, ETA 2:05:00`."""
        count = collections.Counter(outcome.kind for outcome in self.outcomes)
        finished = count["done"] + count["already_done"]
        shown, done = [f"{finished}/{self._total} runs"], float(finished)
        shown += [f"{count[k]} {k}" for k in ("failed", "refused") if count[k]]
        for child in self.running:
            steps = child.steps()
            place = f"{steps[0]}/{steps[1]}" if steps else "starting"
            shown.append(f"{child.job.name} {place}")
            done += child.fraction()
        if self.running:
            shown.append(f"ETA {eta_text(self.eta())}")
        return done, ", ".join(shown)

    def eta(self) -> tuple[float, bool] | None:
        """(seconds left, every row that is left was measured); None: not known."""
        measured = {row: sum(s) / len(s) for row, s in self._durations.items()}
        for child in self.running:
            if child.job.row not in measured and (seconds := child.whole_run()):
                measured[child.job.row] = seconds
        left = [(child.job.row, 1 - child.fraction()) for child in self.running]
        left += [(job.row, 1.0) for job in self.waiting]
        return time_left(measured, left, at_once=self._at_once)

    def _has_room(self) -> bool:
        return len(self.running) < self._at_once

    def _start(self, job: Job, bar: SweepBar) -> None:
        """Start a job that is not done and whose folder is not taken."""
        try:
            check_writable(job.folder)
            if (seconds := finished_in(job)) is None:
                self.running.append(self._make_child(job))
            else:
                self._durations[job.row].append(seconds)
                self._end(JobOutcome(job, "already_done"), bar)
        except UserError as error:
            message = f"{error.kind}: {str(error).splitlines()[0]}"
            self._end(JobOutcome(job, "refused", error.exit_code, message), bar)
        except OSError as error:
            message = f"storage: {job.folder}: {error.strerror}"
            self._end(JobOutcome(job, "refused", StorageError.exit_code, message), bar)

    def _collect(self, bar: SweepBar) -> None:
        """Take the outcomes of the processes that have ended."""
        for child in list(self.running):
            outcome = child.outcome()
            if outcome is None:
                continue
            self.running.remove(child)
            if outcome.kind == "done":
                done = read_json(child.job.folder / "DONE") or {"wall_s": 0.0}
                # A resumed run took longer than its last part.
                seconds = max(child.elapsed(), done["wall_s"])
                self._durations[child.job.row].append(seconds)
            self._end(outcome, bar)

    def _end(self, outcome: JobOutcome, bar: SweepBar) -> None:
        self.outcomes.append(outcome)
        if outcome.kind != "already_done":
            bar.note(f"{outcome.job.name}: {outcome.message}")

    def _stop(self, bar: SweepBar) -> None:
        bar.note(f"stopping: waiting for {len(self.running)} runs to save")
        for child in self.running:
            child.terminate()

    @contextlib.contextmanager
    def _terminating(self) -> Iterator[None]:
        """Leave no process behind where the sweep itself fails."""
        try:
            yield
        finally:
            for child in self.running:
                child.terminate()

    def summary(self) -> list[str]:
        """Counts of runs by their end, and a line for each that is not done."""
        count = collections.Counter(outcome.kind for outcome in self.outcomes)
        finished = count["done"] + count["already_done"]
        counts = [f"{finished} of {self._total} runs done"]
        if count["already_done"]:
            counts[0] += f", {count['already_done']} of them before"
        kinds = ("failed", "refused", "stopped")
        counts += [f"{count[kind]} {kind}" for kind in kinds if count[kind]]
        if self.waiting:
            counts.append(f"{len(self.waiting)} not started")
        lines = ["; ".join(counts)]
        for kind in kinds:
            ended = [outcome for outcome in self.outcomes if outcome.kind == kind]
            lines += [f"{kind} {o.job.folder}: {o.message}" for o in ended]
        if finished < self._total:
            lines.append("the same command goes on with the runs that are not done")
        return lines


def processes(*, at_once: int) -> Start:
    """Starter of runs: processes of resnet_jax.main that share the devices."""
    environment = shared_accelerator(os.environ, at_once=at_once)
    return functools.partial(ChildProcess, program=PROGRAM, environment=environment)


def time_left(
    measured: Mapping[str, float], left: Sequence[tuple[str, float]], *, at_once: int
) -> tuple[float, bool] | None:
    """(seconds, all measured) of fractions of runs; other rows count as the mean.

    `measured` maps a row to the seconds of a whole run; None where it is empty.
    """
    if not measured:
        return None
    mean = sum(measured.values()) / len(measured)
    seconds = [measured.get(row, mean) * fraction for row, fraction in left]
    longest = max(seconds, default=0.0)
    return max(sum(seconds) / at_once, longest), all(row in measured for row, _ in left)


def eta_text(eta: tuple[float, bool] | None) -> str:
    """`2:05:00`, or `~2:05:00` where a row that is left was not measured."""
    if eta is None:
        return "not known yet"
    seconds, measured = eta
    return f"{'' if measured else '~'}{datetime.timedelta(seconds=round(seconds))}"


def shared_accelerator(
    environment: Mapping[str, str], *, at_once: int
) -> dict[str, str]:
    """Environment of runs that share a GPU: JAX takes 3/4 of its memory by default."""
    part = {"XLA_PYTHON_CLIENT_MEM_FRACTION": f"{0.9 / at_once:.3f}"}
    return (part if at_once > 1 else {}) | dict(environment)


@contextlib.contextmanager
def caught_signals() -> Iterator[list[int]]:
    """The SIGINT and SIGTERM that were received, in their order."""
    received: list[int] = []

    def receive(number: int, _: object) -> None:
        received.append(number)

    before = {n: signal.signal(n, receive) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
