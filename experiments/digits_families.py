"""Every family at small size on handwritten digits, beside a pre-activation net.

    python -m resnet_jax.sweep --config experiments/digits_families.py

One recipe for all, made for PreAct-20: a row shows that its family trains and what it
costs, no more; the papers' sizes and schedules are in files named after them. The 3D
rows see clips of a moving digit (8 frames of 16x16), made of the same digits in the
same split. Not a table of any paper.
"""

from resnet_jax.config import configured
from resnet_jax.config.recipes import DIGITS

BASE = DIGITS | {"model.depth": 20, "train.epochs": 12.0, "train.eval_every": 67}


def net(name, **fields):
    return {"model.name": name} | {f"model.{key}": v for key, v in fields.items()}


def unit(**fields):
    return {f"model.unit.{key}": v for key, v in fields.items()}


def preact(**fields):
    return unit(order="full_pre", shortcut="A") | unit(**fields)


def wide(**fields):
    return net("wide_resnet", depth=10, width=2.0) | preact(**fields)


def dense(order="full_pre", **fields):
    links = net("densenet", depth=16, growth=8, **fields)
    return links | unit(order=order)


def step(**fields):
    return net("rk_resnet", depth=14) | preact(**fields)


def rkcnn(depth, variant):
    return net("rkcnn", depth=depth, width=0.25, variant=variant)


def small_vgg(**fields):
    return net("vgg", size="digits", depth=7, width=0.25, **fields)


def clips(depth, **fields):
    small = net("small_resnet_3d", depth=depth, width=0.5) | unit(shortcut="A")
    return small | unit(**fields) | {"data.name": "moving_digits"}


BC = {"model.unit.branch": "bottleneck", "model.compression": 0.5}
GROUPS = {"name": "bottleneck", "cardinality": 4, "group_width": 32.0}
MULTIGRID = {"name": "multigrid", "group": 8, "coarsest": 8}
DROP_BLOCK = {"name": "drop_block", "rate": 0.1, "block": 3}

ROWS = {
    "PreAct-20": preact(),
    "ResNet-20-A": {"model.unit.shortcut": "A"},
    "PreAct-20-PReLU": preact() | {"model.act": "prelu"},
    "WRN-10-2": wide(),
    "WRN-10-2-dropout": wide(noise="dropout"),
    "WRN-10-2-DropBlock": wide(noise=DROP_BLOCK),
    "ResNeXt-20-4x32d": preact(branch=GROUPS | {"stride_at": "3x3"}),
    "SE-PreAct-20": preact(gate={"name": "se", "reduction": 8}),
    "PreAct-20-stochastic-depth": preact(
        stochastic_depth={"name": "drop", "survival_prob": 0.8}
    ),
    "PreAct-20-ShakeDrop": preact(stochastic_depth="shake_drop"),
    "Shake-Shake-20": preact(num_branches=2),
    "PreAct-20-relays": preact()
    | {"model.auxiliary_loss": {"name": "relay", "stages": ((1, 1), (2, 1), (3, 2))}},
    "Ghost-ResNet-20": {"model.operator": "ghost", "model.unit.shortcut": "A"},
    "G-Ghost-ResNet-20": {"model.ghost_share": 0.5, "model.unit.shortcut": "A"},
    "GhostNet-0.5x": net("ghostnet", size="digits", width=0.5),
    "Min-Net-20": net("min_net", depth=20)
    | unit(order="pyramid", shortcut="avgpool-A"),
    "MGIC-18": net("mgic_net", depth=18, width=0.25) | unit(branch=MULTIGRID),
    "Euler-14": step(tableau="euler"),
    "RK4-14": step(tableau="rk4"),
    "RKCNN-E": rkcnn(32, "E"),
    "RKCNN-I": rkcnn(62, "I"),
    "BWN-20": preact() | {"model.operator": "binary"},
    "XNOR-20": preact() | {"model.operator": "xnor", "model.act": "none"},
    "DenseNet-16": dense(),
    "DenseNet-BC-16": dense() | BC,
    "harmonic-16": dense(order="original", connectivity="harmonic"),
    "threshold-16": dense(connectivity="threshold"),
    "NIN": net("nin", width=0.25),
    "All-CNN-C": net("all_cnn", size="digits", variant="All-CNN-C", width=0.25),
    "VGG-7": small_vgg(variant="fc"),
    "VGG-7-SPP": small_vgg(variant="fc", levels=(2, 1)),
    "VGG-7-SPP-multi-size": small_vgg(variant="fc", levels=(2, 1))
    | {"data.sizes": (8, 10)},
    "3D-ResNet-8-A": clips(8),
    "3D-PreAct-8": clips(8, order="full_pre"),
    "3D-ResNeXt-11": clips(11, shortcut="B", branch=GROUPS),
}
SEEDS = (0, 1, 2)
PAPER = {}


def get_config(row="PreAct-20"):
    return configured(BASE, ROWS, row)
