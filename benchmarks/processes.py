"""Processes that measure, side by side and in turns, and the rows that they fill."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any

from cases import WAYS, Case, Way
from work import STARTED


class Worker:
    """A process that measures one way of a case, and the row that it fills.

    The row keeps what the process says, or why it says no more. All its files are in
    the folder, which is empty at first: so no compiler finds kernels of another run.
    """

    def __init__(
        self,
        case: Case,
        way: str,
        *,
        command: Sequence[str],
        limit: float,
        folder: pathlib.Path,
    ):
        self.row: dict[str, Any] = {"case": case.name, "way": way, "status": "ok"}
        self.row |= {"facts": {}, "samples": {}}
        self._limit, self._errors = limit, folder / "stderr"
        started = {STARTED: str(time.monotonic()), "TMPDIR": str(folder)}
        if WAYS[way].cores == "one device each":
            started["JAX_NUM_CPU_DEVICES"] = os.environ["OMP_NUM_THREADS"]
        with open(self._errors, "w") as errors:
            self._process = subprocess.Popen(
                command,
                env=os.environ | started,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,  # to be ended with all that it started
            )
        self.row["facts"] |= self._hear()
        self._check_params(case, WAYS[way])

    @property
    def well(self) -> bool:
        return self.row["status"] == "ok"

    def turn(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write("\n")
            self._process.stdin.flush()
        for name, value in self._hear().items():
            self.row["samples"].setdefault(name, []).append(value)

    def finish(self) -> None:
        """Hears the last facts."""
        self._process.stdin.close()
        self.row["facts"] |= self._hear()

    def close(self) -> None:
        """Ends the process, whatever it does."""
        self._kill()
        with contextlib.suppress(BrokenPipeError), self._process:
            pass  # closes its pipes and waits for it

    def last_words(self) -> str:
        """The end of what it wrote to stderr."""
        lines = self._errors.read_text(errors="replace").splitlines()
        return "\n".join(lines[-20:])

    def _hear(self) -> dict[str, Any]:
        """The next line of the process, or nothing and a status that says why."""
        late = threading.Timer(self._limit, self._expire)
        late.start()
        line = self._process.stdout.readline()
        late.cancel()
        if line:
            said = json.loads(line)
            self.row["status"] = said.pop("status", self.row["status"])
            return said
        if self.well:
            self.row["status"] = f"ended with exit code {self._process.wait()}"
        return {}

    def _expire(self) -> None:
        self.row["status"] = f"timed out after {self._limit:g} s"
        self._kill()

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _check_params(self, case: Case, way: Way) -> None:
        if not self.well or not case.net or (way.by == "ours" and way.fields):
            return
        found, wanted = self.row["facts"]["params"], case.net.params + way.biases
        if found != wanted:
            self.row["status"] = f"failed: has {found:,} parameters, not {wanted:,}"


def measured(
    case: Case, groups: Iterable[Sequence[str]], *, command: Sequence[str], limit: float
) -> list[dict[str, Any]]:
    """The rows of a case; the ways of a group take turns, the groups follow another.

    `command` is followed by the names of case and way, steps and batch.
    """
    rows, numbers = [], (str(case.steps), str(case.batch))
    for ways in groups:
        with contextlib.ExitStack() as ending:
            workers = []
            for way in ways:
                folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
                folder = pathlib.Path(ending.enter_context(folder))
                program = [*command, case.name, way, *numbers]
                worker = Worker(case, way, command=program, limit=limit, folder=folder)
                ending.callback(worker.close)
                workers.append(worker)
                tell(case, worker)
            for act in (*[Worker.turn] * case.turns, Worker.finish):
                for worker in filter(lambda worker: worker.well, workers):
                    act(worker)
                    if not worker.well:
                        tell(case, worker)
            rows += [worker.row for worker in workers]
    return rows


def tell(case: Case, worker: Worker) -> None:
    status = worker.row["status"]
    now = time.strftime("%H:%M:%S")
    print(f"{now} {case.name}, {worker.row['way']}: {status}", file=sys.stderr)
    if not worker.well and not status.startswith(("not ", "timed")):
        print(worker.last_words(), file=sys.stderr)
