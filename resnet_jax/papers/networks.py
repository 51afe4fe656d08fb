"""Facts of the papers' networks, by the keys of their values.

Nets without a value are keyed by their place (`he2016a/Fig6/plain-20`) or their name
(`zhu2022/RKCNN-E-5_5_5`). Counts are exact and derived from the papers' tables
and released code: convolutions without bias, BatchNorm with scale and offset, the last
layer with bias; biases everywhere in nets without norms. A paper rounds them; its own
figure is in the source.
"""

from resnet_jax.errors import ConfigError
from resnet_jax.papers import (
    cifar_nets,
    gruening2021,
    han2020,
    hara2018,
    huang2017,
    imagenet_nets,
    plain_nets,
    rastegari2016,
    shen2016,
    steps_and_grids,
    wide,
)
from resnet_jax.papers.facts import Facts, said
from resnet_jax.paths import did_you_mean

NETWORKS: dict[str, Facts] = {
    **cifar_nets.NETWORKS,
    **imagenet_nets.NETWORKS,
    **wide.NETWORKS,
    **huang2017.NETWORKS,
    **plain_nets.NETWORKS,
    **han2020.NETWORKS,
    **rastegari2016.NETWORKS,
    **gruening2021.NETWORKS,
    **steps_and_grids.NETWORKS,
    **hara2018.NETWORKS,
    **shen2016.NETWORKS,
}

# Initial slope of the negative part, by rectifier.
_PRELU = said("He et al. 2015, Sec. 2.1", {"slope": 0.25})
RECTIFIERS: dict[str, Facts] = {
    "prelu": _PRELU,
    "prelu_shared": _PRELU,
    "leaky_relu": said("Maas et al. 2013", {"slope": 0.01}, certainty="known"),
}


def network(key: str) -> Facts:
    """Facts of the net of a key such as `he2016a/T6/ResNet-110`."""
    if key in NETWORKS:
        return NETWORKS[key]
    near = did_you_mean(str(key), list(NETWORKS))
    raise ConfigError(f"NETWORK={key!r}: no such published net{near}")
