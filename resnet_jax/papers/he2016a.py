"""He et al. 2016a, "Deep Residual Learning for Image Recognition", Tables 2 to 6.

One run a model, except ResNet-110 on CIFAR-10: the best of 5.
"""

from functools import partial

from resnet_jax.papers.value import Value

TEN_CROP = "ImageNet val, 10-crop, shorter side 256"
MULTI_SCALE = "ImageNet val, fully convolutional, {224,256,384,480,640}, single model"
CIFAR = "CIFAR-10 test, one 32x32 view, trained on the whole training set"

_T2 = partial(Value, paper="he2016a", table="T2", protocol=TEN_CROP)
_T3 = partial(Value, paper="he2016a", table="T3", protocol=TEN_CROP)
_T4 = partial(Value, paper="he2016a", table="T4", protocol=MULTI_SCALE)
_T5 = partial(
    Value,
    paper="he2016a",
    table="T5",
    protocol="ImageNet test server, top-5, ensemble",
)
_T6 = partial(Value, paper="he2016a", table="T6", protocol=CIFAR)
_QUOTED = {"origin": "quoted"}

T2 = (
    _T2(row="plain-18", top1_err=27.94),
    _T2(row="plain-34", top1_err=28.54),
    _T2(row="ResNet-18 A", top1_err=27.88),
    _T2(row="ResNet-34 A", top1_err=25.03),
)

T3 = (
    _T3(row="VGG-16", top1_err=28.07, top5_err=9.33, **_QUOTED),
    _T3(row="GoogLeNet", top5_err=9.15, **_QUOTED),
    _T3(row="PReLU-net C", top1_err=24.27, top5_err=7.38, **_QUOTED),
    _T3(row="plain-34", top1_err=28.54, top5_err=10.02),
    _T3(row="ResNet-34 A", top1_err=25.03, top5_err=7.76),
    _T3(row="ResNet-34 B", top1_err=24.52, top5_err=7.46),
    _T3(row="ResNet-34 C", top1_err=24.19, top5_err=7.40),
    _T3(row="ResNet-50", top1_err=22.85, top5_err=6.71),
    _T3(row="ResNet-101", top1_err=21.75, top5_err=6.05),
    _T3(row="ResNet-152", top1_err=21.43, top5_err=5.71),
)

T4 = (
    _T4(row="VGG v5", top1_err=24.4, top5_err=7.1, **_QUOTED),
    _T4(row="PReLU-net C", top1_err=21.59, top5_err=5.71, **_QUOTED),
    _T4(row="BN-inception", top1_err=21.99, top5_err=5.81, **_QUOTED),
    _T4(row="ResNet-34 B", top1_err=21.84, top5_err=5.71),
    _T4(row="ResNet-34 C", top1_err=21.53, top5_err=5.60),
    _T4(row="ResNet-50", top1_err=20.74, top5_err=5.25),
    _T4(row="ResNet-101", top1_err=19.87, top5_err=4.60),
    _T4(row="ResNet-152", top1_err=19.38, top5_err=4.49),
)

T5 = (
    _T5(row="VGG 2014", top5_err=7.32, **_QUOTED),
    _T5(row="GoogLeNet", top5_err=6.66, **_QUOTED),
    _T5(row="VGG v5", top5_err=6.8, **_QUOTED),
    _T5(row="PReLU-nets", top5_err=4.94, **_QUOTED),
    _T5(row="BN-inception", top5_err=4.82, **_QUOTED),
    _T5(row="ResNets", top5_err=3.57, note="six nets, two of them ResNet-152"),
)

T6 = (
    _T6(row="Maxout", top1_err=9.38, **_QUOTED),
    _T6(row="NIN", top1_err=8.81, **_QUOTED),
    _T6(row="DSN", top1_err=8.22, **_QUOTED),
    _T6(row="FitNet-19", top1_err=8.39, params_m=2.5, **_QUOTED),
    _T6(
        row="Highway-19",
        top1_err=7.54,
        mean=7.72,
        std=0.16,
        params_m=2.3,
        statistic="best",
        runs=5,
        note="the number of its runs is not certain",
        **_QUOTED,
    ),
    _T6(row="Highway-32", top1_err=8.80, params_m=1.25, **_QUOTED),
    _T6(row="ResNet-20", top1_err=8.75, params_m=0.27),
    _T6(row="ResNet-32", top1_err=7.51, params_m=0.46),
    _T6(row="ResNet-44", top1_err=7.17, params_m=0.66),
    _T6(row="ResNet-56", top1_err=6.97, params_m=0.85),
    _T6(
        row="ResNet-110",
        top1_err=6.43,
        mean=6.61,
        std=0.16,
        params_m=1.7,
        statistic="best",
        runs=5,
    ),
    _T6(row="ResNet-1202", top1_err=7.93, params_m=19.4),
)

VALUES = (*T2, *T3, *T4, *T5, *T6)
