"""Schema of a config: types, ranges, defaults and explanations of all fields."""

import dataclasses
from typing import Annotated, Literal, NamedTuple, TypeAlias

from pydantic import StringConstraints

from resnet_jax.config.augmentation import Mix, Policy
from resnet_jax.config.models import Model
from resnet_jax.config.optimizers import Optim, Sgd
from resnet_jax.config.protocols import EvalProtocol, OneCrop
from resnet_jax.config.pruning import Prune
from resnet_jax.config.residual_nets import CifarResNet
from resnet_jax.config.types import Count, Number, Positive, Seed, Share, part
from resnet_jax.paths import Tree

VERSION = 2  # of config.json; `migrate` reads older ones

SLICE = r"^\w[\w.-]*(\[[\d%:-]+\])?$"  # a split of tfds, or a slice of one

Augment: TypeAlias = Literal[
    "none", "crop", "crop_flip", "crop_flip_channel", "crop_flip_reflect",
    "imagenet_scale", "imagenet_aspect",
]  # fmt: skip


@part
class DataConfig:
    """The data set and its input pipeline."""

    name: Annotated[str, StringConstraints(pattern=r"^[\w./:-]+$")] = "digits"
    """NAME[/CONFIG][:VERSION] of a tfds image classification set; folder: own files."""
    dir: str | None = None
    """Folder of prepared sets; None: $TFDS_DATA_DIR or ~/tensorflow_datasets."""
    batch_size: Count = 128
    """Images per update, over all devices."""
    split: Annotated[str, StringConstraints(pattern=r"^(full|\d+k?/\d+k?)$")] = "full"
    """Training images: all, or N/M: the first N to train, the last M to validate."""
    test_split: Annotated[str, StringConstraints(pattern=SLICE)] | None = None
    """Split to test on, or an end of train held out, train[-10%:]; None: the usual."""
    feed: Literal["auto", "resident", "streaming"] = "auto"
    """Images in device memory or streamed; auto: by the size of the set."""
    workers: Number = 0
    """Processes that decode streamed images; 0: threads, as for resident ones."""
    augment: Augment = "none"
    """Augmentation of training images."""
    normalize: Literal["none", "pixel_mean", "channel"] | None = None
    """Normalisation, none: pixels in [0, 1]; None: that of the augmentation's paper."""
    sizes: tuple[Count, ...] = ()
    """Sides of training images in pixels, an epoch each in turn; (): as they are."""
    policy: Policy | None = None
    """Random policy on top of the augmentation."""
    cutout: Number = 0
    """Side of a square of zeros in pixels (DeVries & Taylor 2017); 0: none."""
    erasing: Share = 0.0
    """Probability that a random box is erased (Zhong et al. 2020)."""
    mix: Mix | None = None
    """MixUp or CutMix of the images of a batch."""
    protocol: EvalProtocol = OneCrop()
    """Evaluation protocol: views of an example whose scores are averaged."""


@part
class TrainConfig:
    """Length, precision, parallelism, evaluation and checkpoints of a run."""

    epochs: Positive | None = None
    """Length of the schedule in epochs; either this or iterations."""
    iterations: Count | None = None
    """Length of the schedule in iterations (updates)."""
    steps: Count | None = None
    """Iteration at which a run ends early, whatever its schedule."""
    start_from: str | None = None
    """Run whose trained parameters this one begins with; {seed} is this one's seed."""
    prune: Prune | None = None
    """Pruning of the network of start_from, before the first update."""
    dtype: Literal["float32", "bfloat16", "float64"] = "float32"
    """Arithmetic of the network."""
    spmd: Literal["jit", "pmap"] = "jit"
    """Program over several devices."""
    steps_per_call: Count | None = None
    """Updates per call of the compiled step; None: 8 on a CPU, 1 elsewhere."""
    eval_every: Count | None = None
    """Iterations between evaluations; None: about an epoch."""
    checkpoint_every: Count | None = None
    """Iterations between checkpoints; None: as eval_every."""
    accumulate: Count = 1
    """Parts of a batch whose gradients are accumulated."""
    label_smoothing: Share = 0.0
    """Share of the label that is spread over all classes."""
    ema: Share = 0.0
    """Decay, warmed up, of averages of parameters and BatchNorm statistics; 0: none."""
    max_nonfinite_updates: Number = 0
    """Non-finite updates that are skipped before a run stops."""
    tensorboard: bool = False
    """TensorBoard event files beside the log."""
    wandb: str | None = None
    """Project of Weights & Biases that gets the rows of the log; None: none."""
    seeds: tuple[Seed, ...] = ()
    """Seeds trained by one program, each as a run; (): the one of `seed`."""


@part
class Config:
    """One row of one experiment."""

    model: Model = CifarResNet()
    """Network."""
    data: DataConfig = DataConfig()
    """Data set."""
    optim: Optim = Sgd()
    """Optimizer."""
    train: TrainConfig = TrainConfig()
    """Training."""
    seed: Seed = 0
    """Seed of initialisation, data order, augmentation and noise."""

    @property
    def start_from(self) -> str | None:
        """Folder of the run that this one begins with."""
        found = self.train.start_from
        return found and found.replace("{seed}", str(self.seed))

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds that one program trains."""
        return self.train.seeds or (self.seed,)

    def to_dict(self) -> Tree:
        """Nested plain values; members of slots have their word under `name`."""
        return dataclasses.asdict(self)


class MayDiffer(NamedTuple):
    """Permissions of a field that does not change the result of a run to differ."""

    on_resume: bool
    between_runs: bool  # of one row of a table


OPERATIONAL = {
    "data.dir": MayDiffer(on_resume=True, between_runs=True),
    "data.feed": MayDiffer(on_resume=True, between_runs=True),
    "data.workers": MayDiffer(on_resume=True, between_runs=True),
    "model.depth_mode": MayDiffer(on_resume=True, between_runs=True),
    "seed": MayDiffer(on_resume=False, between_runs=True),
    "train.checkpoint_every": MayDiffer(on_resume=True, between_runs=True),
    "train.seeds": MayDiffer(on_resume=True, between_runs=False),
    "train.steps": MayDiffer(on_resume=True, between_runs=False),
    "train.steps_per_call": MayDiffer(on_resume=True, between_runs=True),
    "train.tensorboard": MayDiffer(on_resume=True, between_runs=True),
    "train.wandb": MayDiffer(on_resume=True, between_runs=True),
}
