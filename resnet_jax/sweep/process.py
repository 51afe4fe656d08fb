"""One run of a sweep, as a child process: its command, its steps, how it ended.

What a child prints is appended to sweep.log in its folder. One that fails leaves its
reason there as the one line of FAILED, where the report finds it.
"""

import dataclasses
import datetime
import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from resnet_jax.config.schema import Config
from resnet_jax.errors import CheckpointError, ConfigError, Preempted
from resnet_jax.runs import directory as workdir
from resnet_jax.runs.log import lock

PROGRAM = (sys.executable, "-m", "resnet_jax.main")
TAIL = 4096  # bytes at the end of a log that hold the newest bar
# What a bar says of a run: step, of how many.
STEPS = re.compile(rb"(\d+)/(\d+) \[")
ERROR = re.compile(r"error\[(\w+)\] (.*)")
# SIGTERM, before or after the loop could answer it by saving.
STOPPED = (Preempted.exit_code, -signal.SIGTERM)


@dataclasses.dataclass(frozen=True)
class Job:
    """A row and a seed, their config, and the options of resnet_jax.main."""

    row: str
    seed: int
    folder: pathlib.Path
    config: Config
    options: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.row}/seed{self.seed}"

    def done(self) -> dict[str, Any] | None:
        """What DONE says, if it is of this config and long enough.

        CheckpointError where the folder holds a run of another config.
        """
        old = workdir.read_json(self.folder / "config.json")
        if old is None:
            return None
        derived = old.pop("derived", {})
        if fields := workdir.changed_fields(old, self.config.to_dict()):
            listed = "; ".join(f"{p}: {a!r} -> {b!r}" for p, (a, b) in fields.items())
            raise CheckpointError(
                f"{self.folder}: holds a run of another config ({listed}); name other "
                "--runs, or move this one away"
            )
        done = workdir.read_json(self.folder / "DONE")
        total = derived.get("total_steps", 0)
        wanted = min(self.config.train.steps or total, total)
        return done if done and done["step"] >= wanted else None


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a job ended, with the exit code and the words of its run.

    "kept" was DONE before, "refused" found its folder taken by another config or
    process, "stopped" can go on from its last checkpoint.
    """

    job: Job
    kind: Literal["kept", "done", "stopped", "refused", "failed"]
    code: int = 0
    said: str = ""


class Child:
    """A job in a process and a session of its own, which Ctrl-C does not reach."""

    def __init__(self, job: Job, program: Sequence[str], environment: Mapping):
        self.job, self._log = job, job.folder / "sweep.log"
        self._start, command = time.monotonic(), [*program, *job.options]
        resumed = (job.folder / "config.json").exists()
        self._first = None if resumed else 0  # the step it started from
        with lock(job.folder):
            (job.folder / "FAILED").unlink(missing_ok=True)
        with open(self._log, "ab") as file:
            now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
            file.write(f"== {now} {shlex.join(command)}\n".encode())
            file.flush()
            self._from = file.tell()
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )

    def steps(self) -> tuple[int, int] | None:
        """Its step and its last one, once its bar has shown them."""
        with open(self._log, "rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(self._from, end - TAIL))
            shown = STEPS.findall(file.read())
        if not shown:
            return None
        step, total = map(int, shown[-1])
        if step and self._first is None:
            self._first = step
        return step, max(total, 1)

    def share(self) -> float:
        step, total = self.steps() or (0, 1)
        return min(step / total, 1.0)

    def took(self) -> float:
        """Seconds since its start."""
        return time.monotonic() - self._start

    def takes(self) -> float | None:
        """Seconds that a whole run takes at this pace, after 2 % of it."""
        step, total = self.steps() or (0, 1)
        share = (step - (self._first or 0)) / total
        return self.took() / share if share >= 0.02 else None

    def outcome(self) -> Outcome:
        """How the ended process ended, in the words of its log."""
        code, said = self.process.returncode, self._said()
        if code == 0:
            return Outcome(self.job, "done", said=said)
        if code in STOPPED:
            return Outcome(self.job, "stopped", Preempted.exit_code, said)
        if code == CheckpointError.exit_code:
            return Outcome(self.job, "refused", code, said)
        if code < 0:
            said = f"killed by {signal.Signals(-code).name}"
            said += "; often memory ran out" if code == -signal.SIGKILL else ""
        return self._failed(Outcome(self.job, "failed", max(code, 1), said))

    def _said(self) -> str:
        """The first line of its error message, else its last line."""
        with open(self._log, "rb") as file:
            file.seek(self._from)
            text = file.read().decode(errors="replace")
        lines = [line.strip() for line in re.split(r"[\r\n]", text)]
        errors = [": ".join(m.groups()) for line in lines if (m := ERROR.match(line))]
        return (errors or [line for line in lines if line][-1:] or ["said nothing"])[0]

    def _failed(self, outcome: Outcome) -> Outcome:
        """Writes FAILED, unless another process has the folder by now."""
        try:
            with lock(self.job.folder):
                (self.job.folder / "FAILED").write_text(f"{outcome.said}\n")
        except ConfigError as error:
            return dataclasses.replace(outcome, kind="refused", said=str(error))
        except OSError as error:
            said = f"{outcome.said} (FAILED cannot be written: {error.strerror})"
            return dataclasses.replace(outcome, said=said)
        return outcome
