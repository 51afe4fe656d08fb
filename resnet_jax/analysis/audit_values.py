"""What a config comes to, quantity by quantity, in the words that papers' facts use."""

import dataclasses
import functools
from typing import Any

from resnet_jax.config import build, slots
from resnet_jax.config.families import FAMILIES
from resnet_jax.config.schema import Config
from resnet_jax.data import decode
from resnet_jax.data.augment import standard as augment
from resnet_jax.data.pipeline import augmentation
from resnet_jax.errors import ConfigError
from resnet_jax.models import complexity as cost
from resnet_jax.models.layers.initializers import InitSpec
from resnet_jax.models.layers.layers import LayersSpec
from resnet_jax.models.nets.resnet import ResNetSpec
from resnet_jax.papers import recipes
from resnet_jax.paths import replaced_where_known


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Sizes that need no look at the data; None where they are not known here."""

    train: int | None
    test: int | None
    classes: int
    image: tuple[int, ...]


DATASETS = {
    "cifar10": Dataset(50_000, 10_000, 10, (32, 32, 3)),
    "cifar100": Dataset(50_000, 10_000, 100, (32, 32, 3)),
    "imagenet2012": Dataset(1_281_167, 50_000, 1000, (224, 224, 3)),
    "digits": Dataset(1_437, 360, 10, (8, 8, 1)),
    "moving_digits": Dataset(1_437, 360, 10, (8, 16, 16, 1)),
}
# Every copy of Kinetics lacks other videos; of Places2 no size is known here.
UNCOUNTED = {
    "kinetics400": Dataset(None, None, 400, (16, 112, 112, 3)),
    "places2": Dataset(None, None, 401, (224, 224, 3)),
}
UNKNOWN = "unknown"
UNENDING = 10**12  # iterations of a run whose length is not known
DECAYED = {"kernels": recipes.KERNELS, "all": recipes.ALL_BUT_SLOPES}


@dataclasses.dataclass(frozen=True)
class Reading:
    """The value of a quantity, and the field of the config that decides it."""

    field: str
    value: Any


Readings = dict[str, Reading]


@dataclasses.dataclass(frozen=True)
class Row:
    """A config with the sizes of its data."""

    config: Config

    @property
    def data(self) -> Dataset:
        name, known = self.config.data.name.partition(":")[0], DATASETS | UNCOUNTED
        if name not in known:
            raise ConfigError(
                f"data.name={name!r}: its size is not known here; known are "
                f"{', '.join(known)}"
            )
        return known[name]

    @property
    def train_images(self) -> int | None:
        """N of a split N/M, or the whole training split; None: not known."""
        if self.config.data.split == "full":
            return self.data.train
        first = self.config.data.split.split("/")[0]
        count = int(first.removesuffix("k")) * (1000 if first.endswith("k") else 1)
        if count > (self.data.train or count):
            raise ConfigError(
                f"data.split={self.config.data.split!r}: {self.config.data.name} has "
                f"{self.data.train} training images"
            )
        return count

    @property
    def steps_per_epoch(self) -> float | None:
        return self.train_images and self.train_images / self.config.data.batch_size

    @property
    def image(self) -> tuple[int, ...]:
        crop, shape = decode.preset(self.config.data.augment), self.data.image
        if crop.crop == "none":
            return shape
        return *shape[:-3], crop.size, crop.size, shape[-1]

    @functools.cached_property
    def net(self) -> Any:
        classes = self.config.model.num_classes or self.data.classes
        return build.network(self.config, num_classes=classes, devices=1)

    def readings(self) -> Readings:
        """All quantities: of the net, of the data, of the training."""
        return self._net() | self.counts() | self._data() | self._optim() | self._rest()

    def counts(self) -> Readings:
        """Weighted layers, parameters and multiply-adds, counted on shapes."""
        parts, macs = _counted(_bare(self.net), self.image)
        kinds = {
            "parameters": parts.params,
            "in convolutions": parts.conv,
            "in norms": parts.norm,
            "in rectifiers": parts.slopes,
            "in gates": parts.gates,
            "in the last layer": parts.fc,
            "multiply-adds": macs,
        }
        return {"weighted layers": Reading("model.depth", parts.weighted_layers)} | {
            name: Reading(name, value) for name, value in kinds.items()
        }

    def _net(self) -> Readings:
        """The words of the model; of its units where it has residual ones."""
        model, spec = self.config.model, self.net
        words = {
            "form": ("name", model.name),
            "depth": ("depth", model.depth),
            "width": ("width", model.width),
            "variant": ("variant", model.variant),
            "size": ("size", model.size),
            "growth rate": ("growth", model.growth),
            "compression": ("compression", model.compression),
            "links": ("links", model.links),
            "levels of the pyramid": ("levels", model.levels),
            "losses inside": ("relays", model.relays),
            "operator": ("operator", model.operator),
            "ratio of the ghosts": ("ghost_ratio", model.ghost_ratio),
            "kernel of the ghosts": ("ghost_kernel", model.ghost_kernel),
            "classes": ("num_classes", spec.num_classes),
            "rectifier": ("act", model.act),
            "slope": ("slope", spec.layers.act.slope),
            "BatchNorm": ("norm.dialect", "yes" if spec.layers.norm else "no"),
        }
        found = {n: Reading(f"model.{field}", v) for n, (field, v) in words.items()}
        return found | self._residual() | self._units()

    def _residual(self) -> Readings:
        """What the slots of a residual net come to."""
        unit, spec = self.config.model.unit, self.net
        if not isinstance(spec, ResNetSpec):
            return {}
        normed = unit.shortcut in ("B", "C") and "norm" in spec.unit.order.end
        projects = "yes" if normed else "no"
        return {
            "branch": Reading("model.unit.branch", _branch(spec, unit.branch)),
            "norm on projections": Reading("model.unit.shortcut", projects),
            "units a stage": Reading("model.depth", spec.depths),
            "pool of the stem": Reading("model.name", _pool(spec)),
        }

    def _units(self) -> Readings:
        """The words of the units: all of a residual net, else those that it has."""
        unit, reads = self.config.model.unit, FAMILIES[self.config.model.name].reads
        words = {
            "stride of a bottleneck": ("stride_at", unit.stride_at),
            "groups": ("cardinality", unit.cardinality),
            "width of a group": ("group_width", unit.group_width),
            "kernels": ("kernels", unit.kernels),
            "order": ("order", unit.order),
            "shortcut": ("shortcut", unit.shortcut),
            "join": ("join", unit.join),
            "scales": ("scales", unit.scales),
            "gate bias": ("gating_bias", unit.gating_bias),
            "what gates see": ("join", "the resized shortcut"),
            "dropout of the shortcut": ("dropout_rate", unit.dropout_rate),
            "gate": ("gate", unit.gate),
            "reduction of the gate": ("se_reduction", unit.se_reduction),
            "survival of the last unit": ("survival", unit.survival),
            "noise": ("noise", unit.noise),
            "dropout": ("noise_rate", unit.noise_rate),
        }
        return {
            name: Reading(f"model.unit.{field}", value)
            for name, (field, value) in words.items()
            if isinstance(self.net, ResNetSpec) or f"unit.{field}".startswith(reads)
        }

    def _data(self) -> Readings:
        data = self.config.data
        spec, crop = augmentation(data), decode.preset(data.augment)
        view = "one view of " + "x".join(map(str, self.image[:-1]))
        if crop.crop != "none":
            view = f"centre crop of {crop.size}, shorter side {crop.eval_shorter}"
        return {
            "data set": Reading("data.name", data.name.partition(":")[0]),
            "training images": Reading("data.split", self.train_images or UNKNOWN),
            "test images": Reading("data.name", self.data.test or UNKNOWN),
            "batch": Reading("data.batch_size", data.batch_size),
            "augmentation": Reading("data.augment", _augmentation(spec, crop)),
            "training sizes": Reading("data.sizes", data.sizes or (self.image[-2],)),
            "normalisation": Reading("data.normalize", spec.normalize),
            "mixing": Reading("data.mix", data.mix),
            "evaluation": Reading("evaluation", view),
        }

    def _optim(self) -> Readings:
        config, optim = self.config, self.config.optim
        total = UNENDING
        if known := config.train.epochs is None or self.train_images is not None:
            total = build.schedule_steps(config, examples=self.train_images or 0)
        spec = build.optimizer(config, total_steps=total)
        drops = spec.boundaries if known else UNKNOWN
        length = "train.iterations" if config.train.epochs is None else "train.epochs"
        if config.train.steps is not None and config.train.steps < total:
            total, length = config.train.steps, "train.steps"
        return {
            "optimizer": Reading("optim.name", spec.name),
            "learning rate": Reading("optim.learning_rate", spec.learning_rate),
            "schedule": Reading("optim.schedule", spec.schedule),
            "drops at": Reading("optim.boundaries", drops),
            "divided by": Reading("optim.factor", round(1 / spec.factor, 6)),
            "iterations": Reading(length, total if total < UNENDING else UNKNOWN),
            "warm-up": Reading("optim.warmup", spec.warmup_steps),
            "warm-up rate": Reading("optim.warmup_rate", spec.warmup_rate),
            "warm-up kind": Reading("optim.warmup_kind", spec.warmup),
            "momentum": Reading("optim.momentum", spec.momentum),
            "momentum dialect": Reading("optim.dialect", spec.dialect),
            "dampening": Reading("optim.dampening", spec.dampening),
            "Nesterov": Reading("optim.nesterov", spec.nesterov),
            "weight decay": Reading("optim.weight_decay", spec.weight_decay),
            "decayed parameters": Reading("optim.decay", DECAYED[optim.decay]),
        }

    def _rest(self) -> Readings:
        config, norm, train = self.config, self.config.model.norm, self.config.train
        group = build.norm_group(config, devices=1)
        part = config.data.batch_size // train.accumulate
        group = "of a device" if norm.group == "device" else group or part
        return {
            "initialisation": Reading("model.init", config.model.init),
            "BatchNorm group": Reading("model.norm.group", group),
            "running statistics": Reading("model.norm.dialect", norm.dialect),
            "weight of those inside": Reading("train.relay_weight", train.relay_weight),
            "label smoothing": Reading("train.label_smoothing", train.label_smoothing),
            "parameter average": Reading("train.ema", train.ema),
            "arithmetic": Reading("train.dtype", train.dtype),
        }


def _bare(spec: Any) -> Any:
    """The spec without what changes no shape, so that rows share their counts."""
    norm = spec.layers.norm and LayersSpec().norm
    layers = {"norm": norm, "init": InitSpec(), "dtype": "float32"}
    fields = {"survival": 1.0, "depth_mode": "scan", "dropout": 0.0, "relays": ()}
    fields["layers"] = dataclasses.replace(spec.layers, **layers)
    return replaced_where_known(spec, fields)


@functools.cache
def _counted(spec: Any, image: tuple[int, ...]) -> tuple[cost.Parts, int]:
    return cost.counts(spec.build(), image)


def _branch(spec: ResNetSpec, chosen: str) -> str:
    """The field's word for the first branch, which may have come with the depth."""
    (first, *_) = *spec.firsts, spec.unit
    inner = getattr(first.branch, "branch", first.branch)  # behind a pre-activation
    known = {branch.kernels: name for name, branch in slots.BRANCHES.items()}
    return known.get(getattr(inner, "kernels", None), chosen)


def _pool(spec: ResNetSpec) -> str:
    return "3x3, stride 2, padding 1" if spec.stem.pool else "none"


def _augmentation(spec: augment.AugmentSpec, crop: decode.CropSpec) -> str:
    """What is done to a training image, in the order in which it is done."""
    done = []
    if crop.crop == "scale":
        low, high = crop.shorter
        done += [f"shorter side {low} to {high}", f"crop {crop.size}"]
    elif crop.crop == "area":
        done += ["random area and aspect", f"crop {crop.size}"]
    if spec.crop_pad:
        done += [f"{spec.crop_pad}-pixel {spec.fill} pad", "crop"]
    if spec.flip == "horizontal":
        done.append("flip")
    if spec.colour:
        done.append(f"colour jitter {spec.colour}")
    if spec.lighting:
        done.append("AlexNet colours")
    if spec.policy.kind != "none":
        done.insert(0, spec.policy.kind)
    if spec.cutout:
        done.append(f"cutout {spec.cutout}")
    if spec.erasing:
        done.append(f"random erasing {spec.erasing}")
    return ", ".join(done) or "none"
