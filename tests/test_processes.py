"""Runs of two processes on this machine: stopped, killed, and resumed by fewer."""

import functools
import signal
import subprocess

import pytest
import runs

pytestmark = pytest.mark.process

FIELDS = {"train.steps": 200, "train.eval_every": 100, "train.checkpoint_every": 16}
SLOWLY = runs.PAUSED.format(seconds="0.1")


two = functools.partial(runs.two, changes=FIELDS, before=SLOWLY)


def await_checkpoint(process, workdir):
    """Return once the first checkpoint is there."""
    runs.await_true(process, (workdir / "checkpoints" / "16").exists)


def test_a_signal_to_one_process_stops_both_at_one_step(shop, tmp_path):
    """Several updates a call; then one process with two devices goes on."""
    workdir = tmp_path / "run"
    with two(shop, workdir) as processes:
        await_checkpoint(processes[0], workdir)
        processes[1].send_signal(signal.SIGTERM)
        ended = [runs.ended(process) for process in processes]
    assert [run.returncode for run in ended] == [143, 143], ended
    step = runs.steps(workdir)[-1]
    for run in ended:
        assert f"error[preempted] step={step}: asked to stop, state saved" in run.stderr
    assert 16 <= step < 200
    assert runs.state(workdir)["step"] == step
    shop.train(workdir, FIELDS | {"train.steps": step + 8})
    assert runs.state(workdir)["step"] == step + 8


def test_a_killed_process_ends_the_other(shop, tmp_path):
    workdir = tmp_path / "run"
    with two(shop, workdir) as (one, other):
        await_checkpoint(one, workdir)
        other.kill()
        run = runs.ended(one, limit=60)
    assert run.returncode not in (0, None)
    told = ("unhealthy", "heartbeat", "another process of this run has ended")
    assert any(words in run.stderr for words in told), run.stderr[-2000:]
    step = runs.steps(workdir)[-1]
    shop.train(workdir, FIELDS | {"train.steps": step + 8})
    assert runs.state(workdir)["step"] == step + 8


def test_a_second_signal_ends_a_process_at_once(shop, tmp_path):
    workdir = tmp_path / "run"
    stuck = runs.PAUSED.format(seconds="600 if step >= 16 else 0")
    with two(shop, workdir, before=stuck) as (one, other):
        await_checkpoint(one, workdir)
        one.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            one.wait(0.5)
        one.send_signal(signal.SIGTERM)
        assert one.wait(10) == -signal.SIGTERM
        other.kill()
