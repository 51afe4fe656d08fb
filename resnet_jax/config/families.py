"""Families of networks: from the words of `model` to a spec.

Every family names the fields that it reads; a field that is set beside them is refused,
so that no word of a config goes unheard.
"""

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

from resnet_jax.config.schema import ModelConfig
from resnet_jax.config.slots import (
    BRANCHES,
    ORDERS,
    branch,
    convolutions,
    noise,
    residual,
)
from resnet_jax.errors import ConfigError
from resnet_jax.models.layers.operators import Ghost
from resnet_jax.models.layers.pyramid import SPP
from resnet_jax.models.nets import densenet
from resnet_jax.models.nets.auxiliary_loss import Relay
from resnet_jax.models.units import runge_kutta
from resnet_jax.models.units.branch import SINGLE
from resnet_jax.models.zoo import densenets as dense
from resnet_jax.models.zoo import ghostnets as ghosts
from resnet_jax.models.zoo import plain_nets, resnets, steps_and_grids
from resnet_jax.models.zoo import resnets_3d as clips
from resnet_jax.paths import flat, replaced


@dataclasses.dataclass(frozen=True)
class Family:
    """make(model) -> spec, and the fields of `model` that it reads beside COMMON."""

    make: Callable[[ModelConfig], Any]
    reads: tuple[str, ...]


# Fields that hold for every network: they describe its layers, or how it is run.
COMMON = ("name", "num_classes", "act", "slope", "init", "depth_mode", "norm.")
COMMON += ("operator", "ghost_")
# Parts of any spec that has a place for them.
PARTS = {"levels": "head.pool", "relays": "relays"}
SIZED = ("depth", "width")
SLOTS = (
    "unit.order", "unit.shortcut", "unit.join", "unit.scales", "unit.gating_bias",
    "unit.dropout_rate", "unit.gate", "unit.se_reduction", "unit.se_place",
    "unit.survival", "unit.dropped",
)  # fmt: skip
NOISE = ("unit.noise", "unit.noise_rate", "unit.noise_block")
BRANCH = (
    *NOISE, "unit.arms", "unit.branch", "unit.stride_at", "unit.cardinality",
    "unit.group_width", "unit.mg_",
)  # fmt: skip


def network(model: ModelConfig) -> Any:
    """The spec of a model, but for its layers and its number of classes."""
    family, default = FAMILIES[model.name], flat(dataclasses.asdict(ModelConfig()))
    known = (*COMMON, *PARTS, *family.reads)
    for path, value in flat(dataclasses.asdict(model)).items():
        if value != default[path] and not path.startswith(known):
            raise _unheard(model, path, value)
    return _completed(family.make(model), model, reads=family.reads)


def _completed(spec, model, *, reads):
    """The spec with the parts that its family has not read but that it has a place for.

    So a pyramid takes the place of all that a head does ahead of its hidden layers.
    """
    parts = {
        "levels": model.levels and SPP(model.levels),
        "relays": tuple(itertools.starmap(Relay, model.relays)),
    }
    for name, place in PARTS.items():
        if not parts[name] or name in reads:
            continue
        if not hasattr(spec, place.partition(".")[0]):
            raise _unheard(model, name, getattr(model, name))
        spec = replaced(spec, {place: parts[name]})
    return spec


def _unheard(model, path, value):
    return ConfigError(
        f"model.{path}={value!r}: model.name={model.name!r} has no such part; "
        "leave it out"
    )


def of_depth(zoo_function: Callable[..., Any], default: str) -> Family:
    """Residual nets of a depth and a width, with any branch in their units."""

    def make(model):
        return residual(model, zoo_function, branch=branch(model, default))

    return Family(make, (*SIZED, *SLOTS, *BRANCH))


def of_imagenet(zoo_function: Callable[..., Any]) -> Family:
    """The same by the depths of Table 1 (He et al. 2016a), bottlenecks from 50 on."""

    def make(model):
        default = "basic" if model.depth < 50 else "bottleneck"
        return residual(model, zoo_function, branch=branch(model, default))

    return Family(make, (*SIZED, *SLOTS, *BRANCH))


def _wide_resnet(model):
    unit = model.unit
    return residual(model, resnets.wide_resnet, kernels=unit.kernels, noise=noise(unit))


def _rk_resnet(model):
    unit = model.unit
    name = "basic" if unit.branch == "auto" else unit.branch
    if name not in BRANCHES:
        raise ConfigError(
            f"model.unit.branch={name!r}: a Runge-Kutta step has one of "
            f"{', '.join(BRANCHES)}"
        )
    step = runge_kutta.RungeKutta(
        getattr(runge_kutta, unit.tableau.upper()),
        convolutions(unit, name),
        sweeps=unit.sweeps,
    )
    return residual(model, steps_and_grids.rk_resnet, branch=step)


def _rkcnn(model):
    clique = plain_nets.chosen("variant", model.variant, UPDATES)
    return steps_and_grids.rkcnn(model.depth, branch=clique, width=model.width)


# E: explicit. I, R: its slopes once more, one after the other, or all at once
UPDATES = {
    "E": runge_kutta.Clique(),
    "I": runge_kutta.Clique(update="in_place"),
    "R": runge_kutta.Clique(update="at_once"),
}


def _ghostnet(model):
    ghost = Ghost(model.ghost_ratio, model.ghost_kernel)
    return ghosts.ghostnet(model.width, ghost=ghost, images=model.size)


def _densenet(model):
    unit = model.unit
    layers = {"auto": SINGLE, "single": SINGLE, "bottleneck": dense.BOTTLENECK}
    every, harmonic = densenet.Dense(), densenet.Harmonic(1.7)
    links = {
        "dense": (every,) * 3,
        "harmonic": (harmonic,) * 3,
        "threshold": (every, every, harmonic),
    }
    return dense.densenet(
        model.depth,
        growth=model.growth or 12,
        branch=plain_nets.chosen("unit.branch", unit.branch, layers),
        compression=model.compression,
        dropout=_dropout(unit),
        links=links[model.links],
        order=ORDERS[unit.order],
        shortcut=unit.shortcut,
    )


def _densenet_imagenet(model):
    return dense.densenet_imagenet(
        model.depth,
        growth=model.growth,
        compression=model.compression,
        dropout=_dropout(model.unit),
        order=ORDERS[model.unit.order],
        shortcut=model.unit.shortcut,
    )


def _dropout(unit):
    """The rate behind every convolution."""
    if unit.noise not in ("none", "dropout"):
        raise ConfigError(f"model.unit.noise={unit.noise!r}: DenseNets have dropout")
    return unit.noise_rate if unit.noise == "dropout" else 0.0


def _vgg(model):
    fields = {"size": model.size, "levels": model.levels, "width": model.width}
    if model.variant:
        fields["variant"] = model.variant
    return plain_nets.vgg(model.depth, **fields)


def _all_cnn(model):
    return plain_nets.all_cnn(model.variant, size=model.size, width=model.width)


DENSE = ("depth", "growth", "compression", "unit.order", "unit.shortcut", *NOISE)
FAMILIES = {
    "cifar_resnet": of_depth(resnets.cifar_resnet, "basic"),
    "imagenet_resnet": of_imagenet(resnets.imagenet_resnet),
    "wide_resnet": Family(_wide_resnet, (*SIZED, *SLOTS, *NOISE, "unit.kernels")),
    "plain": Family(lambda model: residual(model, resnets.plain), (*SIZED, *SLOTS)),
    "resnet_3d": of_imagenet(clips.resnet_3d),
    "small_resnet_3d": of_depth(clips.small_resnet_3d, "basic"),
    "min_net": of_depth(steps_and_grids.min_net, "min"),
    "mgic_net": of_depth(steps_and_grids.mgic_net, "multigrid"),
    "rk_resnet": Family(
        _rk_resnet, (*SIZED, *SLOTS, *BRANCH, "unit.tableau", "unit.sweeps")
    ),
    "rkcnn": Family(_rkcnn, (*SIZED, "variant")),
    "ghostnet": Family(_ghostnet, ("width", "size")),
    "regnetx": Family(lambda model: ghosts.regnetx(model.variant), ("variant",)),
    "gghost": Family(lambda model: ghosts.gghost(model.variant), ("variant",)),
    "densenet": Family(_densenet, (*DENSE, "unit.branch", "links")),
    "densenet_imagenet": Family(_densenet_imagenet, DENSE),
    "hardnet": Family(lambda model: dense.hardnet(model.depth), ("depth",)),
    "threshnet": Family(lambda model: dense.threshnet(model.depth), ("depth",)),
    "nin": Family(lambda model: plain_nets.nin(width=model.width), ("width",)),
    "all_cnn": Family(_all_cnn, ("variant", "size", "width")),
    "vgg": Family(_vgg, (*SIZED, "size", "variant", "levels")),
    "prelu_small": Family(
        lambda model: plain_nets.prelu_small(model.depth, width=model.width), SIZED
    ),
    "prelu_large": Family(
        lambda model: plain_nets.prelu_large(model.variant, width=model.width),
        ("variant", "width"),
    ),
    "spp_net": Family(
        lambda model: plain_nets.spp_net(levels=model.levels, width=model.width),
        ("levels", "width"),
    ),
    "places2": Family(
        lambda model: plain_nets.places2(size=model.size, width=model.width),
        ("size", "width"),
    ),
}
