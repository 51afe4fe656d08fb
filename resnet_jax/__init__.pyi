# The public names: where each is defined, and in `__all__` what it is for.

from resnet_jax.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    UserError,
)
from resnet_jax.interop.weights import from_torch, to_torch
from resnet_jax.models.complexity import Count, count
from resnet_jax.models.features import features
from resnet_jax.models.layers.activations import (
    Elu,
    LeakyRelu,
    PRelu,
    Relu,
    RRelu,
)
from resnet_jax.models.layers.batchnorm import NormSpec
from resnet_jax.models.layers.initializers import InitSpec
from resnet_jax.models.layers.layers import LayersSpec
from resnet_jax.models.nets.densenet import DenseNetSpec
from resnet_jax.models.nets.plain import PlainSpec
from resnet_jax.models.nets.resnet import ResNetSpec
from resnet_jax.models.nets.rkcnn import RKCNNSpec
from resnet_jax.models.summary import Summary, summary
from resnet_jax.models.units.branch import (
    BASIC,
    BOTTLENECK,
    BOTTLENECK_3X3,
    SINGLE,
    B,
)
from resnet_jax.models.units.gate import SE
from resnet_jax.models.units.unit import (
    FULL_PRE,
    NORM_AFTER_ADDITION,
    ORIGINAL,
    PYRAMID,
    RELU_BEFORE_ADDITION,
    RELU_ONLY_PRE,
    Order,
    UnitSpec,
)
from resnet_jax.models.zoo.densenets import (
    densenet,
    densenet_clips,
    densenet_imagenet,
    hardnet,
    threshnet,
)
from resnet_jax.models.zoo.ghostnets import gghost, ghostnet, regnetx
from resnet_jax.models.zoo.plain_nets import (
    all_cnn,
    nin,
    places2,
    prelu_large,
    prelu_small,
    spp_net,
    vgg,
)
from resnet_jax.models.zoo.resnets import (
    cifar_resnet,
    imagenet_resnet,
    plain,
    wide_resnet,
)
from resnet_jax.models.zoo.resnets_3d import resnet_3d, small_resnet_3d
from resnet_jax.models.zoo.steps_and_grids import (
    mgic_net,
    min_densenet,
    min_net,
    rk_resnet,
    rkcnn,
)
from resnet_jax.models.zoo.xceptions import xception
from resnet_jax.paths import replaced
from resnet_jax.prune.channels import pruned
from resnet_jax.prune.slimming import slimmed
from resnet_jax.train.loaded import LoadedRun, load

__version__: str

__all__ = [  # noqa: RUF022
    # The papers' networks, from their numbers to a spec, which `build()` makes a net:
    # residual ones,
    "cifar_resnet",
    "imagenet_resnet",
    "wide_resnet",
    "plain",
    "rk_resnet",
    "mgic_net",
    "min_net",
    "rkcnn",
    "ghostnet",
    "regnetx",
    "gghost",
    "xception",
    # those for clips,
    "resnet_3d",
    "small_resnet_3d",
    "densenet_clips",
    # those that concatenate,
    "densenet",
    "densenet_imagenet",
    "min_densenet",
    "hardnet",
    "threshnet",
    # and those without units.
    "all_cnn",
    "nin",
    "places2",
    "prelu_large",
    "prelu_small",
    "spp_net",
    "vgg",
    # A net looked at: its cost, its layers, its maps.
    "count",
    "summary",
    "features",
    # smaller ones from trained ones,
    "slimmed",
    "pruned",
    # A trained net, and the weights of released ones.
    "load",
    "from_torch",
    "to_torch",
    # What an ablation changes: `dataclasses.replace` for a field of a spec, `replaced`
    # for one further inside, and the values of the slots of the equation,
    "replaced",
    "UnitSpec",
    "B",
    "BASIC",
    "BOTTLENECK",
    "BOTTLENECK_3X3",
    "SINGLE",
    "Order",
    "ORIGINAL",
    "NORM_AFTER_ADDITION",
    "RELU_BEFORE_ADDITION",
    "RELU_ONLY_PRE",
    "FULL_PRE",
    "PYRAMID",
    "SE",
    # and of the options of all layers.
    "LayersSpec",
    "NormSpec",
    "InitSpec",
    "Relu",
    "LeakyRelu",
    "PRelu",
    "RRelu",
    "Elu",
    # Classes of what the functions above return, for annotations and own nets.
    "ResNetSpec",
    "DenseNetSpec",
    "RKCNNSpec",
    "PlainSpec",
    "Count",
    "Summary",
    "LoadedRun",
    # Errors that a user can cause: all are a UserError, and one line.
    "UserError",
    "ConfigError",
    "DataError",
    "CheckpointError",
    "__version__",
]
