"""Network slimming: channels whose BatchNorm scale is small are cut (Liu et al. 2017).

Training with `optim.scale_l1` pushes scales to zero (Eq. 1). All scales of a network
are ranked together, and the channels of the smallest ones leave it (Sec. 3.2): with
them the filters that make them and the weights that read them. What the shift of a
channel gave to the next layer is dropped, as in the released code, and not moved into
its bias. Where the norm is of a map that must stay whole, in front of a pre-activation
unit, it stays too, and the layer behind it reads the channels that are kept (Sec. 3.3).
"""

import math
from collections.abc import Mapping

import numpy as np

from resnet_jax.errors import ConfigError
from resnet_jax.models.nets.plain import PlainSpec
from resnet_jax.models.nets.spec import NetSpec
from resnet_jax.paths import Tree
from resnet_jax.prune import places
from resnet_jax.prune.place import Masks, at
from resnet_jax.prune.separate import NO_RULE, Variables


def slimmed(
    spec: NetSpec, variables: Variables, *, share: float, cap: float = 1.0
) -> tuple[NetSpec, Variables]:
    """A network without the channels of the smallest scales: (spec, variables).

    `spec` and `variables` are those of a trained network and are not changed. `share`
    of all channels behind a norm is cut, of no layer more than `cap` (the paper has 0.5
    where it slims in several passes). ConfigError where a layer would lose all of its
    channels, and for networks that no rule is known for.
    """
    spec, variables = prepared(spec, variables)
    ranked = scales(spec, variables)
    return places.cut(spec, variables, kept(ranked, share=share, cap=cap))


def layers(masks: Masks) -> list[Tree]:
    """A record of each layer that is ranked: the inputs that it keeps."""
    return [
        {"name": f"{reader}:input", "kept": int(mask.sum()), "channels": len(mask)}
        for reader, mask in masks.items()
    ]


def prepared(spec: NetSpec, variables: Variables) -> tuple[NetSpec, Variables]:
    """The same network in the form that is cut; ConfigError if there is no rule."""
    if spec.layers.norm is None:
        raise ConfigError("model.norm: slimming ranks the scales of BatchNorm")
    spec, variables = places.prepared(spec, variables)
    found = [*places.places(spec)]
    for place in found:
        if place.norm is None and not place.writers:
            raise ConfigError(
                f"{place.reader}: reads a map without a norm of its own; slimming "
                "knows plain nets and pre-activation units (model.unit.order=full_pre)"
            )
    if not isinstance(spec, PlainSpec) and found[-1].reader != "head":
        raise ConfigError(f"head: {NO_RULE}; slimming knows a mean and one layer")
    return spec, variables


def scales(spec: NetSpec, variables: Variables) -> dict[str, np.ndarray]:
    """|scale| of every channel that is read, by the path of the layer that reads it.

    Channels without a norm, of some plain nets, are not ranked, and not cut.
    """
    found = {}
    for place in places.places(spec):
        if place.norm is not None:
            scale = np.abs(at(variables["params"], place.norm)["scale"])
            read = slice(None) if place.channels is None else [*place.channels]
            found[place.reader] = scale[read]
    return found


def kept(found: Mapping[str, np.ndarray], *, share: float, cap: float = 1.0) -> Masks:
    """The channels that stay: those above the percentile, and the largest of a layer.

    Of n channels the smallest floor(share n) are cut, as in the Torch release, with all
    that equal the last of them; of no layer more than floor(cap of its channels).
    """
    if not 0 < share < 1 or not 0 < cap <= 1:
        raise ConfigError(f"share={share}, cap={cap}: must be above 0, share below 1")
    every = np.sort(np.concatenate([*found.values()]))
    number = math.floor(len(every) * share)
    threshold = every[number - 1] if number else -np.inf
    masks = {}
    for reader, scale in found.items():
        stays = scale > threshold
        least = len(scale) - math.floor(cap * len(scale))
        if stays.sum() < least:
            stays = np.zeros(len(scale), bool)
            stays[np.argsort(scale, kind="stable")[len(scale) - least :]] = True
        if not stays.any():
            raise ConfigError(
                f"share={share}: would leave {reader} without inputs; a share of "
                f"{_largest(found):.4f} does not"
            )
        masks[reader] = stays
    return masks


def _largest(found: Mapping[str, np.ndarray]) -> float:
    """The largest share, rounded down to 4 digits, that empties no layer."""
    every = np.concatenate([*found.values()])
    below = (every < min(scale.max() for scale in found.values())).sum()
    return math.floor(1e4 * below / len(every)) / 1e4
