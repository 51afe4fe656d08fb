"""A signal in any phase of a run saves its newest state; the same command resumes."""

import dataclasses
import itertools
import os
import signal
from collections.abc import Callable, Iterable

import pytest
import runs

from resnet_jax.data.pipeline import Pipeline
from resnet_jax.errors import Interrupted, Preempted
from resnet_jax.train import run as run_module
from resnet_jax.train.checkpoint import Checkpoints
from resnet_jax.train.preemption import watch_for_stop
from resnet_jax.train.program import Update
from resnet_jax.train.run import run_all

FIELDS = {"data.split": "1200/200", "model.norm.precise": 2, "train.steps": 9}
ERRORS = {signal.SIGTERM: Preempted, signal.SIGINT: Interrupted}


@pytest.fixture(scope="module")
def config(shop):
    return shop.config(FIELDS)


@pytest.fixture(scope="module")
def whole(config, tmp_path_factory):
    """An uninterrupted run of 9 steps, evaluated at 4 and 9."""
    return train(config, tmp_path_factory.mktemp("whole"))


def train(config, folder):
    run_all(config, folder, bar=runs.Quiet)
    return folder


def in_call(owner, name, *, call):
    """Make send(monkeypatch, number): a signal in one of the calls of a method."""

    def send(monkeypatch, number):
        method, count = getattr(owner, name), itertools.count(1)

        def counted(self, *args, **kwargs):
            if next(count) == call:
                os.kill(os.getpid(), number)
            return method(self, *args, **kwargs)

        monkeypatch.setattr(owner, name, counted)

    return send


def in_batch(name, *, call):
    """Make send(monkeypatch, number): a signal as one of the batches is read.

    Batches of evaluations, or training batches of the precise statistics.
    """

    def send(monkeypatch, number):
        method, count = getattr(Pipeline, name), itertools.count(1)

        def told(batch):
            if next(count) == call:
                os.kill(os.getpid(), number)
            return batch

        def read(self, *args):
            batches = method(self, *args)
            if name == "eval_batches":
                return Told(batches, told)
            return lambda *at: told(batches(*at)) if len(at) == 1 else batches(*at)

        monkeypatch.setattr(Pipeline, name, read)

    return send


@dataclasses.dataclass(frozen=True)
class Told:
    """Batches, each of which is told as it is read."""

    batches: Iterable
    told: Callable

    def __iter__(self):
        return map(self.told, self.batches)


@dataclasses.dataclass(frozen=True)
class Phase:
    """A signal in a call, and what is left: a saved step, evaluations in the log."""

    number: signal.Signals
    send: Callable
    step: int
    logged: list[int]


PHASES = {
    "compiling": Phase(
        signal.SIGTERM, in_call(Update, "compile", call=1), step=1, logged=[]
    ),
    "evaluating": Phase(
        signal.SIGINT, in_batch("eval_batches", call=2), step=4, logged=[]
    ),
    "the last evaluation": Phase(
        signal.SIGTERM, in_batch("eval_batches", call=12), step=9, logged=[4]
    ),
    "precise statistics": Phase(
        signal.SIGTERM, in_batch("train_batches", call=2), step=9, logged=[4, 9]
    ),
    "writing": Phase(
        signal.SIGTERM, in_call(Checkpoints, "save", call=1), step=4, logged=[]
    ),
}


@pytest.mark.compile
@pytest.mark.parametrize("name", PHASES)
def test_a_signal_in_any_phase_loses_nothing(
    name, config, whole, tmp_path, monkeypatch
):
    phase = PHASES[name]
    before, error = signal.getsignal(phase.number), ERRORS[phase.number]
    with monkeypatch.context() as patch:
        phase.send(patch, phase.number)
        said = f"step={phase.step}: asked to stop"
        with pytest.raises(error, match=said) as told:
            train(config, tmp_path)
    assert type(told.value) is error
    assert signal.getsignal(phase.number) is before
    assert runs.steps(tmp_path)[-1] == phase.step
    logged = [row["step"] for row in runs.rows(tmp_path) if row["split"] == "train"]
    assert logged == phase.logged
    assert (tmp_path / "STOPPED").read_text().startswith(f"{error.kind}: {said}")
    train(config, tmp_path)
    assert not (tmp_path / "STOPPED").exists() and (tmp_path / "DONE").exists()
    assert runs.timeless(tmp_path) == runs.timeless(whole)
    a, b = runs.state(tmp_path), runs.state(whole)
    assert all(a[name].tobytes() == b[name].tobytes() for name in b)


def test_a_second_signal_of_either_kind_is_not_handled():
    with watch_for_stop() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.signal == signal.SIGINT and stop.requested()
        for number in ERRORS:
            assert signal.getsignal(number) == signal.SIG_DFL
    assert signal.getsignal(signal.SIGINT) != signal.SIG_DFL


IN_A_CALLBACK = """
import gc, os, signal
from resnet_jax import cli
def prepare_jax(prepare=cli.prepare_jax):
    prepare()
    gc.callbacks.append(lambda *_: os.kill(os.getpid(), signal.{number}))
    gc.collect()
cli.prepare_jax = prepare_jax
"""


@pytest.mark.process
@pytest.mark.parametrize(("number", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_signal_at_the_start_is_not_swallowed(shop, tmp_path, number, code):
    """Python ignores exceptions in callbacks of its garbage collector, as jax has."""
    before = IN_A_CALLBACK.replace("{number}", number)
    run = shop.run(tmp_path / "run", before=before)
    assert run.returncode == code, run.stderr
    assert run.stderr == "stopped; the same command resumes\n"
    assert not (tmp_path / "run").exists()


@pytest.mark.compile
def test_a_signal_before_the_first_step_is_heard(config, tmp_path, monkeypatch):
    def asked(*arguments, make=run_module.make_program):
        os.kill(os.getpid(), signal.SIGTERM)
        return make(*arguments)

    monkeypatch.setattr(run_module, "make_program", asked)
    with pytest.raises(Preempted, match="step=0: asked to stop, state saved"):
        train(config, tmp_path)
    assert runs.steps(tmp_path) == [0]
    assert (tmp_path / "STOPPED").read_text().startswith("preempted: step=0")


@pytest.mark.compile
def test_a_run_that_fails_says_why(config, tmp_path, monkeypatch):
    def broken(step, k):
        raise RuntimeError("no such\nluck")

    with monkeypatch.context() as patch, pytest.raises(RuntimeError):
        patch.setattr(Pipeline, "train_batches", lambda *_: broken)
        train(config, tmp_path)
    assert (tmp_path / "FAILED").read_text() == "RuntimeError: no such\n"
