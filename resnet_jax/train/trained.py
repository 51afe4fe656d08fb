"""Trained network of a run, for evaluation and inspection."""

import dataclasses
import pathlib
from collections.abc import Iterator
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from resnet_jax.config.resolve import changed, validated
from resnet_jax.data.batch import Batch
from resnet_jax.errors import ConfigError
from resnet_jax.train import agreement
from resnet_jax.train.evaluate import Errors, added, errors, precise_statistics
from resnet_jax.train.experiment import Experiment, prepare
from resnet_jax.train.program import Program
from resnet_jax.train.state import Variables
from resnet_jax.train.stored import Which, config_in, cut_spec, restored
from resnet_jax.train.task import make_program

Split = Literal["train", "val", "test"]


@dataclasses.dataclass(frozen=True)
class Trained:
    """Trained network of a run, with the data of the run."""

    experiment: Experiment
    program: Program
    variables: Variables
    step: int

    @property
    def protocol(self) -> str:
        """Name of the evaluation protocol."""
        return self.experiment.config.data.protocol.name

    @property
    def params(self) -> dict[str, str]:
        """{"params": "ema"} of averaged parameters, as in rows of the log, else {}."""
        return {"params": "ema"} if self.experiment.config.train.ema else {}

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.experiment.pipeline.inputs.classes

    def probabilities(self, split: Split) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield labels [b] and class probabilities [b n] of a split, in its order."""
        net, pipeline = self.experiment.net.build(), self.experiment.pipeline
        protocol = self.experiment.config.data.protocol.build()

        @jax.jit
        def softmax(variables, batch):
            def apply(images) -> Any:
                return net.apply(variables, images, train=False)

            logits = protocol(apply, pipeline.preprocess(None, batch, train=False))
            return jax.nn.softmax(logits.astype(jnp.float32))

        for batch in self._batches(split):
            real = batch["mask"] > 0
            found = np.asarray(softmax(self.variables, batch))
            yield batch["label"][real], found[real]

    def scores(self, split: Split) -> Errors:
        """Compute n, loss [nats] and errors [%] over all examples of a split."""
        sums = (
            self.program.evaluate(self.variables, None, batch)
            for batch in self._batches(split)
        )
        top5 = self.experiment.loop.top5
        return errors(added(sums), top5=top5)

    def with_precise_statistics(self, batches: int) -> "Trained":
        """Recompute BatchNorm statistics over a number of training batches."""
        pipeline = self.experiment.pipeline
        train = pipeline.train_batches(pipeline.gathered)
        read = (train(self.step + i) for i in range(batches))
        stats = precise_statistics(self.program, self.variables, None, read)
        return dataclasses.replace(
            self, variables=self.variables | {"batch_stats": stats}
        )

    def _batches(self, split: Split) -> Iterator[Batch]:
        pipeline = self.experiment.pipeline
        if split not in pipeline.splits:
            raise ConfigError(
                f"--split={split}: this run has {', '.join(pipeline.splits)}"
            )
        return pipeline.examples(split)


def load(
    folder: pathlib.Path | str,
    *,
    which: Which = "last",
    data_dir: str | None = None,
    protocol: str | None = None,
) -> Trained:
    """Load the network of a finished or interrupted run, read-only.

    `protocol`: evaluation protocol; None: that of the run.
    """
    folder = pathlib.Path(folder).expanduser()
    stored = config_in(folder)
    changes = {"data.dir": data_dir, "data.protocol": protocol}
    changes = {path: value for path, value in changes.items() if value is not None}
    config = validated(*changed(stored.located(folder), changes))
    experiment = prepare(config)
    if config.train.prune:
        experiment = experiment.with_net(cut_spec(folder))
    program = make_program(experiment)
    abstract = experiment.abstract_state(program)
    state, meta, place = restored(folder, which, abstract)
    agreement.check_id(place, int(state.step), meta, run=stored.run)
    return Trained(experiment, program, state.eval_variables, int(state.step))
