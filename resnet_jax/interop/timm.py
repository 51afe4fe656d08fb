"""Name rules of timm's networks (timm.models)."""

from resnet_jax.interop.rules import KERNEL, POINTWISE, Rule
from resnet_jax.interop.torchvision import RESNET
from resnet_jax.models.nets.resnet import ResNetSpec
from resnet_jax.models.nets.stem_head import CaffeStem
from resnet_jax.models.units.branch import Branch
from resnet_jax.models.units.gate import SE
from resnet_jax.models.units.unit import ORIGINAL, Order
from resnet_jax.models.zoo.resnets import imagenet_resnet
from resnet_jax.paths import replaced

SE_RESNET = (
    *RESNET,
    Rule("stage{s}/{u}/squeeze", "layer{s}.{u}.se.fc1", POINTWISE),
    Rule("stage{s}/{u}/excite", "layer{s}.{u}.se.fc2", POINTWISE),
)

# Nets of the released Caffe models of Hu et al. 2018
LEGACY = (
    Rule("stem_conv", "layer0.conv1"),
    Rule("norm_stem", "layer0.bn1"),
    *(rule for rule in RESNET if rule.ours.startswith("stage")),
    Rule("stage{s}/{u}/squeeze", "layer{s}.{u}.se_module.fc1", POINTWISE),
    Rule("stage{s}/{u}/excite", "layer{s}.{u}.se_module.fc2", POINTWISE),
    Rule("head", "last_linear"),
)

REGNETX = (
    Rule("stem_conv", "stem.conv"),
    Rule("norm_stem", "stem.bn"),
    Rule("stage{s}/{u}/branch/conv{i}", "s{s}.b{u+1}.conv{i}.conv"),
    Rule("stage{s}/{u}/branch/norm_{i}", "s{s}.b{u+1}.conv{i}.bn"),
    Rule("stage{s}/{u}/shortcut_conv", "s{s}.b{u+1}.downsample.conv"),
    Rule("stage{s}/{u}/norm_shortcut", "s{s}.b{u+1}.downsample.bn"),
    Rule("head", "head.fc"),
)

RECTIFIED = Order(end=("norm", "act"), after=("act",))
# Layers of a Ghost bottleneck
GHOST_BOTTLENECK = {
    "branch/conv1": "ghost1.primary_conv.0",
    "branch/norm_1": "ghost1.primary_conv.1",
    "branch/cheap_conv1": "ghost1.cheap_operation.0",
    "branch/norm_cheap_1": "ghost1.cheap_operation.1",
    "branch/conv_depthwise": "conv_dw",
    "branch/norm_depthwise": "bn_dw",
    "branch/squeeze": "se.conv_reduce",
    "branch/excite": "se.conv_expand",
    "branch/conv2": "ghost2.primary_conv.0",
    "branch/norm_2": "ghost2.primary_conv.1",
    "branch/cheap_conv2": "ghost2.cheap_operation.0",
    "branch/norm_cheap_2": "ghost2.cheap_operation.1",
    "shortcut_depthwise_conv": "shortcut.0",
    "norm_shortcut_depthwise": "shortcut.1",
    "shortcut_conv": "shortcut.2",
    "norm_shortcut": "shortcut.3",
}


def legacy(depth: int, branch: Branch | None = None) -> ResNetSpec:
    """SE-ResNet, or SE-ResNeXt, as timm has it.

    With basic units the gate is behind a rectifier, which the paper does not have.
    """
    order = RECTIFIED if depth < 50 else ORIGINAL
    spec = imagenet_resnet(depth, branch=branch, gate=SE(), order=order)
    return replaced(spec, {"stem": CaffeStem(kernel=7, strides=2, pool=(3, 2))})


BLOCKS = (1, 1, 1, 1, 1, 1, 5, 1, 4)  # Ghost bottlenecks in each of timm's blocks
PLACES = [f"{block}.{i}" for block, count in enumerate(BLOCKS) for i in range(count)]

GHOSTNET = (
    Rule("stem_conv", "conv_stem"),
    Rule("norm_stem", "bn1"),
    *(
        Rule(f"stage{stage}/0/{ours}", f"blocks.{place}.{theirs}", kernel)
        for stage, place in enumerate(PLACES, 1)
        for ours, theirs in GHOST_BOTTLENECK.items()
        for kernel in [POINTWISE if ".conv_" in theirs else KERNEL]
    ),
    Rule("pool_conv", f"blocks.{len(BLOCKS)}.0.conv"),
    Rule("norm_pool", f"blocks.{len(BLOCKS)}.0.bn1"),
    Rule("fc1", "conv_head", POINTWISE),
    Rule("head", "classifier"),
)
