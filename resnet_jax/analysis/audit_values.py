"""Quantities of a config, in the words that facts of papers use."""

import dataclasses
import functools

from resnet_jax.config.datasets import Dataset, dataset, train_images
from resnet_jax.config.family import Relayed
from resnet_jax.config.layers import Ghost
from resnet_jax.config.other_nets import ImageNetDenseNet
from resnet_jax.config.residual_nets import GhostNet
from resnet_jax.config.rules import norm_group, part_size, relay_weight, schedule_steps
from resnet_jax.config.schema import Config
from resnet_jax.config.units import Scaled, Shortcut, Unit
from resnet_jax.data import crops
from resnet_jax.data.augment.standard import AugmentSpec
from resnet_jax.data.preprocessing import augmentation
from resnet_jax.models import complexity
from resnet_jax.models.layers.initializers import InitSpec
from resnet_jax.models.layers.layers import LayersSpec
from resnet_jax.models.nets.resnet import ResNetSpec
from resnet_jax.models.nets.spec import NetSpec
from resnet_jax.models.network import network
from resnet_jax.models.units.branch import B, Branch
from resnet_jax.models.units.unit import ORIGINAL
from resnet_jax.papers import recipes
from resnet_jax.paths import Value, replaced_where_known
from resnet_jax.train.optim import optimizer

UNKNOWN = "unknown"
UNENDING = 10**12  # iterations of a run whose length is not known
DECAYED = {"kernels": recipes.KERNELS, "all": recipes.ALL_BUT_SLOPES}
BRANCHES = {(3, 3): "basic", (1, 3, 1): "bottleneck", (3,): "single"}  # by kernels


@dataclasses.dataclass(frozen=True)
class Resolved:
    """The value of a quantity, and the field of the config that decides it."""

    field: str
    value: Value


Values = dict[str, Resolved]


@dataclasses.dataclass(frozen=True)
class Row:
    """A config with the sizes of its data."""

    config: Config

    @property
    def data(self) -> Dataset:
        return dataset(self.config.data)

    @property
    def train_images(self) -> int | None:
        return train_images(self.config.data)

    @property
    def steps_per_epoch(self) -> float | None:
        return self.train_images and self.train_images / self.config.data.batch_size

    @property
    def image(self) -> tuple[int, ...]:
        """[*frames height width channels] of an image at the network's input."""
        crop, shape = crops.preset(self.config.data.augment), self.data.image
        if crop.crop == "none":
            return shape
        return *shape[:-3], crop.size, crop.size, shape[-1]

    @functools.cached_property
    def net(self) -> NetSpec:
        classes = self.config.model.num_classes or self.data.classes
        return network(self.config, num_classes=classes, devices=1)

    def values(self) -> Values:
        """All quantities: of the network, of the data, of the training."""
        return self._net() | self.counts() | self._data() | self._optim() | self._rest()

    def counts(self) -> Values:
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
        return {"weighted layers": Resolved("model.depth", parts.weighted_layers)} | {
            name: Resolved(name, value) for name, value in kinds.items()
        }

    def _net(self) -> Values:
        """The fields of the model; of its units where it has residual ones."""
        model, spec = self.config.model, self.net
        operator = model.operator
        told = {
            "form": ("model.name", model.name),
            "operator": ("model.operator", operator.name if operator else "none"),
            "classes": ("model.num_classes", spec.num_classes),
            "rectifier": ("model.act", model.act.name),
            "slope": ("model.act.slope", spec.layers.act.slope),
            "BatchNorm": ("model.norm", "yes" if spec.layers.norm else "no"),
        }
        for quantity, field in FAMILY.items():
            if hasattr(model, field):
                told[quantity] = (f"model.{field}", getattr(model, field))
        if isinstance(model, ImageNetDenseNet):
            told["links"] = ("model.name", "dense")
        ghost, place = operator, "model.operator"
        if isinstance(model, GhostNet):
            ghost, place = model.ghost, "model.ghost"
        if isinstance(ghost, Ghost):
            told["ratio of the ghosts"] = (f"{place}.ratio", ghost.ratio)
            told["kernel of the ghosts"] = (f"{place}.kernel", ghost.kernel)
        if isinstance(model, Relayed):
            losses = model.auxiliary_loss.stages if model.auxiliary_loss else ()
            told["losses inside"] = ("model.auxiliary_loss.stages", losses)
        found = {name: Resolved(*pair) for name, pair in told.items()}
        return found | self._residual() | self._units()

    def _residual(self) -> Values:
        """Quantities of a residual net's slots."""
        unit, spec = getattr(self.config.model, "unit", None), self.net
        if not isinstance(spec, ResNetSpec):
            return {}
        shortcut = unit.shortcut if isinstance(unit, Shortcut) else "none"
        normed = shortcut in ("B", "C") and "norm" in spec.unit.order.end
        branch = first_branch(spec)
        word = getattr(getattr(unit, "branch", None), "name", "auto")
        told = {
            "branch": ("model.unit.branch", _word(branch, word)),
            "norm on projections": ("model.unit.shortcut", "yes" if normed else "no"),
            "units a stage": ("model.depth", spec.depths),
            "pool of the stem": ("model.name", _pool(spec)),
        }
        if _kernels(branch) == (1, 3, 1) and isinstance(branch, B):
            strides = "3x3" if branch.stride_at == 1 else "1x1"
            told["stride of a bottleneck"] = ("model.unit.branch.stride_at", strides)
            if hasattr(unit, "branch"):
                told |= _groups(branch)
        if unit is None and spec.unit.order == ORIGINAL:
            told["order"] = ("model.name", "original")
        return {name: Resolved(*pair) for name, pair in told.items()}

    def _units(self) -> Values:
        """Fields of the unit and of the members of its slots."""
        unit = getattr(self.config.model, "unit", None)
        if unit is None:
            return {}
        tree = dataclasses.asdict(unit)
        told = {
            name: (f"model.unit.{path}", value)
            for name, path in UNIT.items()
            if (value := _at(tree, path)) is not None
        }
        told |= _noise(unit)
        if not isinstance(unit, Shortcut):
            told["shortcut"] = ("model.name", "none")
        elif isinstance(unit.join, Scaled):
            scales = (unit.join.shortcut, unit.join.branch)
            told["scales"] = ("model.unit.join", scales)
        if isinstance(unit, Shortcut):
            told["what gates see"] = ("model.unit.join", "the resized shortcut")
        if isinstance(unit, Unit):
            gate, drop = unit.gate, unit.stochastic_depth
            survival = drop.survival_prob if drop else 1.0
            told["gate"] = ("model.unit.gate", gate.name if gate else "none")
            place = "model.unit.stochastic_depth"
            told["survival of the last unit"] = (place, survival)
        return {name: Resolved(*pair) for name, pair in told.items()}

    def _data(self) -> Values:
        data = self.config.data
        spec, crop = augmentation(data), crops.preset(data.augment)
        view = "one view of " + "x".join(map(str, self.image[:-1]))
        if crop.crop != "none":
            view = f"centre crop of {crop.size}, shorter side {crop.eval_shorter}"
        told = {
            "data set": ("data.name", data.name.partition(":")[0]),
            "training images": ("data.split", self.train_images or UNKNOWN),
            "test images": ("data.name", self.data.test or UNKNOWN),
            "batch": ("data.batch_size", data.batch_size),
            "augmentation": ("data.augment", _augmentation(spec, crop)),
            "training sizes": ("data.sizes", data.sizes or (self.image[-2],)),
            "normalisation": ("data.normalize", spec.normalize),
            "mixing": ("data.mix", data.mix.name if data.mix else "none"),
            "evaluation": ("evaluation", view),
        }
        return {name: Resolved(*pair) for name, pair in told.items()}

    def _optim(self) -> Values:
        config, optim = self.config, self.config.optim
        total = UNENDING
        if known := config.train.epochs is None or self.train_images is not None:
            total = schedule_steps(config, examples=self.train_images or 0)
        spec = optimizer(config, total_steps=total)
        drops = spec.boundaries if known else UNKNOWN
        length = "train.iterations" if config.train.epochs is None else "train.epochs"
        if config.train.steps is not None and config.train.steps < total:
            total, length = config.train.steps, "train.steps"
        nesterov = "nesterov" if spec.nesterov else "none"
        told = {
            "optimizer": ("optim.name", spec.name),
            "learning rate": ("optim.learning_rate", spec.learning_rate),
            "schedule": ("optim.schedule", spec.schedule),
            "drops at": ("optim.schedule.boundaries", drops),
            "divided by": (
                "optim.schedule.decay_factor",
                round(1 / spec.decay_factor, 6),
            ),
            "iterations": (length, total if total < UNENDING else UNKNOWN),
            "warm-up": ("optim.warmup", spec.warmup_steps),
            "warm-up rate": ("optim.warmup.learning_rate", spec.warmup_rate),
            "warm-up kind": ("optim.warmup", spec.warmup),
            "momentum": ("optim.momentum", spec.momentum),
            "momentum dialect": ("optim.dialect", spec.dialect),
            "dampening": ("optim.dampening", spec.dampening),
            "Nesterov": ("optim.nesterov", nesterov),
            "weight decay": ("optim.weight_decay", spec.weight_decay),
            "decayed parameters": ("optim.decay", DECAYED[optim.decay]),
        }
        return {name: Resolved(*pair) for name, pair in told.items()}

    def _rest(self) -> Values:
        config, norm, train = self.config, self.config.model.norm, self.config.train
        group: int | str = norm_group(config, devices=1) or part_size(config)
        if norm and norm.group == "device":
            group = "of a device"
        told = {
            "initialisation": ("model.init", config.model.init),
            "BatchNorm group": ("model.norm.group", group),
            "running statistics": (
                "model.norm.dialect",
                norm.dialect if norm else "none",
            ),
            "weight of those inside": (
                "model.auxiliary_loss.weight",
                relay_weight(config),
            ),
            "label smoothing": ("train.label_smoothing", train.label_smoothing),
            "parameter average": ("train.ema", train.ema),
            "arithmetic": ("train.dtype", train.dtype),
        }
        return {name: Resolved(*pair) for name, pair in told.items()}


# Quantities that are fields of a family, or of its units, as they are.
FAMILY = {
    "depth": "depth",
    "width": "width",
    "variant": "variant",
    "size": "size",
    "growth rate": "growth",
    "compression": "compression",
    "links": "connectivity",
    "levels of the pyramid": "levels",
}
UNIT = {
    "kernels": "kernels",
    "order": "order",
    "shortcut": "shortcut",
    "join": "join",
    "gate bias": "join.bias",
    "dropout of the shortcut": "join.rate",
    "reduction of the gate": "gate.reduction",
}


def _bare(spec: NetSpec) -> NetSpec:
    """The spec without what changes no shape, so that rows share their counts."""
    norm = spec.layers.norm and LayersSpec().norm
    layers = {"norm": norm, "init": InitSpec(), "dtype": "float32"}
    fields = {"survival": 1.0, "depth_mode": "scan", "dropout": 0.0, "relays": ()}
    bare = dataclasses.replace(spec.layers, **layers)
    return replaced_where_known(spec, {**fields, "layers": bare})


@functools.cache
def _counted(spec: NetSpec, image: tuple[int, ...]) -> tuple[complexity.Parts, int]:
    return complexity.counts(spec.build(), image)


def _at(tree: Value, path: str) -> Value:
    """The value at a dotted path, the word of a member; None where there is none."""
    for name in path.split("."):
        tree = tree.get(name) if isinstance(tree, dict) else None
    return tree["name"] if isinstance(tree, dict) else tree


def first_branch(spec: ResNetSpec) -> Branch:
    """The branch of the first unit, without a pre-activation inside it."""
    (first, *_) = *spec.firsts, spec.unit
    return getattr(first.branch, "branch", first.branch)


def _word(branch: Branch, chosen: str) -> str:
    """The word of a branch of convolutions, which may have come with the depth."""
    known = {"auto", "basic", "bottleneck", "single", "min"}
    return BRANCHES.get(_kernels(branch) or (), chosen) if chosen in known else chosen


def _kernels(branch: Branch) -> tuple[int, ...] | None:
    return getattr(branch, "kernels", None)


def _groups(branch: B) -> dict[str, tuple[str, Value]]:
    """C and D of a bottleneck CxDd, which may have come with the depth."""
    place, groups = "model.unit.branch", branch.cardinality
    width = branch.inner * 256 / groups
    return {
        "groups": (f"{place}.cardinality", groups),
        "width of a group": (f"{place}.group_width", width),
    }


def _noise(unit) -> dict[str, tuple[str, Value]]:
    """Noise of a unit that has a place for it, and its rate: 0 where there is none."""
    if hasattr(unit, "dropout"):
        place, word = "model.unit.dropout", "dropout" if unit.dropout else "none"
        return {"noise": (place, word), "dropout": (place, unit.dropout)}
    if not hasattr(unit, "noise"):
        return {}
    place, noise = "model.unit.noise", unit.noise
    if noise is None:
        return {"noise": (place, "none"), "dropout": (place, 0.0)}
    return {"noise": (place, noise.name), "dropout": (f"{place}.rate", noise.rate)}


def _pool(spec: ResNetSpec) -> str:
    return "3x3, stride 2, padding 1" if spec.stem.pool else "none"


def _augmentation(spec: AugmentSpec, crop: crops.CropSpec) -> str:
    """Operations on a training image, in their order."""
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
