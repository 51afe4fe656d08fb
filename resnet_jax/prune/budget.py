"""How many channels of each layer stay, so that a network has a given speed-up."""

import math
from collections.abc import Iterable, Mapping, Sequence

from resnet_jax.errors import ConfigError
from resnet_jax.models.nets.spec import NetSpec
from resnet_jax.models.summary import summary
from resnet_jax.prune.place import Place

Ratios = Sequence[tuple[str, float]]  # by name of a layer or of what it is in


def name(place: Place) -> str:
    """The layer whose outputs are cut; LAYER:input, where it reads some of a map."""
    return place.writers[0] if place.writers else f"{place.reader}:input"


def widths(
    spec: NetSpec,
    image_shape: tuple[int, ...],
    places: Mapping[Place, int],
    *,
    speedup: float,
    ratios: Ratios = (),
) -> dict[Place, int]:
    """Channels that stay at each place, of `places`, its channels today.

    Every place keeps the same share of its channels, times the ratio of the last name
    in `ratios` that it is in (He et al. 2017, Sec. 4.1.2); a ratio of 0 keeps all. The
    share is the largest one that leaves at most 1 / speedup of the multiply-adds.
    ConfigError where no share does, and for names that are no layer's.
    """
    ratio = {place: _ratio(place, ratios) for place in places}
    _check_names(ratios, places)
    macs = {r.name: r.multiply_adds for r in summary(spec, image_shape).layers}
    total = sum(macs.values())

    def kept(share: float) -> dict[Place, int]:
        return {
            place: min(channels, max(1, round(share * ratio[place] * channels)))
            if ratio[place]
            else channels
            for place, channels in places.items()
        }

    def left(share: float) -> float:
        return total_of(macs, places, kept(share))

    if left(0.0) > total / speedup:
        raise ConfigError(
            f"speedup={speedup}: cannot be reached; with one channel in each layer that"
            f" may be cut it is {math.floor(100 * total / left(0.0)) / 100}"
        )
    # Half a channel of the widest layer is far more than 2**-40 of it.
    low, high = 0.0, 1 / min((r for r in ratio.values() if r), default=1.0)
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if left(middle) <= total / speedup else (low, middle)
    return kept(low)


def total_of(
    macs: Mapping[str, int], places: Mapping[Place, int], kept: Mapping[Place, int]
) -> float:
    """Multiply-adds with those channels, of layers that have `macs` with all."""
    share = dict.fromkeys(macs, 1.0)
    for place, channels in places.items():
        for layer in (place.reader, *place.inside):
            if layer in share:
                share[layer] *= kept[place] / channels
    return sum(macs[layer] * share[layer] for layer in macs)


def _inside(place: Place, prefix: str) -> bool:
    return name(place) == prefix or name(place).startswith((f"{prefix}/", f"{prefix}:"))


def _ratio(place: Place, ratios: Ratios) -> float:
    return ([1.0] + [ratio for prefix, ratio in ratios if _inside(place, prefix)])[-1]


def _check_names(ratios: Ratios, places: Iterable[Place]) -> None:
    for prefix, _ in ratios:
        if not any(_inside(place, prefix) for place in places):
            known = ", ".join(name(place) for place in places)
            raise ConfigError(
                f"ratios: {prefix!r} is no layer that may be cut; there are {known}"
            )
