"""Weights and images drawn by name, in NumPy, so that none need to be stored.

Shared by make_torch.py (PyTorch) and the tests (JAX).
"""

import math

import numpy as np
from layout import digest, generator

PERIOD = 2**23  # numbers after which a large array repeats itself, to save time

__all__ = ["digest", "images", "weights"]


def weights(net: str, shapes: dict[str, list[int]]) -> dict[str, np.ndarray]:
    """Array of every name, float64; norms vary by channel, as trained ones do."""
    return {
        name: _array(generator(f"{net}/{name}"), name, tuple(shape))
        for name, shape in shapes.items()
    }


def _array(rng: np.random.Generator, name: str, shape: tuple) -> np.ndarray:
    leaf = name.rpartition(".")[2]
    if leaf == "running_var" or (leaf == "weight" and len(shape) == 1):
        return rng.uniform(0.5, 1.5, shape)
    size = math.prod(shape)
    drawn = np.resize(rng.normal(size=min(size, PERIOD)), shape)
    if leaf == "weight":  # a kernel [out in *k]
        return drawn * np.sqrt(1 / np.prod(shape[1:]))
    return 0.1 * drawn


def images(net: str, shape: list[int]) -> np.ndarray:
    """An image [1 h w c], or a clip [1 t h w c]."""
    return generator(f"{net}/image").normal(size=(1, *shape))
