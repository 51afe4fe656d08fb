"""Child process of one run: its command, progress and outcome.

The output is appended to sweep.log in the run's folder. The reason of a failure is
written to FAILED, which the report reads.
"""

import dataclasses
import datetime
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from resnet_jax.errors import CheckpointError, ConfigError, Preempted
from resnet_jax.runs.compatibility import changed_fields, described
from resnet_jax.runs.directory import read_config, read_json
from resnet_jax.runs.log import lock
from resnet_jax.sweep.plan import Job

PROGRAM = (sys.executable, "-m", "resnet_jax.main")
TAIL = 4096  # bytes at the end of a log, enough for the newest progress bar
STEPS = re.compile(rb"(\d+)/(\d+) \[")  # `1200/64000 [` of a progress bar
ERROR = re.compile(r"error\[(\w+)\] (.*)")
# A run saves on SIGTERM; before and after its loop the signal just ends it.
STOPPED = (Preempted.exit_code, -signal.SIGTERM)
MEASURABLE = 0.02  # least fraction of a run from which its duration is estimated
# Exit codes of a sweep's runs, worst first.
WORST = (1, 6, 5, 4, 3, 2, 143)


@dataclasses.dataclass(frozen=True)
class JobOutcome:
    """Outcome of a job: kind, exit code, and message.

    already_done: DONE before the sweep; refused: the folder is in use or holds another
    config; stopped: can be resumed from its last checkpoint.
    """

    job: Job
    kind: Literal["already_done", "done", "stopped", "refused", "failed"]
    code: int = 0
    message: str = ""


def finished_in(job: Job) -> float | None:
    """Wall-clock seconds of a finished run of the job, else None.

    CheckpointError if the folder holds a run of another config.
    """
    old = read_config(job.folder)
    if old is None:
        return None
    if changes := changed_fields(old.tree, job.config.to_dict()):
        raise CheckpointError(
            f"{job.folder}: holds a run of another config ({described(changes)}); name "
            "other --runs, or move this one away"
        )
    done = read_json(job.folder / "DONE")
    total = old.derived.get("total_steps", 0)
    wanted = min(job.config.train.steps or total, total)
    return done["wall_s"] if done and done["step"] >= wanted else None


class ChildProcess:
    """Process of a run, in a separate session that Ctrl-C does not reach."""

    def __init__(
        self, job: Job, *, program: Sequence[str], environment: Mapping[str, str]
    ):
        self.job, self._log = job, job.folder / "sweep.log"
        self._start, command = time.monotonic(), [*program, *job.options]
        resumed = (job.folder / "config.json").exists()
        self._first_step = None if resumed else 0
        with lock(job.folder):
            (job.folder / "FAILED").unlink(missing_ok=True)
        with open(self._log, "ab") as file:
            now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
            file.write(f"== {now} {shlex.join(command)}\n".encode())
            file.flush()
            self._output = file.tell()  # start of this process's output
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )

    def terminate(self) -> None:
        """Send SIGTERM: the run saves and ends; the second time it ends at once."""
        self._process.terminate()

    def steps(self) -> tuple[int, int] | None:
        """(step, last step) of the progress bar; None before its first line."""
        with open(self._log, "rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(self._output, end - TAIL))
            shown = STEPS.findall(file.read())
        if not shown:
            return None
        step, total = map(int, shown[-1])
        if step and self._first_step is None:
            self._first_step = step
        return step, max(total, 1)

    def fraction(self) -> float:
        """Fraction of the steps done."""
        step, total = self.steps() or (0, 1)
        return min(step / total, 1.0)

    def elapsed(self) -> float:
        """Seconds since the start of the process."""
        return time.monotonic() - self._start

    def whole_run(self) -> float | None:
        """Estimated seconds of a whole run; None before MEASURABLE of it is done."""
        step, total = self.steps() or (0, 1)
        measured = (step - (self._first_step or 0)) / total
        return self.elapsed() / measured if measured >= MEASURABLE else None

    def outcome(self) -> JobOutcome | None:
        """Outcome by exit code and log; None while the process runs."""
        code = self._process.poll()
        if code is None:
            return None
        message = self._message()
        if code == 0:
            return JobOutcome(self.job, "done", code, message)
        if code in STOPPED:
            return JobOutcome(self.job, "stopped", Preempted.exit_code, message)
        if code == CheckpointError.exit_code:
            return JobOutcome(self.job, "refused", code, message)
        if code < 0:
            message = f"killed by {signal.Signals(-code).name}"
            message += "; often memory ran out" if code == -signal.SIGKILL else ""
        return _write_failed(JobOutcome(self.job, "failed", max(code, 1), message))

    def _message(self) -> str:
        """The first error in the output, else its last line."""
        with open(self._log, "rb") as file:
            file.seek(self._output)
            text = file.read().decode(errors="replace")
        lines = [line.strip() for line in re.split(r"[\r\n]", text)]
        errors = [": ".join(m.groups()) for line in lines if (m := ERROR.match(line))]
        return (errors or [line for line in lines if line][-1:] or ["no output"])[0]


def _write_failed(failure: JobOutcome) -> JobOutcome:
    """Write FAILED, unless another process holds the folder; the updated outcome."""
    folder = failure.job.folder
    try:
        with lock(folder):
            (folder / "FAILED").write_text(f"{failure.message}\n")
    except ConfigError as error:
        return dataclasses.replace(failure, kind="refused", message=str(error))
    except OSError as error:
        message = f"{failure.message} (FAILED cannot be written: {error.strerror})"
        return dataclasses.replace(failure, message=message)
    return failure


def worst_code(outcomes: Iterable[JobOutcome]) -> int:
    """Exit code of the worst run, which is that of the sweep."""
    codes = {outcome.code for outcome in outcomes}
    return next((code for code in WORST if code in codes), max(codes, default=0))
