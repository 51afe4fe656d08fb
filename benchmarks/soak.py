"""Soak: one long run, hit by a fault at a time, ends as the run that was left alone.

    python benchmarks/soak.py --out benchmarks/soak.json [--faults 200] [--seed 0]
        [--folder DIR] [--minutes M]

A tiny net learns digits for some thousand steps, once undisturbed and once with
faults: signals at random times, files of the run damaged or gone between two starts, a
full disk (a limit on the size of files), a folder that is read-only for a while, a
second command in the same folder. After each fault the same command goes on. What has
to be refused (no checkpoint is left, config.json is gone) is repaired from a copy that
was made before the fault, and counted. In the end, rows of the log, results and
checkpoints are compared bit for bit. The number of devices stays: other sums are
rounded in another order. A soak that was stopped goes on where it was.
"""

import argparse
import collections
import dataclasses
import functools
import json
import math
import os
import pathlib
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "tests"))

import runs
from tearing import RESTING, Resting, steps

from resnet_jax.runs import directory

ROOT = runs.ROOT
STEPS, DEVICES = 6000, 2
FIELDS = {
    "data.split": "1200/200",
    "train.epochs": "None",
    "train.iterations": STEPS,
    "train.steps": "None",
    "train.eval_every": 50,
    "train.checkpoint_every": 30,
}
START, LIMIT = 12.0, 300.0  # seconds: longest wait for a signal; life of a process
FIRST = 100  # steps before the first fault: rows and two checkpoints are there
CAP_DAC_OVERRIDE, PR_CAPBSET_DROP = 1, 24  # Linux: root writes what nobody may


@dataclasses.dataclass(frozen=True)
class Running:
    """A fault of a run that goes on: exit codes that it may have.

    `hit(life)` does it; `before()` is called in the new process.
    """

    codes: tuple[int, ...]
    hit: Callable[["Life"], None]
    before: Callable[[], None] | None = None


@dataclasses.dataclass
class Life:
    """One process of the run: from its start to its end, and what it said."""

    process: subprocess.Popen
    workdir: pathlib.Path
    rng: random.Random
    quota: int
    problems: list[str] = dataclasses.field(default_factory=list)
    first: int = dataclasses.field(init=False)

    def __post_init__(self):
        self.first = self.step

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    @property
    def step(self) -> int:
        """Newest checkpoint."""
        found = steps(self.workdir)
        return int(found[0].name) if found else 0

    @property
    def enough(self) -> bool:
        """True once the run has made its share of steps, some in this life."""
        return self.step > max(self.first, self.quota)

    def wait(self, seconds: float) -> None:
        """Wait so long, or until the process ends or has made its share of steps."""
        end = time.monotonic() + seconds
        while self.alive and time.monotonic() < end and not self.enough:
            time.sleep(0.02)

    def send(self, number: int) -> None:
        if self.alive:
            self.process.send_signal(number)


def sent(*numbers: int) -> Callable[[Life], None]:
    """Send signals, up to 0.3 s apart."""

    def hit(life: Life) -> None:
        for number in numbers:
            life.send(number)
            if len(numbers) > 1:
                time.sleep(life.rng.uniform(0, 0.3))

    return hit


def small_files() -> None:
    """Let no file grow beyond some KiB, as on a full disk."""
    size = random.Random(os.getpid()).randrange(4, 40) * 1024
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def unprivileged() -> None:
    """Obey the rights of files, for root too."""
    import ctypes

    ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0)


def read_only(life: Life) -> None:
    """Take away the right to write checkpoints until the run ends."""
    places = [life.workdir / "checkpoints", life.workdir]
    chosen = [p for p in places[: life.rng.randint(1, 2)] if p.exists()]
    try:
        for place in chosen:
            place.chmod(0o555)
        ended(life.process)
    finally:
        for place in chosen:
            place.chmod(0o755)


def second(life: Life) -> None:
    """Start the same command in the same folder; then stop the run."""
    if (life.workdir / ".lock").exists() and life.alive:
        other = start(life.workdir, stderr=subprocess.PIPE)
        try:
            said = other.communicate(timeout=LIMIT)[1].decode()
        finally:
            other.kill()
        held = life.alive
        if held and (other.returncode != 2 or "another run is writing" not in said):
            life.problems.append(f"second command: {other.returncode}: {said[-300:]}")
    life.send(signal.SIGTERM)


TERM, INT, KILL = signal.SIGTERM, signal.SIGINT, signal.SIGKILL
SIGNALS = {
    "SIGKILL": Running((-KILL,), sent(KILL)),
    "SIGTERM": Running((143, -TERM), sent(TERM)),
    "SIGINT": Running((130, -INT), sent(INT)),  # -2: while Python imports
    "SIGTERM twice": Running((143, -TERM), sent(TERM, TERM)),
}
RUNNING = SIGNALS | {
    "full disk": Running((6,), lambda life: ended(life.process) and None, small_files),
    "read-only folder": Running((2, 6), read_only, unprivileged),
    "second command": Running((143, -TERM), second),
}


@dataclasses.dataclass(frozen=True)
class Turn:
    """A fault between two starts, then one of the run that was started."""

    resting: str
    running: str


def plan(count: int, seed: int) -> list[Turn]:
    """Turns with at least `count` faults, every kind equally often, in random order.

    A fault that may be refused is followed by a signal: any other fault of a process
    could come before the refusal, and hide it. One that must be is the only one of its
    turn, as there is no process left to be hit.
    """
    rng, turns = random.Random(seed), []
    names: dict[str, list[str]] = {}

    def next_of(kind: str, of: Sequence[str]) -> str:
        if not names.get(kind):
            names[kind] = rng.sample(list(of), len(of))
        return names[kind].pop()

    while count > 0:
        resting = next_of("resting", list(RESTING))
        refused = RESTING[resting].refused
        kinds = ("signals", list(SIGNALS)), ("running", list(RUNNING))
        turns.append(Turn(resting, next_of(*kinds[refused == "never"])))
        count -= 2 if refused == "never" else 1
    return turns


def prepare(before: Callable[[], None] | None) -> None:
    """Take signals as from a terminal; a shell's background jobs ignore SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if before:
        before()


def start(workdir, *, before=None, stderr=None) -> subprocess.Popen:
    """The command of the run, in a new process."""
    command = runs.Workshop(workdir.parent).command(workdir, FIELDS)
    cache = {
        "JAX_COMPILATION_CACHE_DIR": str(workdir.parent / "cache"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PLATFORMS": "cpu",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "resnet_jax.main", *command],
        env=runs.environment(devices=DEVICES) | cache,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
        preexec_fn=functools.partial(prepare, before),
        cwd=ROOT,
    )


def ended(process: subprocess.Popen) -> int:
    """Exit code; the process is killed when it takes too long."""
    try:
        return process.wait(LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return 1000


def begun(life: Life, environment: bytes) -> None:
    """Wait until the process has decided whether the run goes on."""
    file = life.workdir / "env.json"
    while life.alive and (not file.exists() or file.read_bytes() == environment):
        time.sleep(0.02)


@dataclasses.dataclass
class Soak:
    """A soak under way: its folder, its plan, and a record of each turn so far."""

    folder: pathlib.Path
    turns: list[Turn]
    seed: int
    records: list[dict]

    @property
    def workdir(self) -> pathlib.Path:
        return self.folder / "run"

    @property
    def seconds(self) -> float:
        return sum(record["seconds"] for record in self.records)

    def undisturbed(self) -> pathlib.Path:
        workdir = self.folder / "whole"
        assert ended(start(workdir)) == 0
        return workdir

    def reach(self, step: int) -> None:
        """Let the run go on to a step, and kill it there."""
        process = start(self.workdir)
        life = Life(process, self.workdir, random.Random(), quota=step)
        life.wait(LIMIT)
        process.kill()
        process.wait()

    def turn(self, number: int) -> dict:
        """Damage, start, hit: the record of a turn."""
        turn, rng = self.turns[number], random.Random(f"{self.seed}:{number}")
        resting, running = RESTING[turn.resting], RUNNING[turn.running]
        copy = self.folder / "copy"
        if not (copy / "whole").exists():
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(self.workdir, copy, symlinks=True)
            (copy / "whole").touch()
        else:  # an earlier start of this turn was stopped
            self.repair()
        applied = resting.hit(self.workdir, rng)
        record = {"resting": turn.resting, "running": turn.running, "applied": applied}
        record |= self.lived(number, resting, running, rng)
        shutil.rmtree(copy)
        return record

    def lived(
        self, number: int, resting: Resting, running: Running, rng: random.Random
    ) -> dict:
        """Start the command after a fault, and let the next one hit it."""
        said = self.folder / "stderr"
        environment = self.workdir / "env.json"
        known = environment.read_bytes() if environment.exists() else b""
        quota = FIRST + (STEPS - 500) * (number + 1) // len(self.turns)
        with open(said, "wb") as stderr:
            process = start(self.workdir, before=running.before, stderr=stderr)
            life = Life(process, self.workdir, rng, quota)
            try:
                if resting.refused == "never":
                    life.wait(rng.uniform(0, START))
                else:
                    begun(life, known)
                    life.wait(rng.uniform(0, 1.5))
                refused = process.poll() == 4
                if not refused:
                    running.hit(life)
                code = ended(process)
            finally:
                process.kill()
        text = said.read_text(errors="replace")
        problems = life.problems + complaints(resting, running, code, refused, text)
        if problems:
            kept = self.folder / f"unexpected-{number}"
            shutil.copytree(self.workdir, kept, symlinks=True, dirs_exist_ok=True)
            (kept / "stderr").write_text(text)
        if refused or code == 0:  # else there is no run left to be hit
            self.repair()
        return {"code": code, "step": life.step, "problems": problems}

    def repair(self) -> None:
        """Put back the copy that was made before a fault."""
        shutil.rmtree(self.workdir)
        shutil.copytree(self.folder / "copy", self.workdir, symlinks=True)
        (self.workdir / "whole").unlink()

    def tidy(self) -> None:
        """Remove what was set aside, which would be copied at every turn."""
        for aside in self.workdir.glob("checkpoints/corrupt-*"):
            shutil.rmtree(aside)
        for aside in self.workdir.glob("metrics.jsonl.*-*"):
            aside.unlink()


def complaints(
    resting: Resting, running: Running, code: int, refused: bool, said: str
) -> list[str]:
    """Problems of an end: another exit code, a traceback, more than one line."""
    problems = []
    allowed = (4,) if refused else running.codes
    if code not in allowed:
        problems.append(f"exit code {code}, not {allowed}")
    if refused and resting.refused == "never":
        problems.append("refused")
    if not refused and resting.refused == "always":
        problems.append("not refused")
    if "Traceback" in said and code > 0:
        problems.append("traceback")
    if code in (2, 4, 6) and said.count("error[") != 1:
        problems.append(f"{said.count('error[')} lines of error")
    return problems


def compared(one: pathlib.Path, other: pathlib.Path) -> dict[str, bool]:
    """Equality of two finished runs, bit for bit."""

    def states(workdir, kind):
        found = runs.state(workdir, kind=kind).items()
        return {name: (v.dtype, v.tobytes()) for name, v in found}

    results = [json.loads((d / "result.json").read_text()) for d in (one, other)]
    for result in results:
        result["wall_s"] = 0
    return {
        "log without gap or double": runs.timeless(one) == runs.timeless(other),
        "result.json but for its time": results[0] == results[1],
        "parameters and state of the last step": (
            states(one, "checkpoints") == states(other, "checkpoints")
        ),
        "parameters and state of the best step": (
            states(one, "best") == states(other, "best")
        ),
    }


def result(soak: Soak, seconds: float, equal: dict[str, bool]) -> dict:
    """The content of the result file."""
    turns = soak.records
    kinds = collections.Counter(record["resting"] for record in turns)
    kinds.update(record["running"] for record in turns if record["code"] != 4)
    ends: dict[str, collections.Counter] = collections.defaultdict(collections.Counter)
    for record in turns:
        kind = "refused" if record["code"] == 4 else record["running"]
        ends[kind][str(record["code"])] += 1
    environment = directory.environment({"devices": DEVICES})
    shown = ("commit", "python", "packages", "devices", "cpu_count", "xla_flags")
    return {
        "seed": soak.seed,
        "steps": STEPS,
        "faults": sum(kinds.values()),
        "restarts": len(turns),
        "refused and repaired from a copy": sum(r["code"] == 4 for r in turns),
        "seconds": round(seconds),
        "faults by kind": dict(sorted(kinds.items())),
        "exit codes": {kind: dict(ends[kind]) for kind in sorted(ends)},
        "problems": [r for r in turns if r["problems"]],
        "equal to the undisturbed run": equal,
        **{name: environment[name] for name in shown},
    }


def opened(folder: pathlib.Path, count: int, seed: int) -> Soak:
    """A soak that begins, or goes on in its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    state, turns = folder / "soak.json", plan(count, seed)
    records = json.loads(state.read_text()) if state.exists() else []
    soak = Soak(folder, turns, seed, records)
    if not (folder / "whole" / "DONE").exists():
        soak.undisturbed()
    if not records and not (folder / "copy").exists():
        soak.reach(FIRST)
    return soak


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=math.inf)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path("soak"))
    options = parser.parse_args()
    soak = opened(options.folder.resolve(), options.faults, options.seed)
    for number in range(len(soak.records), len(soak.turns)):
        if soak.seconds > 60 * options.minutes:
            break
        began = time.monotonic()
        record = soak.turn(number)
        record["seconds"] = time.monotonic() - began
        soak.records.append(record)
        (soak.folder / "soak.json").write_text(json.dumps(soak.records, indent=1))
        soak.tidy()
        print(number, record, flush=True)
    assert ended(start(soak.workdir)) == 0
    equal = compared(soak.workdir, soak.folder / "whole")
    found = result(soak, soak.seconds, equal)
    options.out.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found["problems"], indent=1), equal)
    return 0 if all(equal.values()) and not found["problems"] else 1


if __name__ == "__main__":
    sys.exit(main())
