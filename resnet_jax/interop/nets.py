"""Released networks by name: the one table that code, tests and docs read."""

from resnet_jax.errors import ConfigError
from resnet_jax.interop import timm, torchvision
from resnet_jax.interop.net import BICUBIC, CLIPS, Fields, Net
from resnet_jax.models.units.branch import B
from resnet_jax.paths import did_you_mean


def _resnet(depth: int, groups: int = 1, width: int = 64) -> Fields:
    """Fields of a ResNet with `groups` groups of `width` channels in the template.

    Bottlenecks subsample in the 3x3.
    """
    net = {"model.name": "imagenet_resnet", "model.depth": depth}
    if depth < 50:
        return net
    branch = {"cardinality": groups, "group_width": float(width), "stride_at": "3x3"}
    return {**net, "model.unit.branch": {"name": "bottleneck", **branch}}


def _clips(depth: int, shortcut: str, groups: int = 1, width: int = 64) -> Net:
    own = {"model.name": "resnet_3d", "model.unit.shortcut": shortcut}
    return Net(torchvision.RESNET, {**_resnet(depth, groups, width), **own}, CLIPS)


RESNETS = {
    "resnet18": _resnet(18),
    "resnet34": _resnet(34),
    "resnet50": _resnet(50),
    "resnet101": _resnet(101),
    "resnet152": _resnet(152),
    "wide_resnet50_2": _resnet(50, 1, 128),
    "wide_resnet101_2": _resnet(101, 1, 128),
    "resnext50_32x4d": _resnet(50, 32, 4),
    "resnext101_32x8d": _resnet(101, 32, 8),
    "resnext101_64x4d": _resnet(101, 64, 4),
}
SE: Fields = {"model.unit.gate": {"name": "se", "reduction": 16}}
SE_RESNETS = {
    f"se{name}": {**fields, **SE}
    for name, fields in {
        "resnet50": _resnet(50),
        "resnet101": _resnet(101),
        "resnet152": _resnet(152),
        "resnext50_32x4d": _resnet(50, 32, 4),
        "resnext101_32x4d": _resnet(101, 32, 4),
        "resnext101_32x8d": _resnet(101, 32, 8),
        "resnext101_64x4d": _resnet(101, 64, 4),
    }.items()
}
RESNEXT = B((1, 3, 1), inner=1 / 2, cardinality=32, stride_at=1)  # 32x4d
LEGACY = {
    **{f"seresnet{depth}": timm.legacy(depth) for depth in (18, 34, 50, 101, 152)},
    "seresnext50_32x4d": timm.legacy(50, RESNEXT),
    "seresnext101_32x4d": timm.legacy(101, RESNEXT),
}
REGNETS = {
    "torchvision": {"3_2gf": "3.2GF", "8gf": "8.0GF", "16gf": "16GF"},
    "timm": {"032": "3.2GF", "040": "4.0GF", "080": "8.0GF", "160": "16GF"},
}


def _regnetx(variant: str) -> Fields:
    return {"model.name": "regnetx", "model.variant": variant}


def _vgg(depth: int) -> Fields:
    return {"model.name": "vgg", "model.depth": depth, "model.norm": None}


# LIBRARY/NET, as in `torchvision.models`, timm's registry, and the file names of
# kenshohara/3D-ResNets-PyTorch: its first release has shortcuts of type A at 18 and 34
# layers, its second (r3d) of type B.
NETS: dict[str, Net] = {
    **{
        f"torchvision/{name}": Net(torchvision.RESNET, fields)
        for name, fields in RESNETS.items()
    },
    **{
        f"torchvision/vgg{depth}": Net(
            torchvision.vgg_rules(depth, normed=False), _vgg(depth)
        )
        for depth in (11, 13, 16, 19)
    },
    **{
        f"torchvision/vgg{depth}_bn": Net(
            torchvision.vgg_rules(depth, normed=True), torchvision.vgg_bn(depth)
        )
        for depth in (11, 13, 16, 19)
    },
    **{
        f"torchvision/densenet{depth}": Net(
            torchvision.DENSENET,
            {"model.name": "densenet_imagenet", "model.depth": depth},
            renamed=torchvision.DENSENET_RELEASED,
        )
        for depth in (121, 161, 169, 201)
    },
    **{
        f"torchvision/regnet_x_{name}": Net(torchvision.REGNETX, _regnetx(variant))
        for name, variant in REGNETS["torchvision"].items()
    },
    **{
        f"timm/regnetx_{name}": Net(timm.REGNETX, _regnetx(variant), BICUBIC)
        for name, variant in REGNETS["timm"].items()
    },
    **{
        f"timm/{name}": Net(timm.SE_RESNET, fields, BICUBIC)
        for name, fields in SE_RESNETS.items()
    },
    **{f"timm/legacy_{name}": Net(timm.LEGACY, spec) for name, spec in LEGACY.items()},
    **{
        f"timm/ghostnet_{round(100 * width):03d}": Net(
            timm.GHOSTNET, {"model.name": "ghostnet", "model.width": width}, BICUBIC
        )
        for width in (0.5, 1.0, 1.3)
    },
    **{
        f"kenshohara/resnet-{depth}": _clips(depth, "A" if depth < 50 else "B")
        for depth in (18, 34, 50, 101, 152, 200)
    },
    **{f"kenshohara/r3d{depth}": _clips(depth, "B") for depth in (18, 34)},
    "kenshohara/wideresnet-50": _clips(50, "B", 1, 128),
    "kenshohara/resnext-101": _clips(101, "B", 32, 4),
}


def lookup(name: str) -> Net:
    """Released network of a name; ConfigError with a close one where there is none."""
    if name not in NETS:
        hint = did_you_mean(name, [*NETS]) or f"; known are {', '.join(NETS)}"
        raise ConfigError(f"net={name!r}: is not covered{hint}")
    return NETS[name]
