"""Values of a config's quantities, named as in `papers.facts`."""

import dataclasses
import functools
from typing import NamedTuple

from resnet_jax.analysis.audit_network import Quantities, network_quantities
from resnet_jax.config.datasets import Dataset, dataset, train_images
from resnet_jax.config.rules import norm_group, part_size, relay_weight, schedule_steps
from resnet_jax.config.schema import Config
from resnet_jax.data import crops
from resnet_jax.data.augment import erasing
from resnet_jax.data.augment.standard import AugmentSpec
from resnet_jax.data.preprocessing import augmentation
from resnet_jax.models import complexity
from resnet_jax.models.layers.initializers import InitSpec
from resnet_jax.models.layers.layers import LayersSpec
from resnet_jax.models.nets.spec import NetSpec
from resnet_jax.models.network import network
from resnet_jax.papers import facts
from resnet_jax.paths import Value, replaced_where_known
from resnet_jax.train.optim import optimizer

UNKNOWN = "unknown"
UNTIL_CUT = "known once its network is cut"
UNENDING = 10**12  # iterations of a run of unknown length
DECAYED = {"kernels": facts.KERNELS, "all": facts.ALL_BUT_SLOPES}


class Resolved(NamedTuple):
    """Value of a quantity, with the field of the config that decides it."""

    field: str
    value: Value


Values = dict[str, Resolved]


@dataclasses.dataclass(frozen=True)
class ConfigValues:
    """Resolver of a config's quantities, without opening its data."""

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
        """Shape [*frames h w c] of the network's input."""
        crop, shape = crops.preset(self.config.data.augment), self.data.image
        if crop.crop == "none":
            return shape
        return *shape[:-3], crop.size, crop.size, shape[-1]

    @functools.cached_property
    def net(self) -> NetSpec:
        classes = self.config.model.num_classes or self.data.classes
        return network(self.config, num_classes=classes, devices=1)

    def values(self) -> Values:
        """Resolve the quantities of network, data and training."""
        quantities = {
            **network_quantities(self.config.model, self.net),
            **self.counts(),
            **self._data(),
            **self._optim(),
            **self._rest(),
        }
        return {name: Resolved(*pair) for name, pair in quantities.items()}

    def counts(self) -> Quantities:
        """Count weighted layers, parameters and multiply-adds on shapes."""
        if self.config.train.prune:
            known = {"weighted layers": "model.depth", "parameters": "parameters"}
            known |= {"multiply-adds": "multiply-adds"}
            return {name: (field, UNTIL_CUT) for name, field in known.items()}
        parts, macs = _counted(_same_shapes(self.net), self.image)
        kinds = {
            "parameters": parts.params,
            "in convolutions": parts.conv,
            "in norms": parts.norm,
            "in rectifiers": parts.slopes,
            "in gates": parts.gates,
            "in the last layer": parts.fc,
            "multiply-adds": macs,
        }
        layers = {"weighted layers": ("model.depth", parts.weighted_layers)}
        return layers | {name: (name, count) for name, count in kinds.items()}

    def _data(self) -> Quantities:
        data = self.config.data
        spec, crop = augmentation(data), crops.preset(data.augment)
        view = "one view of " + "x".join(map(str, self.image[:-1]))
        if crop.crop != "none":
            view = f"centre crop of {crop.size}, shorter side {crop.eval_shorter}"
        return {
            "data set": ("data.name", data.name.partition(":")[0]),
            "training images": ("data.split", self.train_images or UNKNOWN),
            "test images": ("data.name", self.data.test or UNKNOWN),
            "batch": ("data.batch_size", data.batch_size),
            "augmentation": ("data.augment", _augmentation(spec, crop)),
            "training sizes": ("data.sizes", data.sizes or (self.image[-2],)),
            "normalisation": ("data.normalize", spec.normalize),
            "mixing": ("data.mix", data.mix.name if data.mix else "none"),
            "evaluation": ("evaluation", view),
            **_departures(spec),
        }

    def _optim(self) -> Quantities:
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
        factor = round(1 / spec.decay_factor, 6)
        return {
            "optimizer": ("optim.name", spec.name),
            "learning rate": ("optim.learning_rate", spec.learning_rate),
            "schedule": ("optim.schedule", spec.schedule),
            "drops at": ("optim.schedule.boundaries", drops),
            "divided by": ("optim.schedule.decay_factor", factor),
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

    def _rest(self) -> Quantities:
        config, norm, train = self.config, self.config.model.norm, self.config.train
        group: int | str = norm_group(config, devices=1) or part_size(config)
        if norm and norm.group == "device":
            group = "of a device"
        dialect, weight = norm.dialect if norm else "none", relay_weight(config)
        return {
            "initialisation": ("model.init", config.model.init),
            "BatchNorm group": ("model.norm.group", group),
            "running statistics": ("model.norm.dialect", dialect),
            "weight of those inside": ("model.auxiliary_loss.weight", weight),
            "label smoothing": ("train.label_smoothing", train.label_smoothing),
            "parameter average": ("train.ema", train.ema),
            "arithmetic": ("train.dtype", train.dtype),
        }


def _same_shapes(spec: NetSpec) -> NetSpec:
    """A spec of equal shapes with defaults elsewhere, so that rows share counts."""
    norm = spec.layers.norm and LayersSpec().norm
    layers = {"norm": norm, "init": InitSpec(), "dtype": "float32"}
    fields = {"survival": 1.0, "depth_mode": "scan", "dropout": 0.0, "relays": ()}
    bare = dataclasses.replace(spec.layers, **layers)
    return replaced_where_known(spec, {**fields, "layers": bare})


@functools.cache
def _counted(spec: NetSpec, image: tuple[int, ...]) -> tuple[complexity.Parts, int]:
    return complexity.counts(spec.build(), image)


def _augmentation(spec: AugmentSpec, crop: crops.CropSpec) -> str:
    """Names of the operations on a training image, in order."""
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
    if spec.policy:
        done.insert(0, spec.policy.name)
    if spec.cutout:
        done.append(f"cutout {spec.cutout}")
    if spec.erasing:
        done.append(f"random erasing {spec.erasing}")
    return ", ".join(done) or "none"


def _departures(spec: AugmentSpec) -> Quantities:
    """Known differences of policy and erasing from their authors' codes."""
    found = {"data.policy": spec.policy.departures} if spec.policy else {}
    if spec.erasing:
        found["data.erasing"] = erasing.DEPARTURES
    return (
        {"departures": (next(iter(found)), "; ".join(found.values()))} if found else {}
    )
