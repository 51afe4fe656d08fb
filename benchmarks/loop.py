"""What the training loop costs over the bare jitted step; the goal is 5 % at most.

    python benchmarks/loop.py [--out results/benchmarks/loop.json] [case ...]

The bare step is one update, augmentation included, again and again on one batch that
lies on the device. The loop is the one that `resnet_jax.main` runs, from the prepared
data set on disk to rows and checkpoints on disk: sample order, gathering or reading and
decoding, looks at the losses, a log row and a checkpoint whenever the config says so.
Evaluation is left out of both, being work of its own.

Digits are real; the CIFAR-shaped set is random images, prepared in a temporary folder.
A turn is one run of each, one after the other; medians over turns. On two idle cores
about ten minutes.
"""

import argparse
import dataclasses
import io
import pathlib
import statistics
import sys
import tempfile
import time

import jax
import jax.numpy as jnp
import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from resnet_jax import cli, experiment, workdir
from resnet_jax.data import folders
from resnet_jax.progress import Bar
from resnet_jax.train import loop, parallel
from resnet_jax.train.checkpoint import Checkpoints
from resnet_jax.train.log import Log
from resnet_jax.train.step import StepSpec, make_train_step

FOLDER = pathlib.Path(__file__).parents[1]
EXAMPLES = {"train": 5_000, "test": 500}  # of the CIFAR-shaped set


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    row: str
    fields: tuple[str, ...]
    steps: int  # in a turn

    def config(self, directory):
        fields = (*self.fields, f"data.dir={directory}")
        reference = f"{FOLDER}/experiments/{self.row}"
        return cli.changed(reference, [f"--config.{field}" for field in fields])


SHAPED = ("data.name=cifar_shaped", "train.eval_every=40")
CASES = (
    Case("digits", "digits_preact.py:PreAct-20", (), steps=336),
    Case("cifar", "cifar_resnet.py:ResNet-20", SHAPED, steps=40),
    Case(
        "cifar-streamed",
        "cifar_resnet.py:ResNet-20",
        (*SHAPED, "data.feed=streaming"),
        steps=40,
    ),
)


class CifarShaped(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Random 32x32x3 images with random labels."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        image = tfds.features.Image(shape=(32, 32, 3), encoding_format="png")
        label = tfds.features.ClassLabel(num_classes=10)
        features = tfds.features.FeaturesDict({"image": image, "label": label})
        return tfds.core.DatasetInfo(
            builder=self, features=features, supervised_keys=("image", "label")
        )

    def _split_generators(self, dl_manager):
        return {name: self._generate_examples(n) for name, n in EXAMPLES.items()}

    def _generate_examples(self, n):
        rng = np.random.default_rng(n)
        for i in range(n):
            file = io.BytesIO()
            pixels = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(file, format="PNG")
            file.seek(0)
            yield i, {"image": file, "label": int(rng.integers(10))}


def bare(opening, program, data, feed):
    """seconds(state, steps) of updates on one batch."""
    step = make_train_step(experiment.make_task(opening), StepSpec())
    step = jax.jit(step, donate_argnums=0)
    one = jax.tree.map(lambda x: x[0], program.place(feed))
    batch = jax.block_until_ready(jax.jit(parallel.gathered)(data, one))

    def seconds(state, steps):
        start = time.perf_counter()
        for _ in range(steps):
            state, _ = step(state, batch)
        jax.block_until_ready(state)
        return time.perf_counter() - start

    return seconds


def whole(opening, program, data, feeds):
    """seconds(state, steps) of updates by the loop, in a run folder of their own."""

    def seconds(state, steps):
        spec = dataclasses.replace(opening.loop, steps=steps)
        with (
            tempfile.TemporaryDirectory() as folder,
            Log(pathlib.Path(folder) / "metrics.jsonl") as log,
            Checkpoints(pathlib.Path(folder) / "checkpoints") as saved,
            Checkpoints(pathlib.Path(folder) / "best") as best,
            Bar(total=steps) as progress,
        ):
            run = loop.Run(
                program=program,
                data=data,
                feeds=feeds,
                evaluate=lambda variables: {},
                rate=opening.optim.schedule_fn(),
                log=log,
                checkpoints=saved,
                best=best,
                progress=progress,
            )
            meta = {"wall_s": 0.0, "best": None}
            start = time.perf_counter()
            loop.fit(run, spec, state=state, meta=meta)
            return time.perf_counter() - start

    return seconds


def measure(case, *, directory, steps, turns):
    """Milliseconds an update in each turn, of both."""
    opening = experiment.prepare(case.config(directory))
    program, devices = experiment.make_program(opening), opening.devices
    resident, feeds = opening.feeds.resident, opening.feeds.train()
    data = devices.copied(resident["train"]) if resident else None
    ways = {
        "bare": bare(opening, program, data, feeds(0, 1)),
        "loop": whole(opening, program, data, feeds),
    }
    first = program.init(jnp.uint32(opening.config.seed))

    def milliseconds(way, steps):
        state = jax.block_until_ready(jax.tree.map(jnp.copy, first))
        return 1e3 * ways[way](state, steps) / steps

    for way in ways:  # compiles, and fills the caches of the data
        milliseconds(way, 2)
    times = {way: [] for way in ways}
    for _ in range(turns):
        for way in ways:
            times[way].append(milliseconds(way, steps))
    over = [b / a - 1 for a, b in zip(times["bare"], times["loop"], strict=True)]
    return {
        "case": case.name,
        "batch_size": opening.config.data.batch_size,
        "steps": steps,
        "bare_ms": statistics.median(times["bare"]),
        "loop_ms": statistics.median(times["loop"]),
        "over_bare": statistics.median(over),
        "turns": times,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("cases", nargs="*", help=", ".join(c.name for c in CASES))
    parser.add_argument("--out", type=pathlib.Path)
    parser.add_argument("--steps", type=int, help="in a turn, in place of the case's")
    parser.add_argument("--turns", type=int, default=7)
    chosen = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as directory:
        folders.prepare(CifarShaped(data_dir=directory))
        print("| case | bare step, ms | loop, ms | over bare |\n|---|---|---|---|")
        for case in CASES:
            if chosen.cases and case.name not in chosen.cases:
                continue
            steps = chosen.steps or case.steps
            row = measure(case, directory=directory, steps=steps, turns=chosen.turns)
            rows.append(row)
            shown = f"{row['bare_ms']:.2f} | {row['loop_ms']:.2f}"
            print(f"| {case.name} | {shown} | {row['over_bare']:+.1%} |", flush=True)
    if chosen.out:
        here = workdir.environment() | {"command": ["python", *sys.argv]}
        chosen.out.parent.mkdir(parents=True, exist_ok=True)
        workdir.write_json(chosen.out, {"rows": rows, "environment": here})


if __name__ == "__main__":
    main()
