"""Published numbers, networks and training recipes, by key; sources and certainties.

Networks without a value are keyed by their place (`he2016a/Fig6/plain-20`) or their
name (`zhu2022/RKCNN-E-5_5_5`). Their counts are exact and derived from the papers'
tables and released code: convolutions without bias, BatchNorm with scale and offset,
the last layer with bias; biases everywhere in nets without norms. A paper rounds them;
its own figure is in the source. A recipe maps quantities to facts, in the words of a
config.
"""

import difflib

from resnet_jax.errors import ConfigError
from resnet_jax.papers import (
    cifar_nets,
    gruening2021,
    han2020,
    hara2018,
    he2015,
    he2016a,
    he2016b,
    huang2017,
    imagenet_nets,
    plain_nets,
    plain_recipes,
    pruning,
    rastegari2016,
    recipes,
    shen2016,
    steps_and_grids,
    successors,
    wide,
    xceptions,
)
from resnet_jax.papers.facts import Facts, said
from resnet_jax.papers.value import CERTAINTY, PAPERS, Slope, Value
from resnet_jax.paths import did_you_mean

__all__ = [
    "CERTAINTY", "NETWORKS", "PAPERS", "RECIPES", "RECTIFIERS", "SLOPES", "TABLES",
    "VALUES", "Slope", "Value", "network", "recipe", "slopes", "value",
]  # fmt: skip

SLOPES = he2015.SLOPES
TABLES = (
    he2015, he2016a, he2016b, successors, wide, huang2017, plain_nets, han2020,
    rastegari2016, gruening2021, hara2018, shen2016, xceptions, pruning,
)  # fmt: skip
_NETWORKS = (
    cifar_nets, imagenet_nets, wide, huang2017, plain_nets, han2020, rastegari2016,
    gruening2021, steps_and_grids, hara2018, shen2016, xceptions, pruning,
)  # fmt: skip
_RECIPES = (
    recipes, wide, huang2017, plain_recipes, han2020, rastegari2016, gruening2021,
    steps_and_grids, hara2018, shen2016, xceptions,
)  # fmt: skip
VALUES = {cell.key: cell for table in TABLES for cell in table.VALUES}
NETWORKS: dict[str, Facts] = {k: v for m in _NETWORKS for k, v in m.NETWORKS.items()}
RECIPES: dict[str, Facts] = {k: v for m in _RECIPES for k, v in m.RECIPES.items()}

# Initial slope of the negative part, by rectifier.
_PRELU = said("He et al. 2015, Sec. 2.1", {"slope": 0.25})
RECTIFIERS: dict[str, Facts] = {
    "prelu": _PRELU,
    "prelu_shared": _PRELU,
    "leaky_relu": said("Maas et al. 2013", {"slope": 0.01}, certainty="known"),
}


def value(key: str) -> Value:
    """Published value of a key such as `he2016a/T6/ResNet-110`."""
    if key in VALUES:
        return VALUES[key]
    near = difflib.get_close_matches(key, VALUES, n=3, cutoff=0.4)
    hint = " or ".join(repr(name) for name in near) or f"one of {len(VALUES)} keys"
    raise ConfigError(f"PAPER={key!r}: no such published value; did you mean {hint}?")


def network(key: str) -> Facts:
    """Facts of the network of a key such as `he2016a/T6/ResNet-110`."""
    if key in NETWORKS:
        return NETWORKS[key]
    near = did_you_mean(str(key), list(NETWORKS))
    raise ConfigError(f"NETWORK={key!r}: no such published net{near}")


def recipe(key: str) -> Facts:
    """Recipe of a key such as `he2016a/cifar`."""
    if key in RECIPES:
        return RECIPES[key]
    raise ConfigError(
        f"RECIPE={key!r}: no such published recipe; there are {', '.join(RECIPES)}"
        f"{did_you_mean(str(key), list(RECIPES))}"
    )


def slopes(key: str) -> tuple[float, ...]:
    """Learned slopes of a published net, layer by layer; () if not published."""
    return he2015.SLOPES_OF.get(key, ())
