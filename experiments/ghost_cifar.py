"""Ghost modules in VGG-16 and ResNet-56 on CIFAR-10 (Han et al. 2020, Tables 3 to 5).

    python -m resnet_jax.sweep --config experiments/ghost_cifar.py

7.3 % test error for Ghost-ResNet-56 (438,154 parameters), 7.0 % for ResNet-56 (twice
as many); 6.3 % for Ghost-VGG-16, 6.4 % for VGG-16. Rows -d and -s vary the kernel and
the ratio of the modules in VGG-16. The paper's recipe for CIFAR is not known here; this
is the recipe of He et al. 2016a. The paper's 63M multiply-adds of Ghost-ResNet-56 leave
out the depthwise part; in VGG-16 the first convolution is replaced as well.
"""

from resnet_jax.config import configured
from resnet_jax.config.recipes import HE2016_CIFAR

BASE = HE2016_CIFAR
RESNET = {"model.depth": 56, "model.unit.shortcut": "A"}
VGG = {"model.name": "vgg", "model.depth": 16, "model.size": "cifar"}


def ghost(ratio=2, kernel=3):
    return {"model.operator": {"name": "ghost", "ratio": ratio, "kernel": kernel}}


NETS = {
    "ResNet-56": RESNET,
    "Ghost-ResNet-56": RESNET | ghost(),
    "VGG-16": VGG,
    "Ghost-VGG-16": VGG | ghost(),
}
KERNELS = {f"Ghost-VGG-16-d{d}": VGG | ghost(kernel=d) for d in (1, 5, 7)}
RATIOS = {f"Ghost-VGG-16-s{s}": VGG | ghost(ratio=s) for s in (3, 4, 5)}
ROWS = NETS | KERNELS | RATIOS
SEEDS = (0,)
PAPER = {
    **{row: f"han2020/T5/{row}" for row in NETS},
    **{row: f"han2020/T3/d={row[-1]}" for row in KERNELS},
    **{row: f"han2020/T4/s={row[-1]}" for row in RATIOS},
}
DEVIATIONS = {}


def get_config(row="Ghost-ResNet-56"):
    return configured(BASE, ROWS, row)
