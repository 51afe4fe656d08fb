"""Score the checkpoint of a run again, on any split, under either kind of statistics.

python -m resnet_jax.evaluate --workdir runs/digits_preact/PreAct-20/seed0
python -m resnet_jax.evaluate --workdir DIR --split train --precise 200

--workdir DIR       the folder of a run; only read
--split SPLIT       test (default), val or train; every example once, the centre crop
--best              the checkpoint of the best validation error, not the last one
--precise N         BatchNorm statistics recomputed over N training batches
--data_dir DIR      where the data set is, if not where the config says
"""

import argparse
import dataclasses
import json
import pathlib
import sys
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import jax
import numpy as np

from resnet_jax import cli
from resnet_jax.config.resolve import validated
from resnet_jax.data import reader as loader
from resnet_jax.errors import CheckpointError, ConfigError
from resnet_jax.paths import replaced
from resnet_jax.runs import directory as workdir
from resnet_jax.train import checkpoint, loop
from resnet_jax.train.precise_statistics import precise_statistics
from resnet_jax.train.program import Program, gathered
from resnet_jax.train.run import Experiment, make_program, prepare

Split = Literal["train", "val", "test"]


@dataclasses.dataclass(frozen=True)
class Trained:
    """A network as a run left it, with the data of the run."""

    experiment: Experiment
    program: Program
    variables: dict[str, Any]
    step: int

    def logits(self, split: Split) -> np.ndarray:
        """float32 [n classes], in the order of the split."""
        net, feeds = self.experiment.net.build(), self.experiment.feeds

        @jax.jit
        def forward(batch):
            images = feeds.preprocess(None, batch, train=False)
            return net.apply(self.variables, images, train=False)

        rows = [
            np.asarray(forward(batch))[batch["mask"] > 0]
            for batch in self._batches(split)
        ]
        return np.concatenate(rows).astype(np.float32)

    def scores(self, split: Split) -> dict[str, float | int]:
        """n, loss [nats] and errors [%] over every example of a split."""
        sums = [
            jax.device_get(self.program.evaluate(self.variables, None, batch))
            for batch in self._batches(split)
        ]
        return loop.errors({k: sum(float(s[k]) for s in sums) for k in sums[0]})

    def with_precise_statistics(self, batches: int) -> "Trained":
        """The same parameters under statistics over so many training batches."""
        train = self.experiment.feeds.train()
        data = self.experiment.feeds.resident
        feeds = (
            gathered(data and data["train"], {k: v[0] for k, v in feed.items()})
            for feed in (train(self.step + i, 1) for i in range(batches))
        )
        stats = precise_statistics(self.program, self.variables, None, feeds)
        return dataclasses.replace(
            self, variables=self.variables | {"batch_stats": stats}
        )

    def _batches(self, split: Split) -> Iterator[dict[str, Any]]:
        feeds = self.experiment.feeds
        if split not in feeds.splits:
            raise ConfigError(
                f"--split={split}: this run has {', '.join(feeds.splits)}"
            )
        source = (feeds.resident or feeds.splits)[split]
        size = self.experiment.config.data.batch_size
        return loader.eval_batches(source, batch_size=size, crop=feeds.crop)


def load(
    folder: pathlib.Path | str,
    *,
    which: Literal["last", "best"] = "last",
    data_dir: str | None = None,
) -> Trained:
    """The network of a finished or interrupted run; reads only."""
    folder = pathlib.Path(folder).expanduser()
    resolved = workdir.read_json(folder / "config.json")
    if resolved is None:
        raise ConfigError(f"workdir={folder}: holds no config.json, so no run")
    resolved.pop("derived")
    config = validated(resolved)
    if data_dir:
        config = replaced(config, {"data.dir": data_dir})
    experiment = prepare(config)
    program = make_program(experiment)
    place = folder / ("checkpoints" if which == "last" else "best")
    found = checkpoint.restore(place, experiment.abstract_state(program))
    if found is None:
        raise CheckpointError(f"{place}: no checkpoint yet; train first")
    state, _ = found
    return Trained(experiment, program, loop.variables_of(state), int(state.step))


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code of the command line `argv`."""
    argv = sys.argv if argv is None else argv
    if {"-h", "--help"} & set(argv):
        print(__doc__.strip())
        return 0
    return cli.guarded(lambda: _evaluate(argv[1:]), debug="--debug" in argv)


def _evaluate(argv: Sequence[str]) -> None:
    chosen = parse(argv)
    which = "best" if chosen.best else "last"
    trained = load(chosen.workdir, which=which, data_dir=chosen.data_dir)
    row = {"split": chosen.split, "step": trained.step, "stats": "moving"}
    if chosen.precise:
        trained = trained.with_precise_statistics(chosen.precise)
        row |= {"stats": "precise", "stats_batches": chosen.precise}
    print(json.dumps(row | trained.scores(chosen.split)))


def parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = cli.Parser("resnet_jax.evaluate")
    parser.add_argument("--workdir", required=True)
    parser.add_argument("--split", default="test", choices=("train", "val", "test"))
    parser.add_argument("--best", action="store_true")
    parser.add_argument("--precise", type=int, default=0)
    parser.add_argument("--data_dir")
    parser.add_argument("--debug", action="store_true")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
