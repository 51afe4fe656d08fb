"""Two CPU devices, quick compilation, no silent broadcasting, no accelerator."""

import importlib.metadata
import multiprocessing.process
import os
import pathlib
import shutil
import subprocess
import tempfile

# A sixth of the time to compile. Tests of optimised programs ask for them by name.
QUICK = "--xla_backend_optimization_level=0"
if importlib.metadata.version("jaxlib").startswith("0.10."):
    QUICK += " --xla_cpu_use_fusion_emitters=false"  # later ones know no such flag
CACHE = "JAX_COMPILATION_CACHE_DIR"

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["JAX_NUM_CPU_DEVICES"] = "2"
os.environ.setdefault("XLA_FLAGS", QUICK)
# What one test has compiled need not be compiled by another, in whatever process.
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.5")
made = None if CACHE in os.environ else tempfile.mkdtemp(prefix="resnet_jax_tests_")
if made:
    os.environ[CACHE] = made

import jax  # noqa: E402 (it reads the variables above)
import pytest  # noqa: E402

from resnet_jax import cli  # noqa: E402

jax.config.update("jax_numpy_rank_promotion", "raise")


def pytest_unconfigure():
    """Remove the cache, in the process that made it."""
    if made:
        shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def float64():
    """Arithmetic in which values are told from rounding."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(autouse=True)
def settings(monkeypatch):
    """Commands in this process leave the settings of jax as they are."""
    monkeypatch.setattr(cli, "prepare_jax", lambda: None)


@pytest.fixture(autouse=True)
def processes(request, monkeypatch):
    """Refuse processes, but for git, to tests without the marker `process`."""
    popen = subprocess.Popen

    def refuse(command, *arguments, **fields):
        if isinstance(command, list) and command[0] == "git":  # for env.json
            return popen(command, *arguments, **fields)
        pytest.fail(f"starts a process, {command}: mark the test `process`")

    if not request.node.get_closest_marker("process"):
        monkeypatch.setattr(subprocess, "Popen", refuse)
        monkeypatch.setattr(multiprocessing.process.BaseProcess, "start", refuse)


@pytest.fixture(autouse=True)
def programs():
    """Drop compiled programs before their memory mappings reach the kernel's limit.

    Linux allows 65,530 per process; XLA ends the process at the next one. Compiling a
    hundred units of three layers takes 40,000.
    """
    yield
    maps = pathlib.Path("/proc/self/maps")
    if maps.exists() and maps.read_bytes().count(b"\n") > 20_000:
        jax.clear_caches()


@pytest.fixture(scope="session")
def shop(tmp_path_factory):
    """Digits, prepared once, and a tiny net to train on them."""
    import runs

    return runs.Workshop.open(tmp_path_factory.mktemp("workshop"))


@pytest.fixture
def place(tmp_path):
    """Folder with the experiment toy.py and its made-up runs."""
    import test_report

    return test_report.build(tmp_path)
