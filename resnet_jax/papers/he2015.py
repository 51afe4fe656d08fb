"""He et al. 2015, "Delving Deep into Rectifiers", Tables 1, 2, 4, 5, 6 and 7.

One run a model. The 14-layer model is model E of He & Sun 2015; A, B and C are the
19- and 22-layer models of Table 3. All errors on ImageNet, 1,000 classes.
"""

from functools import partial

from resnet_jax.papers.value import Slope, Value

TEN_VIEW = "ImageNet val, 10-view, shorter side 256, 224 crops"
MULTI_SCALE = "ImageNet val, dense multi-scale, single model"

_LAYERS = (
    ("conv1", 0.681, 0.596),
    ("conv2_1", 0.103, 0.321),
    ("conv2_2", 0.099, 0.204),
    ("conv2_3", 0.228, 0.294),
    ("conv2_4", 0.561, 0.464),
    ("conv3_1", 0.126, 0.196),
    ("conv3_2", 0.089, 0.152),
    ("conv3_3", 0.124, 0.145),
    ("conv3_4", 0.062, 0.124),
    ("conv3_5", 0.008, 0.134),
    ("conv3_6", 0.210, 0.198),
    ("fc1", 0.063, 0.074),
    ("fc2", 0.031, 0.075),
)
SLOPES = tuple(Slope(layer=name, shared=s, channel=c) for name, s, c in _LAYERS)
# The cells of Table 2 whose nets have these slopes, in the order of their layers
SLOPES_OF = {
    "he2015/T2/PReLU channel-shared": tuple(slope.shared for slope in SLOPES),
    "he2015/T2/PReLU channel-wise": tuple(slope.channel for slope in SLOPES),
}

_T2 = partial(Value, paper="he2015", table="T2", protocol=TEN_VIEW)
_TEXT = partial(Value, paper="he2015", table="text", protocol=TEN_VIEW)
_T5 = partial(Value, paper="he2015", table="T5", protocol=TEN_VIEW)
_T6 = partial(Value, paper="he2015", table="T6", protocol=MULTI_SCALE)
_T7 = partial(
    Value,
    paper="he2015",
    table="T7",
    protocol="ImageNet test server, top-5, ensemble",
)
_QUOTED = {"origin": "quoted"}


def _dense(scale, *, relu, prelu):
    """The two cells of a row of Table 4: model A with ReLU and with PReLU."""
    cell = partial(
        Value,
        paper="he2015",
        table="T4",
        row=scale,
        protocol=f"ImageNet val, dense, {scale}",
    )
    return (
        cell(column="ReLU", top1_err=relu[0], top5_err=relu[1]),
        cell(column="PReLU", top1_err=prelu[0], top5_err=prelu[1]),
    )


T2 = (
    _T2(row="ReLU", top1_err=33.82, top5_err=13.34),
    _T2(row="PReLU channel-shared", top1_err=32.71, top5_err=12.87),
    _T2(row="PReLU channel-wise", top1_err=32.64, top5_err=12.75),
)

# Printed in the running text: the 14-layer net under both initialisers, and the
# 30-layer net, which never starts to converge with Xavier's.
INITIALISERS = (
    _TEXT(row="14 layers", column="Xavier", top1_err=33.90, top5_err=13.44),
    _TEXT(row="14 layers", column="He", top1_err=33.82, top5_err=13.34),
    _TEXT(row="30 layers", column="He", top1_err=38.56, top5_err=16.59),
)

T4 = (
    *_dense("scale 256", relu=(26.25, 8.25), prelu=(25.81, 8.08)),
    *_dense("scale 384", relu=(24.77, 7.26), prelu=(24.20, 7.03)),
    *_dense("scale 480", relu=(25.46, 7.63), prelu=(24.83, 7.39)),
    *_dense("multi-scale", relu=(24.02, 6.51), prelu=(22.97, 6.28)),
)

T5 = (
    _T5(row="MSRA 2014", top1_err=29.68, top5_err=10.95, **_QUOTED),
    _T5(row="VGG-16", top1_err=28.07, top5_err=9.33, **_QUOTED),
    _T5(row="GoogLeNet", top5_err=9.15, **_QUOTED),
    _T5(row="A ReLU", top1_err=26.48, top5_err=8.59),
    _T5(row="A PReLU", top1_err=25.59, top5_err=8.23),
    _T5(row="B PReLU", top1_err=25.53, top5_err=8.13),
    _T5(row="C PReLU", top1_err=24.27, top5_err=7.38),
)

T6 = (
    _T6(row="A ReLU", top1_err=24.02, top5_err=6.51),
    _T6(row="A PReLU", top1_err=22.97, top5_err=6.28),
    _T6(row="B PReLU", top1_err=22.85, top5_err=6.27),
    _T6(row="C PReLU", top1_err=21.59, top5_err=5.71),
)

T7 = (
    _T7(row="SPP-net", top5_err=8.06, **_QUOTED),
    _T7(row="VGG 2014", top5_err=7.32, **_QUOTED),
    _T7(row="GoogLeNet", top5_err=6.66, **_QUOTED),
    _T7(row="VGG v5", top5_err=6.8, **_QUOTED),
    _T7(row="Baidu", top5_err=5.98, **_QUOTED),
    _T7(row="PReLU-nets", top5_err=4.94, note="six models, one of them C"),
)

VALUES = (*T2, *INITIALISERS, *T4, *T5, *T6, *T7)
