"""Scheduler of a sweep's processes, with progress, ETA and a graceful stop."""

import collections
import contextlib
import datetime
import functools
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from resnet_jax.errors import StorageError, UserError
from resnet_jax.runs.directory import check_writable, read_json
from resnet_jax.sweep.plan import Job
from resnet_jax.sweep.process import PROGRAM, ChildProcess, JobOutcome, finished_in
from resnet_jax.train.progress import Bar

POLL_S = 0.2
Start = Callable[[Job], ChildProcess]


class SweepBar(Bar):
    """Progress line on stderr: finished and running runs, and the ETA."""

    def __init__(self, name: str, *, total: int):
        # Without miniters it would be redrawn on progress only.
        layout = {"desc": name, "bar_format": "|{bar:20}| {desc}", "miniters": 0}
        super().__init__(total=total, **layout)
        self._name = name

    def show(self, done: float, text: str) -> None:
        self._bar.set_description_str(f"{self._name}: {text}", refresh=False)
        self._bar.update(min(done, self._bar.total) - self._bar.n)


class Scheduler:
    """Runs jobs in order, `at_once` at a time; `start` makes the process of a job."""

    def __init__(self, jobs: Sequence[Job], *, at_once: int, start: Start):
        self.waiting = collections.deque(jobs)
        self.running: list[ChildProcess] = []
        self.outcomes: list[JobOutcome] = []
        self._total, self._slots, self._make_child = len(jobs), at_once, start
        # Seconds of whole runs, by row.
        self._durations: dict[str, list[float]] = collections.defaultdict(list)

    def run(self, bar: SweepBar) -> int | None:
        """Run all jobs; the number of the signal that stopped it early, if any."""
        handled = 0
        with caught_signals() as received, contextlib.ExitStack() as stack:
            stack.callback(self._terminate)  # leave no process behind on an error
            while self.running or (self.waiting and not received):
                while self.waiting and not received and len(self.running) < self._slots:
                    self._start(self.waiting.popleft(), bar)
                if len(received) > handled:
                    bar.note(f"stopping: waiting for {len(self.running)} runs to save")
                    self._terminate()
                    handled = len(received)
                self._collect(bar)
                bar.show(*self.progress())
                time.sleep(POLL_S if self.running else 0)
        return received[0] if received else None

    def progress(self) -> tuple[float, str]:
        """(runs done, with fractions; `3/10 runs, A/seed0 1200/64000, ETA 2:05:00`)."""
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
        """(seconds left, all rows left are measured); None: unknown."""
        measured = {row: sum(s) / len(s) for row, s in self._durations.items()}
        for child in self.running:
            if child.job.row not in measured and (seconds := child.whole_run()):
                measured[child.job.row] = seconds
        left = [(child.job.row, 1 - child.fraction()) for child in self.running]
        left += [(job.row, 1.0) for job in self.waiting]
        return time_left(measured, left, at_once=self._slots)

    def _start(self, job: Job, bar: SweepBar) -> None:
        """Start a job, unless it is done or refused."""
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
        """Record the outcomes of processes that have ended."""
        for child in list(self.running):
            outcome = child.outcome()
            if outcome is None:
                continue
            self.running.remove(child)
            if outcome.kind == "done":
                done = read_json(child.job.folder / "DONE") or {"wall_s": 0.0}
                # wall_s includes the time before a run was resumed.
                seconds = max(child.elapsed(), done["wall_s"])
                self._durations[child.job.row].append(seconds)
            self._end(outcome, bar)

    def _end(self, outcome: JobOutcome, bar: SweepBar) -> None:
        self.outcomes.append(outcome)
        if outcome.kind != "already_done":
            bar.note(f"{outcome.job.name}: {outcome.message}")

    def _terminate(self) -> None:
        for child in self.running:
            child.terminate()

    def summary(self) -> list[str]:
        """Counts of runs by outcome, then the failed, refused and stopped runs."""
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
    """Starter of resnet_jax.main processes that share the devices."""
    environment = shared_accelerator(os.environ, at_once=at_once)
    return functools.partial(ChildProcess, program=PROGRAM, environment=environment)


def time_left(
    measured: Mapping[str, float], left: Sequence[tuple[str, float]], *, at_once: int
) -> tuple[float, bool] | None:
    """(seconds left, all rows left are measured); None if no row is measured.

    `measured`: seconds of a whole run by row, whose mean stands for other rows; `left`:
    (row, fraction) of the runs left.
    """
    if not measured:
        return None
    mean = sum(measured.values()) / len(measured)
    seconds = [measured.get(row, mean) * fraction for row, fraction in left]
    longest = max(seconds, default=0.0)
    return max(sum(seconds) / at_once, longest), all(row in measured for row, _ in left)


def eta_text(eta: tuple[float, bool] | None) -> str:
    """`2:05:00`, or `~2:05:00` if a row left is not measured."""
    if eta is None:
        return "not known yet"
    seconds, measured = eta
    return f"{'' if measured else '~'}{datetime.timedelta(seconds=round(seconds))}"


def shared_accelerator(
    environment: Mapping[str, str], *, at_once: int
) -> dict[str, str]:
    """Environment of runs that share a GPU; by default JAX takes 3/4 of its memory."""
    part = {"XLA_PYTHON_CLIENT_MEM_FRACTION": f"{0.9 / at_once:.3f}"}
    return (part if at_once > 1 else {}) | dict(environment)


@contextlib.contextmanager
def caught_signals() -> Iterator[list[int]]:
    """Collect received SIGINT and SIGTERM in a list, instead of handling them."""
    received: list[int] = []

    def receive(number: int, _: object) -> None:
        received.append(number)

    before = {n: signal.signal(n, receive) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
