"""Layers in plain NumPy, float64, over any number of spatial axes, and of groups.

Beside `reference.py`, which has the residual nets over two axes.
"""

import itertools

import numpy as np
from reference import Place


def conv(x, kernel, *, stride=1, groups=1, pad=None):
    """Cross-correlation of [b *hw c] with [*k c/groups d], zero-padded."""
    *size, _, d = kernel.shape
    rank = len(size)
    strides = (stride,) * rank if isinstance(stride, int) else stride
    pads = [(k - 1) // 2 if pad is None else pad for k in size]
    out = [
        (n + 2 * p - k) // s + 1
        for n, p, k, s in zip(x.shape[1:-1], pads, size, strides, strict=True)
    ]
    x = np.pad(x, [(0, 0), *((p, p) for p in pads), (0, 0)])
    y = np.zeros((len(x), *out, groups, d // groups))
    taps = kernel.reshape(*size, -1, groups, d // groups)
    for tap in itertools.product(*map(range, size)):
        seen = tuple(
            slice(t, t + (n - 1) * s + 1, s)
            for t, n, s in zip(tap, out, strides, strict=True)
        )
        view = x[(slice(None), *seen)]
        view = view.reshape(*view.shape[:-1], groups, -1)
        y += np.einsum("...gc,cgd->...gd", view, taps[tap])
    return y.reshape(*y.shape[:-2], d)


def norm(x, at: Place, *, train, epsilon=1e-5):
    """Ioffe & Szegedy 2015; running statistics as Torch's, momentum 0.1."""
    mean, var = at.stats["mean"], at.stats["var"]
    if train:
        axes, n = tuple(range(x.ndim - 1)), x[..., 0].size
        of_batch = x.mean(axes)
        batch_var = ((x - of_batch) ** 2).mean(axes)
        mean[...] = 0.9 * mean + 0.1 * of_batch
        var[...] = 0.9 * var + 0.1 * batch_var * n / (n - 1)
        mean, var = of_batch, batch_var
    return (x - mean) / np.sqrt(var + epsilon) * at.params["scale"] + at.params["bias"]


def relu(x):
    return np.maximum(x, 0)


class At:
    """The layers of one place, by name, in one mode."""

    def __init__(self, place: Place, *, train):
        self.place, self.train = place, train

    def __getitem__(self, name):
        return At(self.place[name], train=self.train)

    def unit(self, k):
        return At(self.place.unit(k), train=self.train)

    def conv(self, x, name, **window):
        return conv(x, self.place[name].params["kernel"], **window)

    def norm(self, x, name):
        return norm(x, self.place[f"norm_{name}"], train=self.train)

    def norm_relu(self, x, name):
        return relu(self.norm(x, name))

    def dense(self, x, name):
        at = self.place[name].params
        return x @ at["kernel"] + at["bias"]


def at(variables, *, train):
    return At(Place(variables["params"], variables["batch_stats"]), train=train)


def mean(x):
    """Over all spatial axes: [b c]."""
    return x.mean(tuple(range(1, x.ndim - 1)))


def mean_pool(x, window):
    """Over windows that do not overlap, as many as fit."""
    for axis in range(1, x.ndim - 1):
        n = x.shape[axis] // window
        x = np.take(x, range(n * window), axis)
        shape = (*x.shape[:axis], n, window, *x.shape[axis + 1 :])
        x = x.reshape(shape).mean(axis + 1)
    return x


def zero_pad(x, features):
    zeros = np.zeros((*x.shape[:-1], features - x.shape[-1]))
    return np.concatenate([x, zeros], axis=-1)
