"""He et al. 2015, "Delving Deep into Rectifiers", Tables 1, 2, 4, 5, 6 and 7.

One run per model. The 14-layer model is model E of He & Sun 2015; A, B and C are the
19- and 22-layer models of Table 3. All errors on ImageNet, 1,000 classes.
"""

from functools import partial

from resnet_jax.papers.value import Slope, Table

TEN_VIEW = "ImageNet val, 10-view, shorter side 256, 224 crops"
MULTI_SCALE = "ImageNet val, dense multi-scale, single model"
ENSEMBLE = "ImageNet test server, top-5, ensemble"

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
# Learned slopes by key of Table 2, in the order of the layers
SLOPES_OF = {
    "he2015/T2/PReLU channel-shared": tuple(slope.shared for slope in SLOPES),
    "he2015/T2/PReLU channel-wise": tuple(slope.channel for slope in SLOPES),
}

_table = partial(Table, paper="he2015")
T2 = _table(table="T2", protocol=TEN_VIEW, views="10crop").cells(
    ("ReLU", 33.82, 13.34),
    ("PReLU channel-shared", 32.71, 12.87),
    ("PReLU channel-wise", 32.64, 12.75),
)

# Printed in the running text: the 14-layer net under both initialisers, and the
# 30-layer net, which does not converge with Xavier's.
_TEXT = _table(table="text", protocol=TEN_VIEW, views="10crop")
INITIALISERS = (
    _TEXT.cell("14 layers", 33.90, 13.44, column="Xavier"),
    _TEXT.cell("14 layers", 33.82, 13.34, column="He"),
    _TEXT.cell("30 layers", 38.56, 16.59, column="He"),
)

# Model A with both rectifiers, by the sizes of the test images
_T4 = (
    ("scale 256", "ReLU", 26.25, 8.25),
    ("scale 256", "PReLU", 25.81, 8.08),
    ("scale 384", "ReLU", 24.77, 7.26),
    ("scale 384", "PReLU", 24.20, 7.03),
    ("scale 480", "ReLU", 25.46, 7.63),
    ("scale 480", "PReLU", 24.83, 7.39),
    ("multi-scale", "ReLU", 24.02, 6.51),
    ("multi-scale", "PReLU", 22.97, 6.28),
)
T4 = tuple(
    _table(
        table="T4", column=act, protocol=f"ImageNet val, dense, {scale}", views="other"
    ).cell(scale, top1, top5)
    for scale, act, top1, top5 in _T4
)

_T5 = _table(table="T5", protocol=TEN_VIEW, views="10crop")
T5 = (
    *_T5.quoted.cells(
        ("MSRA 2014", 29.68, 10.95),
        ("VGG-16", 28.07, 9.33),
        ("GoogLeNet", None, 9.15),
    ),
    *_T5.cells(
        ("A ReLU", 26.48, 8.59),
        ("A PReLU", 25.59, 8.23),
        ("B PReLU", 25.53, 8.13),
        ("C PReLU", 24.27, 7.38),
    ),
)

T6 = _table(table="T6", protocol=MULTI_SCALE, views="other").cells(
    ("A ReLU", 24.02, 6.51),
    ("A PReLU", 22.97, 6.28),
    ("B PReLU", 22.85, 6.27),
    ("C PReLU", 21.59, 5.71),
)

_T7 = _table(table="T7", protocol=ENSEMBLE, views="ensemble")
T7 = (
    *_T7.quoted.cells(
        ("SPP-net", None, 8.06),
        ("VGG 2014", None, 7.32),
        ("GoogLeNet", None, 6.66),
        ("VGG v5", None, 6.8),
        ("Baidu", None, 5.98),
    ),
    _T7.cell("PReLU-nets", None, 4.94, note="six models, one of them C"),
)

VALUES = (*T2, *INITIALISERS, *T4, *T5, *T6, *T7)
