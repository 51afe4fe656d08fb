"""Commands with damaged files or odd variables of the environment, as processes."""

import ctypes
import dataclasses
import pathlib
import random
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "tests"))

import runs

CODES = (0, 2, 3, 4, 5, 6)
CREATES_NOTHING = (2, 3)
LIMIT = 300  # seconds
CAP_DAC_OVERRIDE, PR_CAPBSET_DROP = 1, 24  # Linux: root reads what nobody may
FIELDS = {"train.steps": 16, "data.split": "1200/200"}
RUN_FILES = ("config.json", "env.json", "metrics.jsonl", "DONE", "result.json")
CHECKPOINT_FILES = ("meta", "_METADATA", "manifest.ocdbt", "_sharding", "d/")
DATA_FILES = ("train.array_record", "test.array_record", "dataset_info.json")
DATA_FILES += ("features.json", "label.labels.txt")
DEEP = b"[" * 100_000
JSON = (b"{}", b"[]", b"null", b"7", b'"x"', b'{"step": 1e400}', b"\xff\xfe{", DEEP)


def empty(file: pathlib.Path, rng: random.Random) -> None:
    file.write_bytes(b"")


def cut(file: pathlib.Path, rng: random.Random) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: rng.randrange(max(len(content), 1))])


def flipped(file: pathlib.Path, rng: random.Random) -> None:
    content = bytearray(file.read_bytes())
    if content:
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    file.write_bytes(content)


def random_bytes(file: pathlib.Path, rng: random.Random) -> None:
    file.write_bytes(rng.randbytes(rng.randrange(1, 3000)))


def zeros(file: pathlib.Path, rng: random.Random) -> None:
    file.write_bytes(bytes(len(file.read_bytes())))


def other_json(file: pathlib.Path, rng: random.Random) -> None:
    file.write_bytes(rng.choice(JSON))


def one_value(file: pathlib.Path, rng: random.Random) -> None:
    """Put another value in the place of one in a text file, or of some bytes."""
    content = file.read_bytes()
    found = list(re.finditer(rb': ?("[^"]*"|[\d.]+|null|\[)', content))
    start, end = rng.choice(found).span(1) if found else (0, min(4, len(content)))
    new = rng.choice([b"null", b"-1", b'"x"', b"1e999", b"{}", b"true", b""])
    file.write_bytes(content[:start] + new + content[end:])


def removed(file: pathlib.Path, rng: random.Random) -> None:
    file.unlink()


def folder(file: pathlib.Path, rng: random.Random) -> None:
    file.unlink()
    file.mkdir()


def dangling(file: pathlib.Path, rng: random.Random) -> None:
    file.unlink()
    file.symlink_to("/nowhere/at/all")


def unreadable(file: pathlib.Path, rng: random.Random) -> None:
    file.chmod(0)


DAMAGE = (
    empty, cut, flipped, random_bytes, zeros, other_json, one_value, removed, folder,
    dangling, unreadable,
)  # fmt: skip

NOWHERE = ("/proc/none/x", "/dev/null", "/dev/null/x", "", "\x01", "relative/x")
VARIABLES: dict[str, tuple[str | None, ...]] = {
    "JAX_COORDINATOR_ADDRESS": (
        "", "x", "localhost", "localhost:99999", ":1", "localhost:port", "[::1]:",
        "no.such.host.invalid:1234",
    ),
    "JAX_NUM_PROCESSES": ("", "two", "0", "-1", "1.5", "2", "1"),
    "JAX_PROCESS_ID": ("", "x", "-1", "7", "0"),
    "JAX_PLATFORMS": ("gpu", "tpu", "CPU", "cpu,gpu", "cuda", "x", " cpu", ","),
    "JAX_NUM_CPU_DEVICES": ("0", "-1", "x", "", "3", "1", "4", "1.5", "1e3"),
    "JAX_ENABLE_X64": ("maybe", "1", "", "2", "true"),
    "JAX_COMPILATION_CACHE_DIR": NOWHERE,
    "JAX_DEFAULT_MATMUL_PRECISION": ("x", "highest", ""),
    "JAX_DEFAULT_PRNG_IMPL": ("x", "rbg", ""),
    "JAX_DISABLE_JIT": ("x", "1"),
    "JAX_DEBUG_NANS": ("x", "1"),
    "JAX_LOG_COMPILES": ("x",),
    "JAX_TRACEBACK_FILTERING": ("x", "off"),
    "JAX_NUMPY_DTYPE_PROMOTION": ("x", "strict"),
    "JAX_TRANSFER_GUARD": ("x", "disallow"),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": ("x", "-1"),
    "JAX_CPU_COLLECTIVES_IMPLEMENTATION": ("x", "mpi"),
    "TFDS_DATA_DIR": (*NOWHERE, "gs://bucket/x"),
    "XDG_CACHE_HOME": NOWHERE,
    "HOME": (None, *NOWHERE),
    "TMPDIR": NOWHERE,
    "LANG": ("C", "xx_YY", ""),
    "LC_ALL": ("C", "POSIX", "xx"),
    "PYTHONIOENCODING": ("ascii", "latin-1", "utf-16"),
    "PYTHONUTF8": ("0",),
    "PYTHONHASHSEED": ("0", "4294967295", "random"),
    "PYTHONWARNINGS": ("error", "ignore"),
    "PYTHONOPTIMIZE": ("2",),
    "PYTHONDONTWRITEBYTECODE": ("1",),
    "COLUMNS": ("0", "-5", "x", "1"),
    "TQDM_MININTERVAL": ("x",),
    "TQDM_DISABLE": ("1", "x"),
    "TZ": ("x", ""),
    "OMP_NUM_THREADS": ("0", "x"),
    "PATH": (None, ""),
    "SLURM_JOB_ID": ("x",),
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Case:
    """One process: what is wrong with its world, and how it is set up.

    `hit(place)` changes copies of a run and of its data; the run is new where `fresh`.
    """

    told: str
    fresh: bool
    hit: Callable[[pathlib.Path], None] = lambda place: None
    variables: Mapping[str, str | None] = dataclasses.field(default_factory=dict)


def drawn(seed: int, number: int, whole: pathlib.Path) -> Case:
    """The case of a number; files are chosen among those of the place `whole`."""
    rng = random.Random(f"{seed}:process:{number}")
    if rng.random() < 0.45:
        names = rng.sample(list(VARIABLES), rng.choice([1, 1, 1, 2]))
        chosen = {name: rng.choice(VARIABLES[name]) for name in names}
        return Case(f"environment {chosen}", rng.random() < 0.7, variables=chosen)
    kind = rng.choice(["run", "checkpoint", "checkpoint", "data"])
    wanted = {"run": RUN_FILES, "checkpoint": CHECKPOINT_FILES, "data": DATA_FILES}
    word = rng.choice(wanted[kind])
    below = {"run": "run", "checkpoint": "run/checkpoints", "data": "tfds"}[kind]
    files = sorted(p for p in (whole / below).rglob("*") if p.is_file())
    files = [p for p in files if word in f"{p.parent.name}/{p.name}"] or files
    if kind == "checkpoint" and rng.random() < 0.3:  # all of them, not the newest only
        newest = {p.relative_to(whole).parts[2] for p in files}
        chosen = [rng.choice([p for p in files if s in p.parts]) for s in newest]
    else:
        chosen = [rng.choice(files)]
    damage = [rng.choice(DAMAGE) for _ in chosen]
    names = [str(p.relative_to(whole)) for p in chosen]

    def hit(place: pathlib.Path) -> None:
        for name, how in zip(names, damage, strict=True):
            how(place / name, rng)

    pairs = zip(damage, names, strict=True)
    told = "; ".join(f"{how.__name__} {name}" for how, name in pairs)
    return Case(told, kind == "data" and rng.random() < 0.5, hit)


def prepared(folder: pathlib.Path) -> pathlib.Path:
    """A place with digits and a run that was ended at step 12 of 16."""
    whole = folder / "whole"
    if not (whole / "run" / "DONE").exists():
        shutil.rmtree(whole, ignore_errors=True)
        shop = runs.Workshop.open(whole)
        done = command(whole, FIELDS | {"train.steps": 12}, {}, folder, shop)
        assert done.returncode == 0, done.stderr
    return whole


def command(place, fields, variables, folder, shop=None, *, workdir="run"):
    """Run the command in a place, with these variables in its environment."""
    shop = shop or runs.Workshop(place)
    fields = dict(fields)
    if "TFDS_DATA_DIR" in variables:
        fields["data.dir"] = "None"
    base = {"HOME": str(place), "JAX_COMPILATION_CACHE_DIR": str(folder / "cache")}
    base |= {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    arguments = shop.command(place / workdir, fields)
    given = runs.environment(devices=2) | base | dict(variables)
    return subprocess.run(
        [sys.executable, "-m", "resnet_jax.main", *arguments],
        env={name: value for name, value in given.items() if value is not None},
        capture_output=True,
        preexec_fn=unprivileged,
        timeout=LIMIT,
        cwd=place,
    )


def unprivileged() -> None:
    """Obey the rights of files, for root too."""
    ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0)


def outcome(case: Case, whole: pathlib.Path, folder: pathlib.Path) -> dict:
    """Run a case on copies: exit code, lines of error, and what is wrong with them."""
    place, began = folder / "place", time.monotonic()
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(whole, place, symlinks=True)
    case.hit(place)
    before = listing(place)
    workdir = "new" if case.fresh else "run"
    try:
        done = command(place, FIELDS, case.variables, folder, workdir=workdir)
        code, said = done.returncode, done.stderr.decode(errors="replace")
    except subprocess.TimeoutExpired as error:
        code, said = 1000, (error.stderr or b"").decode(errors="replace")
    problems = complaints(code, said)
    new = sorted(set(listing(place).items()) - set(before.items()))
    if code in CREATES_NOTHING and new:
        problems.append(f"created or changed {new[0][0]}")
    errors = [line for line in said.splitlines() if line.startswith("error[")]
    return {
        "code": code,
        "error": "; ".join(errors)[:400],
        "problems": problems,
        "stderr": said[-600:] if problems else "",
        "seconds": round(time.monotonic() - began, 1),
    }


def complaints(code: int, said: str) -> list[str]:
    """Problems of an exit code and of what was said on stderr."""
    found = [] if code in CODES else [f"exit code {code}"]
    lines = sum(line.startswith("error[") for line in said.splitlines())
    if lines != (0 if code in (0, 1000) else 1):
        found.append(f"{lines} lines of error")
    if "Traceback (most recent call last)" in said:
        found.append("traceback")
    return found


def listing(place: pathlib.Path) -> dict[str, tuple[int, int]]:
    """Size and time of every file of a place, and its folders; without caches."""
    found = {}
    for path in place.rglob("*"):
        status, name = path.lstat(), str(path.relative_to(place))
        if "__pycache__" not in name and path.name != ".lock":
            found[name] = (
                (0, 0)
                if path.is_dir()
                else (
                    status.st_size,
                    status.st_mtime_ns,
                )
            )
    return found
