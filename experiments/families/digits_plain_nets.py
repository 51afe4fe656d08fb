"""Plain nets on handwritten digits: means, fully connected layers, pyramids, strides.

    python -m resnet_jax.sweep --config experiments/families/digits_plain_nets.py

NIN, the forms of All-CNN, and a VGG of 7 layers with three ends, at a quarter of their
widths and with norms, so that all of them train in the same short time. Not a figure of
any paper.
"""

from resnet_jax.config import configured
from resnet_jax.recipes import DIGITS

BASE = DIGITS | {"model.width": 0.25}


def all_cnn(variant):
    return {"model.name": "all_cnn", "model.size": "digits", "model.variant": variant}


def vgg(**fields):
    words = {f"model.{name}": value for name, value in fields.items()}
    return {"model.name": "vgg", "model.size": "digits", "model.depth": 7} | words


ROWS = {
    "NIN": {"model.name": "nin"},
    "C": all_cnn("C"),
    "Strided-C": all_cnn("Strided-C"),
    "ConvPool-C": all_cnn("ConvPool-C"),
    "All-CNN-C": all_cnn("All-CNN-C"),
    "VGG-7": vgg(variant="fc"),
    "VGG-7-mean": vgg(variant="mean"),
    "VGG-7-SPP": vgg(variant="fc", levels=(2, 1)),
}
SEEDS = (0, 1, 2)
PAPER = {}


def get_config(row="All-CNN-C"):
    return configured(BASE, ROWS, row)
