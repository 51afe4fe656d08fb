"""Checkpoints: exact on any devices, verified, and never a silent start from zero."""

import functools
import json
import logging
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
import types
from typing import Any, cast

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec, SingleDeviceSharding

from resnet_jax.errors import CheckpointError, StorageError
from resnet_jax.train import manifest as sealing
from resnet_jax.train import orbax_logging
from resnet_jax.train.checkpoint import Checkpoints, restore
from resnet_jax.train.preemption import watch_for_stop


@flax.struct.dataclass
class State:
    step: Any
    params: Any
    batch_stats: Any
    opt_state: Any
    sums: Any
    ema: Any = None


TX = optax.chain(
    optax.masked(optax.add_decayed_weights(1e-4), {"conv1": True, "head": False}),
    optax.inject_hyperparams(optax.sgd)(lambda step: 0.1 / (step + 1), momentum=0.9),
)


@functools.cache
def made(step, *, classes=10, dtype=jnp.float32):
    keys = jax.random.split(jax.random.key(step), 3)
    params = {
        "conv1": {"kernel": jax.random.normal(keys[0], (3, 3, 4, 16), dtype)},
        "head": {
            "kernel": jax.random.normal(keys[1], (16, classes)),
            "scale": jax.random.normal(keys[2], (16,), jnp.bfloat16),
        },
    }
    return State(
        step=step,
        params=params,
        batch_stats={"norm": {"mean": jnp.arange(16.0) / 7, "var": jnp.ones(16)}},
        opt_state=TX.init(params),
        sums={"n": jnp.float32(step), "wrong": jnp.float32(0.1)},
    )


def abstract(state, sharding=None):
    sharding = sharding or SingleDeviceSharding(jax.devices()[0])
    return jax.tree.map(
        lambda x: (
            x
            if isinstance(x, int)
            else jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding)
        ),
        state,
    )


def assert_same(one, two):
    assert jax.tree.structure(one) == jax.tree.structure(two)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        a, b = np.asarray(a), np.asarray(b)
        assert (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())


@pytest.fixture(scope="module")
def three_steps(tmp_path_factory):
    folder = tmp_path_factory.mktemp("three") / "checkpoints"
    with Checkpoints(folder, keep=3) as checkpoints:
        for step in (1, 2, 3):
            checkpoints.save(step, made(step), meta={"wall_s": step / 3})
    return folder


@pytest.fixture
def folder(three_steps, tmp_path):
    return shutil.copytree(three_steps, tmp_path / "checkpoints")


def files_of(step_folder):
    return sorted(path for path in step_folder.rglob("*") if path.is_file())


def flip(path, bit=None):
    data = bytearray(path.read_bytes())
    bit = 4 * len(data) if bit is None else bit
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)


def largest(step_folder):
    return max(files_of(step_folder), key=lambda path: path.stat().st_size)


def python(code, *args, **options):
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, args)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, **pipes, **options)


# --- what is saved comes back


def test_state_and_meta_come_back_exactly(tmp_path):
    state = made(5)
    meta = {"config": {"optim.lr": 0.1}, "best": None, "wall_s": 1 / 3, "names": ["é"]}
    with Checkpoints(tmp_path / "new" / "folder") as checkpoints:
        assert checkpoints.restore(abstract(state)) is None
        assert checkpoints.latest_step() is None
        checkpoints.save(5, state, meta=meta)
        checkpoints.wait()
        assert checkpoints.latest_step() == 5
        restored, back = checkpoints.restore(abstract(state))
    assert_same(restored, state)
    assert type(restored) is State and type(restored.step) is int
    assert back == meta


def test_float64_and_integers_are_exact(tmp_path):
    with jax.enable_x64(True):
        state = {
            "w": jnp.arange(5.0) / 3,
            "count": jnp.int64(2**40 + 1),
            "seen": jnp.array([True, False]),
            "bytes": jnp.arange(7, dtype=jnp.uint8),
        }
        assert state["w"].dtype == jnp.float64
        with Checkpoints(tmp_path) as checkpoints:
            checkpoints.save(1, state, meta={})
            assert_same(checkpoints.restore(abstract(state))[0], state)


def test_a_saved_state_may_be_donated_at_once(tmp_path):
    add = jax.jit(lambda x: jax.tree.map(lambda y: y + 1, x), donate_argnums=0)
    state = add({"w": jnp.zeros((500, 1000)), "n": jnp.float32(0)})
    with Checkpoints(tmp_path, keep=5) as checkpoints:
        for step in range(1, 6):
            checkpoints.save(step, state, meta={})
            state = add(state)
        restored, _ = checkpoints.restore(abstract(state))
    assert checkpoints.latest_step() == 5
    assert (restored["w"] == 5).all() and restored["n"] == 5


def test_meta_may_be_changed_while_it_is_written(tmp_path):
    meta = {"best": [1]}
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, made(1), meta=meta)
        meta["best"].append(2)
    assert restore(tmp_path, abstract(made(1)))[1] == {"best": [1]}


def test_meta_that_is_no_json_is_refused_before_anything_is_written(tmp_path):
    told = "JSON compliant"
    with Checkpoints(tmp_path) as checkpoints, pytest.raises(ValueError, match=told):
        checkpoints.save(1, made(1), meta={"best": float("nan")})
    assert os.listdir(tmp_path) == []


def test_the_newest_are_kept(tmp_path):
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        for step in range(4):
            checkpoints.save(step, made(step), meta={})
    assert sorted(os.listdir(tmp_path)) == ["2", "3"]


def test_a_step_saved_twice_is_left_alone(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, made(1), meta={"first": 1})
        checkpoints.save(1, made(2), meta={"second": 2})
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, made(3), meta={"third": 3})
    restored, meta = restore(tmp_path, abstract(made(1)))
    assert_same(restored, made(1))
    assert meta == {"first": 1}


def test_a_save_survives_an_exception_in_the_run(tmp_path):
    with pytest.raises(ZeroDivisionError), Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, made(1), meta={})
        raise ZeroDivisionError
    assert_same(restore(tmp_path, abstract(made(1)))[0], made(1))


def test_later_steps_are_discarded_and_may_be_written_again(folder):
    with Checkpoints(folder, keep=3) as checkpoints:
        checkpoints.discard_after(3)
        assert checkpoints.latest_step() == 3
        checkpoints.discard_after(1)
        assert os.listdir(folder) == ["1"]
        checkpoints.save(2, made(2), meta={"again": True})
    assert restore(folder, abstract(made(1)))[1] == {"again": True}


def test_relative_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Checkpoints("here") as checkpoints:
        checkpoints.save(1, made(1), meta={})
        os.chdir("/")
    assert restore(tmp_path / "here", abstract(made(1))) is not None


def test_reading_needs_no_folder_and_makes_none(tmp_path):
    assert restore(tmp_path / "none", abstract(made(1))) is None
    assert os.listdir(tmp_path) == []


def test_a_process_that_has_trained_is_ended_by_sigterm_as_before(tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    with Checkpoints(tmp_path), watch_for_stop():
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before


# --- on any devices


def mesh(devices):
    return jax.make_mesh(
        (devices,), ("data",), (AxisType.Auto,), devices=jax.devices()[:devices]
    )


@pytest.mark.parametrize("written", ["one", "replicated", "split"])
@pytest.mark.parametrize("read", ["one", "replicated", "split"])
def test_other_devices(tmp_path, written, read):
    shardings = {
        "one": SingleDeviceSharding(jax.devices()[1]),
        "replicated": NamedSharding(mesh(2), PartitionSpec()),
        "split": NamedSharding(mesh(2), PartitionSpec("data")),
    }
    state = {"w": jax.random.normal(jax.random.key(0), (8, 3)), "b": jnp.arange(4.0)}
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, jax.device_put(state, shardings[written]), meta={})
    restored, _ = restore(tmp_path, abstract(state, shardings[read]))
    assert_same(restored, state)
    for leaf in jax.tree.leaves(restored):
        assert leaf.sharding.is_equivalent_to(shardings[read], leaf.ndim)


def test_a_sharding_that_cannot_hold_the_shape_blames_no_file(tmp_path):
    split = NamedSharding(mesh(2), PartitionSpec("data"))
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, {"w": jnp.ones(3)}, meta={})
        with pytest.raises(ValueError, match="evenly divide"):
            checkpoints.restore(
                {"w": jax.ShapeDtypeStruct((3,), float, sharding=split)}
            )
    assert os.listdir(tmp_path) == ["1"]


# --- damage


DAMAGES = {
    "removed": pathlib.Path.unlink,
    "emptied": lambda path: path.write_bytes(b""),
    "halved": lambda path: os.truncate(path, path.stat().st_size // 2),
    "flipped": flip,
}


def damaged(step_folder):
    """The name of every damage to every file of a step, which lasts until the next."""
    for path in files_of(step_folder):
        data = path.read_bytes()
        for how, damage in DAMAGES.items():
            damage(path)
            yield f"{path.relative_to(step_folder)} {how}"
            path.write_bytes(data)


@pytest.mark.process
def test_no_damage_to_any_file_gives_wrong_values(folder):
    steps_used = {}
    for name in damaged(folder / "3"):
        restored, meta = restore(folder, abstract(made(1)))
        assert_same(restored, made(restored.step))
        assert meta == {"wall_s": restored.step / 3}, name
        steps_used[name] = restored.step
    assert set(steps_used.values()) == {2, 3}
    assert len(steps_used) >= 20
    assert {steps_used[f"meta/metadata {how}"] for how in ("removed", "flipped")} == {2}


@pytest.mark.parametrize("at", [0.1, 0.35, 0.6, 0.85])
def test_a_flipped_bit_in_the_arrays_is_found(folder, caplog, at):
    path = largest(folder / "3")
    flip(path, bit=int(8 * at * path.stat().st_size))
    with Checkpoints(folder, keep=3) as checkpoints:
        restored, meta = checkpoints.restore(abstract(made(1)))
        assert_same(restored, made(2))
        assert meta == {"wall_s": 2 / 3}
        checkpoints.save(3, made(3), meta={"again": 1})
    assert sorted(os.listdir(folder)) == ["1", "2", "3", "corrupt-3"]
    assert_same(restore(folder, abstract(made(1)))[0], made(3))
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "STEP 3 IS DAMAGED" in record.message
    assert "renamed to corrupt-3" in record.message and "\n" not in record.message


def test_a_flipped_bit_names_the_leaves(folder, caplog):
    digests, known = sealing.digests, {}

    def digests_of_a_damaged_leaf(tree):
        known.update(digests(tree))
        return {**known, "params/head/kernel": "00000000"}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sealing, "digests", digests_of_a_damaged_leaf)
        with pytest.raises(
            CheckpointError, match="CRC32 differs in params/head/kernel"
        ):
            restore(folder, abstract(made(1)))
    assert restore(folder, abstract(made(1))) is not None


def test_two_damaged_steps(folder, caplog):
    largest(folder / "3").unlink()
    flip(folder / "2" / "meta" / "metadata")
    with Checkpoints(folder, keep=3) as checkpoints:
        assert_same(checkpoints.restore(abstract(made(1)))[0], made(1))
        assert checkpoints.latest_step() == 1
    assert sorted(os.listdir(folder)) == ["1", "corrupt-2", "corrupt-3"]
    assert len(caplog.records) == 2


def test_the_same_step_damaged_twice(folder):
    for times in (1, 2):
        os.makedirs(folder / "3", exist_ok=True)
        (folder / "3" / "meta" / "metadata").unlink(missing_ok=True)
        with Checkpoints(folder, keep=3) as checkpoints:
            assert checkpoints.restore(abstract(made(1)))[0].step == 2
        assert len(list(folder.glob("corrupt-3*"))) == times


def test_a_stray_step_above_the_newest(folder, caplog):
    (folder / "99").mkdir()
    with Checkpoints(folder, keep=3) as checkpoints:
        assert_same(checkpoints.restore(abstract(made(1)))[0], made(3))
        checkpoints.save(4, made(4), meta={})
    assert sorted(os.listdir(folder)) == ["2", "3", "4", "corrupt-99"]


def test_a_due_step_that_orbax_would_skip_is_an_error(folder):
    (folder / "99").mkdir()
    told = r"step 4 was not written.*step 99"
    with (
        Checkpoints(folder, keep=3) as checkpoints,
        pytest.raises(CheckpointError, match=told),
    ):
        checkpoints.save(4, made(4), meta={})


def test_other_names_in_the_folder_are_left_alone(folder):
    others = ["7.bak", "007", "-5", "notes", "5 "]
    for name in others:
        (folder / name).mkdir()
    (folder / "8").write_text("a file")
    with Checkpoints(folder, keep=3) as checkpoints:
        assert checkpoints.restore(abstract(made(1)))[0].step == 3
        assert checkpoints.latest_step() == 3
    assert sorted(os.listdir(folder)) == sorted([*others, "1", "2", "3", "8"])


@pytest.mark.parametrize("again", ["once", "twice"])
def test_all_damaged_is_an_error_and_stays_one(folder, again):
    for step in "123":
        flip(folder / step / "meta" / "metadata")
    told = r"none of the checkpoints can be used \(step 3: .*; step 2: .*; step 1: "
    for _ in range(1 + (again == "twice")):
        with pytest.raises(CheckpointError, match=told), Checkpoints(folder) as all_bad:
            all_bad.restore(abstract(made(1)))
    assert sorted(os.listdir(folder)) == ["1", "2", "3"]


def test_tasks_that_orbax_abandons_are_not_told_of(folder, caplog):
    with Checkpoints(folder, keep=3):
        log = logging.getLogger("asyncio")
        log.error("Task exception was never retrieved\nfuture: <Task of orbax>")
        log.error("Task exception was never retrieved\nfuture: <Task of a user>")
    assert [r.message.split()[-1] for r in caplog.records] == ["user>"]


def test_only_quarantined_steps_are_no_fresh_start(folder):
    for step in "123":
        (folder / step).rename(folder / f"corrupt-{step}")
    with pytest.raises(CheckpointError, match="all were found damaged before"):
        restore(folder, abstract(made(1)))


def test_reading_renames_nothing(folder, caplog):
    largest(folder / "3").unlink()
    assert restore(folder, abstract(made(1)))[0].step == 2
    assert sorted(os.listdir(folder)) == ["1", "2", "3"]
    assert "an older step is read" in caplog.text


def test_too_little_memory_blames_no_file(folder, monkeypatch):
    def no_memory(tree):
        raise MemoryError

    monkeypatch.setattr(sealing, "digests", no_memory)
    with pytest.raises(MemoryError), Checkpoints(folder, keep=3) as checkpoints:
        checkpoints.restore(abstract(made(1)))
    assert sorted(os.listdir(folder)) == ["1", "2", "3"]


# --- another model


def without(state):
    params = {**state.params, "head": {"kernel": state.params["head"]["kernel"]}}
    return state.replace(params=params)


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        (
            lambda: made(1, classes=100),
            [
                r"params/head/kernel: checkpoint \(16, 10\) float32, "
                r"model \(16, 100\) float32",
                r"opt_state/1/.*/trace/head/kernel: checkpoint \(16, 10\)",
                "2 leaves differ",
            ],
        ),
        (
            lambda: made(1, dtype=jnp.bfloat16),
            [
                r"params/conv1/kernel: checkpoint \(3, 3, 4, 16\) float32, "
                r"model \(3, 3, 4, 16\) bfloat16"
            ],
        ),
        (
            lambda: without(made(1)),
            [r"params/head/scale: checkpoint \(16,\) bfloat16, model absent"],
        ),
        (
            lambda: made(1).replace(ema={"w": jnp.ones(3)}),
            [r"ema/w: checkpoint absent, model \(3,\) float32"],
        ),
        (
            lambda: made(1).replace(opt_state=optax.adam(1e-3).init(made(1).params)),
            [
                r"opt_state/0/mu/conv1/kernel: checkpoint absent",
                r"opt_state/1/.*/trace/conv1/kernel: .*, model absent",
            ],
        ),
        (
            lambda: made(1).replace(step=jnp.int32(1)),
            [r"step: checkpoint int, model \(\) int32"],
        ),
    ],
    ids=["classes", "dtype", "missing", "extra", "optimizer", "number"],
)
def test_another_model_is_refused_by_name(folder, wanted, told):
    before = {path: path.read_bytes() for path in files_of(folder)}
    flip(folder / "3" / "meta" / "metadata")  # even then nothing is renamed
    before[folder / "3" / "meta" / "metadata"] = None
    with (
        Checkpoints(folder, keep=3) as checkpoints,
        pytest.raises(CheckpointError, match="not the state of this config") as e,
    ):
        checkpoints.restore(abstract(wanted()))
    for part in told:
        e.match(part)
    assert "\n" not in str(e.value)
    assert files_of(folder) == sorted(before)
    assert all(path.read_bytes() == data for path, data in before.items() if data)


def test_other_versions_are_only_a_warning(folder, monkeypatch, caplog):
    versions = {**sealing.versions(), "jax": "99.0"}
    monkeypatch.setattr(sealing, "versions", lambda: versions)
    assert_same(restore(folder, abstract(made(1)))[0], made(3))
    (record,) = caplog.records
    assert "written with jax" in record.message and "now jax 99.0" in record.message
    assert "flax" not in record.message


def test_other_switches_of_jax_are_a_warning_too(folder, caplog):
    with jax.threefry_partitionable(not jax.config.jax_threefry_partitionable):
        restore(folder, abstract(made(1)))
    (record,) = caplog.records
    told = (
        "written with jax_threefry_partitionable True; now jax_threefry_partitionable"
    )
    assert told in record.message


def test_versions_are_stored(folder):
    stored = json.loads((folder / "3" / "meta" / "metadata").read_text())
    assert stored["versions"]["jax"] == jax.__version__
    assert stored["meta"] == {"wall_s": 1.0}


# --- the disk


def test_a_directory_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    for place in ("file", "file/below"):
        with pytest.raises(StorageError, match=f"checkpoints=.*{place}: cannot be"):
            Checkpoints(tmp_path / place)


@pytest.fixture
def nobody():
    """Without the rights of root, which no read-only folder stops."""
    if os.geteuid() == 0:
        os.seteuid(65534)
    yield
    os.seteuid(os.getuid())


@pytest.fixture
def read_only(three_steps):
    with tempfile.TemporaryDirectory() as place:
        folder = shutil.copytree(three_steps, pathlib.Path(place) / "checkpoints")
        os.chmod(place, 0o755)
        for path in [folder, *folder.rglob("*")]:
            path.chmod(0o555 if path.is_dir() else 0o444)
        yield folder
        for path in [folder, *folder.rglob("*")]:
            path.chmod(0o755)


def test_a_read_only_directory(read_only, nobody):
    with pytest.raises(StorageError, match=r"checkpoints: cannot be written \(Perm"):
        Checkpoints(read_only)
    assert_same(restore(read_only, abstract(made(1)))[0], made(3))


WRITER = """
    import os, resource, sys
    import jax, jax.numpy as jnp
    from resnet_jax.errors import UserError
    from resnet_jax.train.checkpoint import Checkpoints

    def made(step):
        return {"w": jax.random.normal(jax.random.key(step), (1000, 1000)), "n": step}

    def abstract():
        return {"w": jax.ShapeDtypeStruct((1000, 1000), jnp.float32), "n": 0}
"""


def script(code):
    return textwrap.dedent(WRITER) + textwrap.dedent(code)


@pytest.mark.process
@pytest.mark.parametrize("limit", [0, 100_000])
def test_a_full_disk(tmp_path, limit):
    run = python(
        script(
            """
            try:
                with Checkpoints(sys.argv[1]) as checkpoints:
                    checkpoints.save(1, made(1), meta={"before": True})
                    checkpoints.wait()
                    limit = int(sys.argv[2])
                    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
                    checkpoints.save(2, made(2), meta={})
            except UserError as error:
                os.write(2, f"error[{error.kind}] {error}\\n".encode())
                sys.exit(error.exit_code)
            """
        ),
        tmp_path,
        limit,
    )
    _, told = run.communicate(timeout=60)
    assert run.returncode == 6, told
    assert told.startswith(
        f"error[storage] checkpoints={tmp_path}: step 2 could not be"
    )
    assert "File too large; about 3.8 MiB needed" in told
    assert "last good step: 1;" in told and told.count("\n") == 1
    target = {"w": jax.ShapeDtypeStruct((1000, 1000), jnp.float32), "n": 0}
    with Checkpoints(tmp_path) as checkpoints:
        state, meta = checkpoints.restore(target)
        assert (state["n"], meta) == (1, {"before": True})
        checkpoints.save(2, state, meta={})
    assert sorted(os.listdir(tmp_path)) == ["1", "2"]


@pytest.mark.process
def test_a_disk_without_inodes(tmp_path):
    """A real one, of which only root may make a small one."""
    mount = ("mount", "-t", "tmpfs", "-o", "size=64m,nr_inodes=9", "tmpfs", tmp_path)
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small disk is refused here")
    run = python(
        script(
            """
            try:
                with Checkpoints(sys.argv[1]) as checkpoints:
                    checkpoints.save(1, made(1), meta={})
                    checkpoints.wait()
            except UserError as error:
                os.write(2, str(error).encode())
            """
        ),
        tmp_path / "run",
    )
    _, told = run.communicate(timeout=60)
    subprocess.run(("umount", tmp_path), check=True)
    assert "space left on device; no inodes are free: there are too many files" in told


def test_a_failed_save_does_not_hide_the_first_error(tmp_path, caplog, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    with pytest.raises(ZeroDivisionError), Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, made(1), meta={})
        checkpoints.wait()
        monkeypatch.setattr(checkpoints._manager, "wait_until_finished", full)
        checkpoints._pending = (2, 8)
        raise ZeroDivisionError
    assert "step 2 could not be written (No space left on device" in caplog.text


# --- kills


def test_late_errors_of_failed_reads_reach_no_hook(monkeypatch):
    """A read that failed may end after its event loop, under a hook of the user's."""
    heard = []
    monkeypatch.setattr(sys, "unraisablehook", heard.append)
    orbax_logging.silence_orbax()
    orbax_logging.silence_orbax()
    for text in ("Event loop is closed", "another"):
        error = types.SimpleNamespace(exc_value=RuntimeError(text))
        sys.unraisablehook(cast("sys.UnraisableHookArgs", error))
    assert [str(error.exc_value) for error in heard] == ["another"]


@pytest.mark.process
def test_killed_inside_an_asynchronous_save(tmp_path, caplog):
    code = script(
        """
        with Checkpoints(sys.argv[1]) as checkpoints:
            found = checkpoints.restore(abstract())
            first = 0 if found is None else found[0]["n"]
            for step in range(first + 1, first + 1 + int(sys.argv[2])):
                checkpoints.save(step, made(step), meta={"step": step})
                print(step, flush=True)
        """
    )
    target = {"w": jax.ShapeDtypeStruct((1000, 1000), jnp.float32), "n": 0}
    for delay in (0.0, 0.004, 0.02):
        with python(code, tmp_path, 10**6) as run:
            for _ in range(3):
                started = int(run.stdout.readline())
            time.sleep(delay)
            run.send_signal(signal.SIGKILL)
        state, meta = restore(tmp_path, target)
        assert state["n"] >= started - 1 and meta == {"step": state["n"]}
        same = jax.random.normal(jax.random.key(state["n"]), (1000, 1000))
        assert_same(state["w"], same)
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.restore(target)[0]["n"] == state["n"]
        for step in (state["n"] + 1, state["n"] + 2):
            checkpoints.save(step, {"w": same, "n": step}, meta={"step": step})
    assert not caplog.records
    assert sorted(map(int, os.listdir(tmp_path))) == [state["n"] + 1, state["n"] + 2]
    largest(tmp_path / str(state["n"] + 2)).write_bytes(b"")
    again = python(code, tmp_path, 1)
    steps, told = again.communicate(timeout=60)
    assert steps == f"{state['n'] + 2}\n"
    assert "IS DAMAGED" in told and told.count("\n") == 1


# --- two processes

PEER = """
    import os, sys
    import jax, jax.numpy as jnp, numpy as np
    from jax.sharding import AxisType, NamedSharding, PartitionSpec
    from resnet_jax.train.checkpoint import Checkpoints
    from resnet_jax.train.preemption import watch_for_stop

    folder, port, peer = sys.argv[1], sys.argv[2], int(sys.argv[3])
    jax.distributed.initialize(f"127.0.0.1:{port}", 2, peer, initialization_timeout=60)
    mesh = jax.make_mesh((jax.device_count(),), ("data",), (AxisType.Auto,))
    values = np.arange(24, dtype=np.float32).reshape(8, 3)
    parts = {"replicated": PartitionSpec(), "split": PartitionSpec("data")}

    def made(step):
        return {
            name: jax.make_array_from_callback(
                (8, 3), NamedSharding(mesh, part), lambda at: values[at] + step
            )
            for name, part in parts.items()
        }

    def flipped(path):
        data = bytearray(open(path, "rb").read())
        data[len(data) // 2] ^= 1
        open(path, "wb").write(data)

    with Checkpoints(folder, keep=3) as checkpoints:
        assert checkpoints.restore(made(0)) is None
        for step in (1, 2, 3):
            checkpoints.save(step, made(step), meta={"step": step})
        checkpoints.wait()
        jax.experimental.multihost_utils.sync_global_devices("written")
        if peer == 0:
            flipped(f"{folder}/3/meta/metadata")
        jax.experimental.multihost_utils.sync_global_devices("damaged")
        state, meta = checkpoints.restore(made(0))
        assert meta == {"step": 2}, meta
        for name, leaf in state.items():
            for shard in leaf.addressable_shards:
                assert (shard.data == values[shard.index] + 2).all(), name
        checkpoints.save(4, state, meta={"step": 4})
        with watch_for_stop() as stop:
            assert not stop.requested()
        checkpoints.discard_after(2)
        checkpoints.save(4, state, meta={"step": 4})
"""


@pytest.mark.process
def test_two_processes_write_and_one_reads(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    peers = [python(PEER, tmp_path, port, peer) for peer in range(2)]
    try:
        told = [peer.communicate(timeout=60)[1] for peer in peers]
    finally:
        for peer in peers:
            peer.kill()
    assert [peer.returncode for peer in peers] == [0, 0], told
    assert sorted(os.listdir(tmp_path)) == ["1", "2", "4", "corrupt-3"]
    target = {
        name: jax.ShapeDtypeStruct((8, 3), jnp.float32)
        for name in ("replicated", "split")
    }
    state, meta = restore(tmp_path, target)
    assert meta == {"step": 4}
    expected = np.arange(24, dtype=np.float32).reshape(8, 3) + 2
    assert_same(state, {"replicated": expected, "split": expected})
