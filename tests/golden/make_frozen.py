"""Makes frozen.json: what every row of every experiment file resolves to, in digests.

    python tests/golden/make_frozen.py --out frozen.json [--full FULL] [--losses LOSSES]
    python tests/golden/make_frozen.py --compare OLD.json NEW.json

The experiment files are those beside the package that is imported, so that
PYTHONPATH=CHECKOUT tells the commit, wherever this file lies. The files hold

    --out      digests of the network's spec and of its tree of variables, parameters
               and multiply-adds, by FILE:ROW
    --full     the same in full, and the specs of the optimizer and the augmentation
    --losses   losses of three steps of every row of digits_families.py, as they are
               logged; equal in bits on one kind of machine with one set of versions,
               which are told under "made"
    --compare  prints what differs between two such files; exit code 1 if anything does
"""

import argparse
import contextlib
import dataclasses
import functools
import hashlib
import importlib.metadata
import io
import json
import os
import pathlib
import platform
import sys
import tempfile
import time
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

TRAINED = "digits_families"
OWN_IMAGES = "finetune_folder"  # of an unknown number of classes
STEPS = 3
SHORT = (
    f"--config.train.steps={STEPS}",
    "--config.train.eval_every=1",
    "--config.train.checkpoint_every=100",
    "--config.seed=0",
)
SETTINGS = {
    "JAX_PLATFORMS": "cpu",
    "JAX_NUM_CPU_DEVICES": "1",
    "JAX_ENABLE_COMPILATION_CACHE": "false",
}
PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy")
UNKNOWN = 10**12  # images of a data set whose size is not known
SHOWN = 60  # characters of a long text, around the first that differs

Rows = dict[str, dict[str, Any]]


# What specs of version 0.1 say, and what they say today.
RENAMED = {
    ", transfer='drawn'": "",
    "policy=PolicySpec(kind='none', operations=2, magnitude=9.0)": "policy=None",
    ", factor=": ", decay_factor=",
    "nesterov='none'": "nesterov=False",
    "nesterov='nesterov'": "nesterov=True",
}


def package() -> types.SimpleNamespace:
    """The package's own words for what is frozen: change paths and names here alone.

    rows(file)       names of the rows of an experiment file
    row(reference)   FILE:ROW resolved; has .config, .net (a spec), .image (its shape)
    shapes(net, image), parts(shapes), multiply_adds(net, image, shapes)
    training(row)    {name: text} of the optimizer and the augmentation
    main(arguments)  exit code of a training run
    """
    import resnet_jax

    if (pathlib.Path(resnet_jax.__file__).parent / "fields.py").exists():
        return first_package()
    from resnet_jax import main
    from resnet_jax.analysis.audit_values import ConfigValues
    from resnet_jax.config import experiment_file
    from resnet_jax.config.rules import schedule_steps
    from resnet_jax.data import crops
    from resnet_jax.data.preprocessing import augmentation
    from resnet_jax.models import complexity
    from resnet_jax.train.optim import optimizer

    load = functools.cache(experiment_file.load)

    def row(reference):
        file, name = experiment_file.parts(reference)
        return ConfigValues(load(file).config(name))

    def training(row):
        examples = row.train_images or UNKNOWN
        steps = schedule_steps(row.config, examples=examples)
        return {
            "optim": repr(optimizer(row.config, total_steps=steps)),
            "augment": repr(augmentation(row.config.data)),
            "crop": repr(crops.preset(row.config.data.augment)),
        }

    return types.SimpleNamespace(
        folder=pathlib.Path(resnet_jax.__file__).parents[1] / "experiments",
        rows=lambda file: list(load(str(file)).rows),
        row=row,
        shapes=lambda net, image: complexity.shapes(net.build(), image),
        parts=lambda shapes: complexity.parts_of(shapes["params"]),
        multiply_adds=lambda net, image, shapes: complexity.multiply_adds(
            net.build(), image, variables=shapes
        ),
        training=training,
        main=lambda arguments: main.main(["main", *arguments]),
    )


def first_package() -> types.SimpleNamespace:
    """`package` of version 0.1."""
    import resnet_jax
    from resnet_jax import build, cli, cost, feeds, main, readings
    from resnet_jax.data import decode

    def training(row):
        examples = row.train_images or UNKNOWN
        steps = build.schedule_steps(row.config, examples=examples)
        return {
            "optim": repr(build.optimizer(row.config, total_steps=steps)),
            "augment": repr(feeds.augmentation(row.config.data)),
            "crop": repr(decode.preset(row.config.data.augment)),
        }

    return types.SimpleNamespace(
        folder=pathlib.Path(resnet_jax.__file__).parents[1] / "experiments",
        rows=lambda file: list(cli.definitions(str(file))["ROWS"]),
        row=lambda reference: readings.Row(cli.changed(reference, [])),
        shapes=lambda net, image: cost.shapes(net.build(), image),
        parts=lambda shapes: cost.parts_of(shapes["params"]),
        multiply_adds=lambda net, image, shapes: cost.multiply_adds(
            net.build(), image, variables=shapes
        ),
        training=training,
        main=lambda arguments: main.main(["main", *arguments]),
    )


def references() -> dict[str, str]:
    """The reference FILE:ROW of every row, by the file's name and the row."""
    own = package()
    return {
        f"{file.stem}:{row}": f"{file}:{row}"
        for file in sorted(own.folder.glob("*.py"))
        if file.stem != OWN_IMAGES
        for row in own.rows(file)
    }


def full() -> Rows:
    """The resolved spec of every row."""
    own, found = package(), {}
    for name, reference in references().items():
        row = own.row(reference)
        variables, parts, multiply_adds = counted(row.net, row.image)
        found[name] = {
            "spec": renamed(repr(row.net)),
            "tree": variables,
            **parts,
            "macs": multiply_adds,
        } | {part: renamed(text) for part, text in own.training(row).items()}
    return found


def renamed(text: str) -> str:
    """A spec's text in the words of today."""
    for old, new in RENAMED.items():
        text = text.replace(old, new)
    return text


@functools.cache
def counted(
    net: Any, image: tuple[int, ...]
) -> tuple[dict[str, str], dict[str, Any], int]:
    """The tree of variables; parameters; multiply-adds."""
    own = package()
    shapes = own.shapes(net, image)
    macs = own.multiply_adds(net, image, shapes)
    return tree(shapes), parameters(own.parts(shapes)), macs


def parameters(parts: Any) -> dict[str, Any]:
    """Parameters in all, and by kind."""
    return {"params": parts.params, "parts": dataclasses.asdict(parts)}


def tree(shapes: Any) -> dict[str, str]:
    """Path -> shape and dtype of all variables."""
    import jax

    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): f"{x.shape} {x.dtype}"
        for path, x in jax.tree_util.tree_leaves_with_path(shapes)
    }


def compact(rows: Rows) -> Rows:
    """The same with digests for texts, and without the training."""
    return {
        name: {
            "spec": digest(row["spec"]),
            "tree": digest("\n".join(sorted(map(" ".join, row["tree"].items())))),
            "params": row["params"],
            "parts": row["parts"],
            "macs": row["macs"],
        }
        for name, row in rows.items()
    }


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def losses() -> Rows:
    """The losses of the first steps of every row of one file, trained in this process.

    Of the rows of the log: split=train of every step, and the last of split=test.
    """
    import jax

    own, found = package(), {}
    with tempfile.TemporaryDirectory() as folder, prepared_in(f"{folder}/data"):
        for name, reference in references().items():
            if not name.startswith(f"{TRAINED}:"):
                continue
            workdir = pathlib.Path(folder) / name.replace(":", "/")
            run = ("--config", reference, *SHORT, "--workdir", str(workdir))
            said = io.StringIO()
            with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
                code = own.main(run)
            if code:
                raise SystemExit(f"{name}: exit code {code}\n{said.getvalue()}")
            lines = (workdir / "metrics.jsonl").read_text().splitlines()
            rows = [json.loads(line) for line in lines]
            train = [row["loss"] for row in rows if row["split"] == "train"]
            test = [row["loss"] for row in rows if row["split"] == "test"]
            assert len(train) == STEPS, f"{name}: {len(train)} rows"
            found[name] = {"train": train, "test": test[-1]}
            print(name, *train, test[-1], file=sys.stderr, flush=True)
            jax.clear_caches()
    return found


@contextlib.contextmanager
def prepared_in(folder: str) -> Iterator[None]:
    """Data are prepared in a folder that nothing else uses."""
    before = os.environ.get("TFDS_DATA_DIR")
    os.environ["TFDS_DATA_DIR"] = folder
    try:
        yield
    finally:
        os.environ.pop("TFDS_DATA_DIR")
        if before is not None:
            os.environ["TFDS_DATA_DIR"] = before


def machine() -> dict[str, Any]:
    """What bits depend on: versions of packages, and the processor."""
    return {
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
        "cpu": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
    }


def processor() -> str:
    """The model of the CPU, and its numbers, as a name may stand for several."""
    path = pathlib.Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    told = {k.strip(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
    name = told.get("model name", platform.processor())
    numbers = [f"{n} {told[n]}" for n in ("cpu family", "model", "stepping") if told]
    return ", ".join([name, *numbers])


def differences(old: Mapping, new: Mapping) -> Iterator[str]:
    """`row: quantity: old -> new`, a line a difference of the rows of two files."""
    for name in {**old["rows"], **new["rows"]}:
        if name not in new["rows"] or name not in old["rows"]:
            yield f"{name}: only in the {'old' if name in old['rows'] else 'new'} file"
            continue
        before = dict(leaves(old["rows"][name]))
        after = dict(leaves(new["rows"][name]))
        for path in {**before, **after}:
            a, b = before.get(path, "nothing"), after.get(path, "nothing")
            if type(a) is not type(b) or a != b:
                yield f"{name}: {path}: {' -> '.join(shown(a, b))}"


def leaves(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """("tree params/head/bias", "(10,) float32") of nested mappings and lists."""
    if isinstance(tree, Mapping | list):
        pairs = tree.items() if isinstance(tree, Mapping) else enumerate(tree)
        for name, part in pairs:
            yield from leaves(part, f"{path} {name}".strip())
    else:
        yield path, tree


def shown(a: Any, b: Any) -> tuple[str, str]:
    """Both values; of long texts what lies around the first character that differs."""
    if not isinstance(a, str) or not isinstance(b, str) or max(len(a), len(b)) <= SHOWN:
        return repr(a), repr(b)
    pairs = enumerate(zip(a, b, strict=False))
    first = next((i for i, (x, y) in pairs if x != y), min(len(a), len(b)))
    start = max(0, first - SHOWN // 2)
    texts = (text[start : start + SHOWN] for text in (a, b))
    return tuple(f"{'...' if start else ''}{text}..." for text in texts)


def compare(old: str, new: str) -> int:
    """Prints the differences of two files; 1 if there are any."""
    trees = [json.loads(pathlib.Path(path).read_text()) for path in (old, new)]
    made = [dict(leaves(tree.get("made", {}))) for tree in trees]
    for name in {**made[0], **made[1]}:
        if name != "wall_s" and made[0].get(name) != made[1].get(name):
            told = " -> ".join(repr(tree.get(name)) for tree in made)
            print(f"note: made with another {name}: {told}", file=sys.stderr)
    found = list(differences(*trees))
    print("\n".join([*found, f"{len(found)} differences"]))
    return int(bool(found))


def write(path: str, rows: Rows, **made: Any) -> None:
    """A line a row, so that a changed row is a changed line."""
    lines = [f"{json.dumps(name)}: {json.dumps(row)}" for name, row in rows.items()]
    head = f'"made": {json.dumps(made)},\n' if made else ""
    text = "{" + head + '"rows": {\n' + ",\n".join(lines) + "\n}}\n"
    pathlib.Path(path).write_text(text)


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for option in ("--out", "--full", "--losses"):
        parser.add_argument(option, metavar="FILE")
    parser.add_argument("--compare", nargs=2, metavar=("OLD", "NEW"))
    chosen = parser.parse_args(argv)
    if chosen.compare:
        return compare(*chosen.compare)
    if not (chosen.out or chosen.full or chosen.losses):
        parser.error("name a file to write")
    os.environ |= SETTINGS
    print(f"experiments: {package().folder}", file=sys.stderr)
    if chosen.out or chosen.full:
        rows = full()
        if chosen.out:
            write(chosen.out, compact(rows))
        if chosen.full:
            write(chosen.full, rows)
    if chosen.losses:
        start = time.monotonic()
        rows = losses()
        made = {"wall_s": round(time.monotonic() - start), "settings": SETTINGS}
        write(chosen.losses, rows, **machine(), **made)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
