"""Worker processes that run side by side and measure in turns, and their rows."""

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
    """A process that measures one way of a case, and its row of results.

    The row holds the facts and samples that the process prints; `status` says why there
    are no more. Temporary files go to `folder`, empty at first, so that no compiler
    finds the cached kernels of another run.
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
                start_new_session=True,  # so that its children are killed with it
            )
        self.row["facts"] |= self._read()
        self._check_params(case, WAYS[way])

    @property
    def succeeded(self) -> bool:
        return self.row["status"] == "ok"

    def turn(self) -> None:
        """Ask for one turn, and add its sample to the row."""
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write("\n")
            self._process.stdin.flush()
        for name, value in self._read().items():
            self.row["samples"].setdefault(name, []).append(value)

    def finish(self) -> None:
        """End its input, and add the last facts to the row."""
        self._process.stdin.close()
        self.row["facts"] |= self._read()

    def close(self) -> None:
        """Kill the process."""
        self._kill()
        with contextlib.suppress(BrokenPipeError), self._process:
            pass  # closes its pipes and waits for it

    def end_of_stderr(self) -> str:
        """Last 20 lines that it wrote to stderr."""
        lines = self._errors.read_text(errors="replace").splitlines()
        return "\n".join(lines[-20:])

    def _read(self) -> dict[str, Any]:
        """Read its next line; on failure, set the status and return nothing."""
        timer = threading.Timer(self._limit, self._expire)
        timer.start()
        line = self._process.stdout.readline()
        timer.cancel()
        if line:
            record = json.loads(line)
            self.row["status"] = record.pop("status", self.row["status"])
            return record
        if self.succeeded:
            self.row["status"] = f"ended with exit code {self._process.wait()}"
        return {}

    def _expire(self) -> None:
        self.row["status"] = f"timed out after {self._limit:g} s"
        self._kill()

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _check_params(self, case: Case, way: Way) -> None:
        if not self.succeeded or not case.net or (way.by == "ours" and way.fields):
            return
        params, expected = self.row["facts"]["params"], case.net.params + way.biases
        if params != expected:
            self.row["status"] = f"failed: has {params:,} parameters, not {expected:,}"


def measured(
    case: Case, groups: Iterable[Sequence[str]], *, command: Sequence[str], limit: float
) -> list[dict[str, Any]]:
    """Measure a case, one row per way.

    The ways of a group run side by side and take turns; groups run one after the other.
    Names of case and way, steps and batch size are appended to `command`.
    """
    rows, sizes = [], (str(case.steps), str(case.batch))
    for ways in groups:
        with contextlib.ExitStack() as stack:
            workers = []
            for way in ways:
                folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
                folder = pathlib.Path(stack.enter_context(folder))
                program = [*command, case.name, way, *sizes]
                worker = Worker(case, way, command=program, limit=limit, folder=folder)
                stack.callback(worker.close)
                workers.append(worker)
                print_status(case, worker)
            for act in (*[Worker.turn] * case.turns, Worker.finish):
                for worker in filter(lambda worker: worker.succeeded, workers):
                    act(worker)
                    if not worker.succeeded:
                        print_status(case, worker)
            rows += [worker.row for worker in workers]
    return rows


def print_status(case: Case, worker: Worker) -> None:
    """Print the status to stderr, with the end of the worker's stderr if it failed."""
    status = worker.row["status"]
    now = time.strftime("%H:%M:%S")
    print(f"{now} {case.name}, {worker.row['way']}: {status}", file=sys.stderr)
    if not worker.succeeded and not status.startswith(("not ", "timed")):
        print(worker.end_of_stderr(), file=sys.stderr)
