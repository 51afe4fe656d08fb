"""Runs of a tiny net as users start them, here or as a process, and what they leave."""

import contextlib
import dataclasses
import os
import pathlib
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import jax
import numpy as np
import orbax.checkpoint as ocp
import tinytask

from resnet_jax.config.schema import Config
from resnet_jax.data.sources.splits import open_splits
from resnet_jax.main import main
from resnet_jax.runs.reader import read

ROOT = pathlib.Path(__file__).parents[1]
DIGITS = ROOT / "experiments" / "digits_preact.py"
TINY = {
    "model.unit.branch": "single",  # the least to compile in three stages
    "model.depth": 5,
    "model.width": 0.25,
    "data.batch_size": 64,
    "train.eval_every": 4,
    "train.checkpoint_every": 3,
    "train.steps": 24,
}
MAIN = """
from resnet_jax import cli
from resnet_jax.main import main
cli.leave(main())
"""
# Seconds are a Python expression, of `step` perhaps: a signal may come at any step.
PAUSED = """
import time
from resnet_jax.data.pipeline import Pipeline
def train_batches(self, *place, read=Pipeline.train_batches):
    read = read(self, *place)
    def paused(step, k):
        time.sleep({seconds})
        return read(step, k)
    return paused
Pipeline.train_batches = train_batches
"""
LIMIT = 300  # seconds that any run here may take


@dataclasses.dataclass(frozen=True)
class Workshop:
    """A folder with digits prepared, and a tiny net to train on them.

    `train` is a command in this process, `run` and `done` one in a process of its own;
    both compute the same bits.
    """

    folder: pathlib.Path

    @classmethod
    def open(cls, folder: pathlib.Path) -> "Workshop":
        open_splits("digits", directory=folder / "tfds")
        return cls(folder)

    def command(self, workdir, changes=(), *, config=DIGITS) -> list[str]:
        """The arguments of a run of the tiny net."""
        fields = {**TINY, "data.dir": self.folder / "tfds", **dict(changes)}
        return [
            *("--config", str(config), "--workdir", str(workdir)),
            *(f"--config.{path}={value}" for path, value in fields.items()),
        ]

    def config(self, changes=()) -> Config:
        """A config of the tiny net."""
        data = {"data.dir": str(self.folder / "tfds"), "train.epochs": 20.0}
        base = TINY | {"optim.schedule": "cosine"} | data
        return tinytask.config(base | dict(changes))

    def train(self, workdir, changes=(), *, flags=()) -> pathlib.Path:
        """The folder of a run that ended well, in this process."""
        assert main(["main", *self.command(workdir, changes), *flags]) == 0
        return workdir

    @contextlib.contextmanager
    def started(
        self, workdir, changes=(), *, devices=2, before="", flags=(), variables=()
    ) -> Iterator[subprocess.Popen]:
        """A run that was started, after the Python code `before`; it ends with us."""
        arguments = [*self.command(workdir, changes), *flags]
        with subprocess.Popen(
            [sys.executable, "-c", before + MAIN, *arguments],
            env=environment(devices=devices) | dict(variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def run(self, workdir, changes=(), **kwargs) -> subprocess.CompletedProcess:
        with self.started(workdir, changes, **kwargs) as process:
            return ended(process)

    def done(self, workdir, changes=(), **kwargs) -> pathlib.Path:
        """The folder of a run that ended well, in a process of its own."""
        run = self.run(workdir, changes, **kwargs)
        assert run.returncode == 0, run.stderr
        assert run.stdout.startswith("done: test error"), run.stdout
        return workdir


def environment(*, devices=2) -> dict[str, str]:
    """That of a process with so many devices, which compiles as the tests do."""
    return os.environ | {
        "JAX_NUM_CPU_DEVICES": str(devices),
        "PYTHONPATH": str(ROOT),
    }


@contextlib.contextmanager
def two(shop, workdir, changes=(), **kwargs) -> Iterator[list[subprocess.Popen]]:
    """Two processes of one run on this machine, with a device each."""
    with contextlib.ExitStack() as stack:
        address = f"127.0.0.1:{free_port()}"
        yield [
            stack.enter_context(
                shop.started(
                    workdir,
                    changes,
                    devices=1,
                    variables={
                        "JAX_COORDINATOR_ADDRESS": address,
                        "JAX_NUM_PROCESSES": "2",
                        "JAX_PROCESS_ID": str(number),
                    },
                    **kwargs,
                )
            )
            for number in (0, 1)
        ]


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Quiet:
    """No bar; keeps what a run notes."""

    notes: tuple[str, ...] = ()

    def __init__(self, *, total):
        Quiet.notes = ()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def update(self, step):
        pass

    def note(self, text):
        Quiet.notes += (text,)

    def doing(self, what):
        pass


def ended(process, *, limit=LIMIT) -> subprocess.CompletedProcess:
    """A process and what it said, when it is over."""
    out, err = process.communicate(timeout=limit)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def await_true(process, happened: Callable[[], bool]) -> None:
    """Returns once something has happened in a run that goes on."""
    end = time.monotonic() + LIMIT
    while not happened():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.01)


def await_rows(process, workdir, count) -> None:
    """Returns once a run has logged so many rows."""
    log = workdir / "metrics.jsonl"
    await_true(process, lambda: log.exists() and log.read_bytes().count(b"\n") >= count)


def rows(workdir) -> list[dict]:
    """The rows of a whole log."""
    found, problems = read(workdir / "metrics.jsonl")
    assert not problems
    return found


OWN = ("run", "temporary_bytes")


def timeless(workdir) -> list[dict]:
    """The rows without what differs between equal runs."""
    return [
        {k: v for k, v in row.items() if not (k.endswith("_s") or k in OWN)}
        for row in rows(workdir)
    ]


def state(workdir, *, kind="checkpoints") -> dict[str, np.ndarray]:
    """The leaves of the newest checkpoint, read without the package."""
    path = workdir / kind / str(steps(workdir, kind=kind)[-1]) / "state"
    with ocp.PyTreeCheckpointer() as reader:
        tree = reader.metadata(path).item_metadata.tree
        as_numpy = jax.tree.map(
            lambda _: ocp.RestoreArgs(restore_type=np.ndarray), tree
        )
        tree = reader.restore(path, restore_args=as_numpy)
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(k, simple=True, separator="/"): v for k, v in leaves}


def steps(workdir, *, kind="checkpoints") -> list[int]:
    names = (path.name for path in (workdir / kind).iterdir())
    return sorted(int(name) for name in names if name.isdecimal())


def assert_same_run(one, other) -> None:
    """Equal rows, none lost or doubled, and equal bits in the final state."""
    assert timeless(one) == timeless(other)
    assert steps(one) == steps(other)
    a, b = state(one), state(other)
    assert a.keys() == b.keys()
    for name in a:
        assert a[name].dtype == b[name].dtype
        assert a[name].tobytes() == b[name].tobytes(), name


def listing(folder) -> dict[str, tuple[int, int]]:
    """Files below a folder with size and time, to see that none changed.

    Without .lock, which names the last process that came.
    """
    files = [p for p in folder.rglob("*") if p.is_file() and p.name != ".lock"]
    return {
        str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in files
    }
