"""What may stand on the shortcut: ResNet-110 on CIFAR-10 (He et al. 2016b, Table 1).

    python -m resnet_jax.main --config experiments/shortcuts.py:1x1-conv

The variant is applied to all residual units, ReLU after the addition. Recipe as in
cifar_preact.py. Medians of 5 runs; the paper calls more than 20 % error a failure, and
reports the best gate bias of 0, -1, ... -10 by cross-validation on the training set.
"""

from resnet_jax.config import configured
from resnet_jax.config.recipes import HE2016_CIFAR, HE2016_DEVIATIONS, HE2016_WARMUP

BASE = (
    HE2016_CIFAR
    | HE2016_WARMUP
    | {
        "model.depth": 110,
        "model.unit.branch": "basic",
        "model.unit.shortcut": "A",
    }
)


def _scaled(shortcut, branch):
    scales = {"name": "scaled", "shortcut": shortcut, "branch": branch}
    return {"model.unit.join": scales}


def _gated(gates, bias):
    return {"model.unit.join": {"name": f"{gates}_gating", "bias": bias}}


ROWS = {
    "original": {},
    "scaling-0-1": _scaled(0.0, 1.0),
    "scaling-0.5-1": _scaled(0.5, 1.0),
    "scaling-0.5-0.5": _scaled(0.5, 0.5),
    "exclusive-gating-b0": _gated("exclusive", 0.0),
    "exclusive-gating-b-6": _gated("exclusive", -6.0),
    "exclusive-gating-b-7": _gated("exclusive", -7.0),
    "shortcut-gating-b0": _gated("shortcut_only", 0.0),
    "shortcut-gating-b-6": _gated("shortcut_only", -6.0),
    "1x1-conv": {"model.unit.shortcut": "C"},
    "dropout": {"model.unit.join": "dropout", "model.unit.join.rate": 0.5},
}
SEEDS = (0, 1, 2, 3, 4)
PAPER = {
    "original": "he2016b/T1/original",
    "scaling-0-1": "he2016b/T1/constant scaling 0, 1",
    "scaling-0.5-1": "he2016b/T1/constant scaling 0.5, 1",
    "scaling-0.5-0.5": "he2016b/T1/constant scaling 0.5, 0.5",
    "exclusive-gating-b0": "he2016b/T1/exclusive gating/bias 0 to -5",
    "exclusive-gating-b-6": "he2016b/T1/exclusive gating/bias -6",
    "exclusive-gating-b-7": "he2016b/T1/exclusive gating/bias -7",
    "shortcut-gating-b0": "he2016b/T1/shortcut-only gating/bias 0",
    "shortcut-gating-b-6": "he2016b/T1/shortcut-only gating/bias -6",
    "1x1-conv": "he2016b/T1/1x1 conv shortcut",
    "dropout": "he2016b/T1/dropout shortcut",
}
RECIPE = "he2016b/cifar"
DEVIATIONS = HE2016_DEVIATIONS | {
    "model.unit.join": {
        "*-gating-*": "gates see the resized shortcut, and their weights are drawn as "
        "all others; the paper does not say",
    },
    "model.unit.shortcut": {
        "1x1-conv": "the convolutions end with a BatchNorm; the paper does not say",
    },
}


def get_config(row="original"):
    return configured(BASE, ROWS, row)
