"""Name rules of torchvision's networks (torchvision.models)."""

from resnet_jax.interop.rules import FLATTENED, Rule
from resnet_jax.models.layers.layers import LayersSpec
from resnet_jax.models.nets.plain import BiasedConv, Conv, MaxPool, PlainSpec
from resnet_jax.models.zoo.plain_nets import vgg
from resnet_jax.paths import replaced

RESNET = (
    Rule("stem_conv", "conv1"),
    Rule("norm_stem", "bn1"),
    Rule("stage{s}/{u}/branch/conv{i}", "layer{s}.{u}.conv{i}"),
    Rule("stage{s}/{u}/branch/norm_{i}", "layer{s}.{u}.bn{i}"),
    Rule("stage{s}/{u}/shortcut_conv", "layer{s}.{u}.downsample.0"),
    Rule("stage{s}/{u}/norm_shortcut", "layer{s}.{u}.downsample.1"),
    Rule("head", "fc"),
)

DENSE_LAYER = "features.denseblock{b}.denselayer{l}"
DENSENET = (
    Rule("stem_conv", "features.conv0"),
    Rule("norm_stem", "features.norm0"),
    Rule("block{b}/layer{l}/norm_before", f"{DENSE_LAYER}.norm1"),
    Rule("block{b}/layer{l}/branch/conv1", f"{DENSE_LAYER}.conv1"),
    Rule("block{b}/layer{l}/branch/norm_1", f"{DENSE_LAYER}.norm2"),
    Rule("block{b}/layer{l}/branch/conv2", f"{DENSE_LAYER}.conv2"),
    Rule("block{b}/transition/norm_before", "features.transition{b}.norm"),
    Rule("block{b}/transition/branch/conv1", "features.transition{b}.conv"),
    Rule("norm_head", "features.norm5"),
    Rule("head", "classifier"),
)
# Names in the released files, which torchvision translates as it reads them
DENSENET_RELEASED = ((r"(denselayer\d+\.(?:norm|conv))\.([12]\.)", r"\1\2"),)

REGNET_BLOCK = "trunk_output.block{s}.block{s}-{u}"
REGNETX = (
    Rule("stem_conv", "stem.0"),
    Rule("norm_stem", "stem.1"),
    Rule("stage{s}/{u}/branch/conv1", f"{REGNET_BLOCK}.f.a.0"),
    Rule("stage{s}/{u}/branch/norm_1", f"{REGNET_BLOCK}.f.a.1"),
    Rule("stage{s}/{u}/branch/conv2", f"{REGNET_BLOCK}.f.b.0"),
    Rule("stage{s}/{u}/branch/norm_2", f"{REGNET_BLOCK}.f.b.1"),
    Rule("stage{s}/{u}/branch/conv3", f"{REGNET_BLOCK}.f.c.0"),
    Rule("stage{s}/{u}/branch/norm_3", f"{REGNET_BLOCK}.f.c.1"),
    Rule("stage{s}/{u}/shortcut_conv", f"{REGNET_BLOCK}.proj.0"),
    Rule("stage{s}/{u}/norm_shortcut", f"{REGNET_BLOCK}.proj.1"),
    Rule("head", "fc"),
)


def vgg_rules(depth: int, *, normed: bool) -> tuple[Rule, ...]:
    """Rules of a VGG net, whose layers PyTorch counts with rectifiers and pools."""
    index, conv, rules = 0, 0, []
    for record in vgg(depth).records:
        if isinstance(record, MaxPool):
            index += 1
        elif isinstance(record, Conv):
            conv += 1
            norm = f"features.{index + 1 if normed else index}"  # else its bias alone
            rules += [Rule(f"conv{conv}", f"features.{index}")]
            rules += [Rule(f"norm_{conv}", norm)]
            index += 3 if normed else 2
    return (
        *rules,
        Rule("fc1", "classifier.0", FLATTENED),
        Rule("fc2", "classifier.3"),
        Rule("head", "classifier.6"),
    )


def vgg_bn(depth: int) -> PlainSpec:
    """VGG net for 224x224 images with norms, and biases of the convolutions as well."""
    spec = vgg(depth)
    records = tuple(
        BiasedConv(record.features) if isinstance(record, Conv) else record
        for record in spec.records
    )
    return replaced(spec, {"records": records, "layers": LayersSpec()})
