"""Wide residual networks on CIFAR-10 (Zagoruyko & Komodakis 2016, Tables 2, 3, 5, 6).

    python -m resnet_jax.main --config experiments/wide_resnet.py:WRN-28-10

Median of 5 runs: 4.00 % test error for WRN-28-10 (Table 5, mean and std). Rows B-... of
Table 2 (B-131 is B(1,3,1)) and l-... of Table 3 were trained on ZCA-whitened images in
the paper, not here. Depth counts the stem, the branches and three projections, as the
paper does; but its labels 40 and 22 of B(1,3,1), B(3,1,1) and B(3,1,3) count units of
two convolutions.
"""

from resnet_jax.config import configured
from resnet_jax.config.recipes import WRN_CIFAR

BASE = WRN_CIFAR


def wrn(depth, width, **kernels):
    return {"model.depth": depth, "model.width": float(width)} | kernels


def kernels(depth, *sizes):
    return wrn(depth, 2) | {"model.unit.kernels": sizes}


ROWS = {
    "WRN-28-10": wrn(28, 10),
    "WRN-16-8": wrn(16, 8),
    "WRN-40-4": wrn(40, 4),
    "WRN-52-1": wrn(52, 1),
    "B-131": kernels(58, 1, 3, 1),
    "B-31": kernels(40, 3, 1),
    "B-13": kernels(40, 1, 3),
    "B-311": kernels(58, 3, 1, 1),
    "B-33": kernels(28, 3, 3),
    "B-313": kernels(31, 3, 1, 3),
    "l-1": kernels(40, 3),
    "l-2": kernels(40, 3, 3),
    "l-3": kernels(40, 3, 3, 3),
    "l-4": kernels(40, 3, 3, 3, 3),
}
SEEDS = (0, 1, 2, 3, 4)
PAPER = {
    "WRN-28-10": "zagoruyko2016/T5/WRN-28-10/CIFAR-10",
    "WRN-16-8": "zagoruyko2016/T5/WRN-16-8/CIFAR-10",
    "WRN-40-4": "zagoruyko2016/T5/WRN-40-4/CIFAR-10",
    "WRN-52-1": "zagoruyko2016/T6/WRN-52-1 without/CIFAR-10",
    **{
        row: f"zagoruyko2016/T2/B({','.join(row.removeprefix('B-'))})"
        for row in ROWS
        if row.startswith("B-")
    },
    **{f"l-{n}": f"zagoruyko2016/T3/l={n}" for n in (1, 2, 3, 4)},
}
RECIPE = "zagoruyko2016/cifar"
DEVIATIONS = {}


def get_config(row="WRN-28-10"):
    return configured(BASE, ROWS, row)
