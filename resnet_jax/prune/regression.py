"""LASSO over the channels that a convolution reads, and least squares for its weights.

Samples are rows [x, y]: what a kernel saw at one place, x [channels places], and what
it should have given, y [n]. They come in chunks of any number, of which only the
triangle R of a QR decomposition is kept: it has the least squares of all rows.
"""

import math
import os
from typing import TypeAlias

import numpy as np
from jaxtyping import Float
from scipy import linalg
from sklearn.linear_model import lars_path_gram

Matrix: TypeAlias = np.ndarray  # of two axes
# Directions of inputs that are smaller than this share of the largest are the rounding
# of a network in float32: weights that rest on them would be arbitrary and huge.
ROUNDING = 1e-6
# Beside other work, a QR decomposition on all cores is 80 times slower.
THREADS = max(1, (os.cpu_count() or 1) // 2)
ROWS = 2048  # that are decomposed at once, at least: fewer are slow


class Samples:
    """Rows [1, x, y] of samples, as the triangle of their QR decomposition, float64."""

    def __init__(self, inputs: int):
        self.inputs = inputs  # length of x
        self.count = 0
        self._triangle: list[np.ndarray] = []
        self._waiting: list[np.ndarray] = []

    def add(
        self, x: Float[np.ndarray, "rows inputs"], y: Float[np.ndarray, "rows outputs"]
    ) -> None:
        """Add samples."""
        rows = np.concatenate([np.ones((len(x), 1)), x, y], axis=1, dtype=np.float64)
        self.count += len(rows)
        self._waiting.append(rows)
        if sum(map(len, self._waiting)) >= max(ROWS, rows.shape[1]):
            self._decompose()

    @property
    def triangle(self) -> Matrix:
        """R, of as many rows as a sample has numbers."""
        if self._waiting:
            self._decompose()
        return self._triangle[0]

    def parts(self, *, shifted: bool) -> tuple[Matrix, Matrix]:
        """(A, B) so that |A w - B| is the error of weights w.

        `shifted`: with the best offset for each output.
        """
        rows, split = self.triangle[int(shifted) :], 1 + self.inputs
        return rows[:, 1:split], rows[:, split:]

    def _decompose(self) -> None:
        rows = np.concatenate([*self._triangle, *self._waiting])
        self._triangle, self._waiting = [np.linalg.qr(rows, mode="r")], []


def selected(
    samples: Samples,
    kernel: Float[np.ndarray, "places c n"],
    keep: int,
    *,
    shifted: bool,
) -> np.ndarray:
    """Mask of the channels that the LASSO keeps (He et al. 2017, Eq. 2, step i).

    min 1/2 |Y - sum_i beta_i X_i W_i|^2 + lambda |beta|_1, W as it is: lambda grows
    from 0 until at most `keep` of the betas are left. Channels that give nothing are
    never chosen by the LASSO; where it has fewer than `keep`, the first ones join.
    """
    a, b = samples.parts(shifted=shifted)
    places, channels, _ = kernel.shape
    # Gram matrix of the X_i W_i, and their products with Y
    w = kernel.reshape(places * channels, -1)
    gram = (a.T @ a) * (w @ w.T)
    gram = gram.reshape(places, channels, places, channels).sum((0, 2))
    products = ((a.T @ b) * w).sum(1).reshape(places, channels).sum(0)
    mask = np.zeros(channels, bool)
    mask[lasso_support(gram, products, keep, rows=samples.count)] = True
    mask[np.flatnonzero(~mask)[: keep - mask.sum()]] = True
    return mask


def lasso_support(
    gram: Matrix, products: Float[np.ndarray, " c"], keep: int, *, rows: int
) -> np.ndarray:
    """Indices of the betas that are left when, with growing lambda, at most `keep` are.

    `gram` and `products` are Z^T Z and Z^T y of a design Z with that many rows.
    """
    living = np.flatnonzero(np.diag(gram) > 1e-12 * np.diag(gram).max(initial=0))
    if not len(living):
        return living
    _, _, path = lars_path_gram(
        products[living], gram[np.ix_(living, living)], n_samples=rows,
        method="lasso", alpha_min=0, copy_X=True,
    )  # fmt: skip
    counts = (path != 0).sum(0)
    knot = np.flatnonzero(counts <= keep)[-1]  # lambda falls along the path
    return living[path[:, knot] != 0]


def reconstructed(
    samples: Samples, mask: np.ndarray, shape: tuple[int, int, int], *, shifted: bool
) -> tuple[Float[np.ndarray, "places c n"], Float[np.ndarray, " n"]]:
    """Kernel that reads the channels of a mask, and offset, by least squares (step ii).

    Where the samples leave some directions open, the smallest weights.
    """
    a, b = samples.parts(shifted=shifted)
    places, channels, outputs = shape
    inside = np.tile(mask, places)
    found, *_ = linalg.lstsq(a[:, inside], b, cond=ROUNDING)
    kernel = np.zeros((places * channels, outputs))
    kernel[inside] = found
    offset = np.zeros(outputs)
    if shifted:
        row = samples.triangle[0]
        x, y = row[1 : 1 + samples.inputs], row[1 + samples.inputs :]
        offset = (y - x @ kernel) / row[0]
    return kernel.reshape(shape), offset


def relative_error(
    samples: Samples,
    kernel: Float[np.ndarray, "places c n"],
    offset: Float[np.ndarray, " n"],
) -> float:
    """Root of |Y - X W - offset|^2 / |Y - mean|^2 over the samples."""
    split = 1 + samples.inputs
    x, y = samples.triangle[:, 1:split], samples.triangle[:, split:]
    ones = samples.triangle[:, :1]
    left = y - x @ kernel.reshape(-1, kernel.shape[-1]) - ones * offset
    spread = math.sqrt(np.square(y[1:]).sum())
    return math.sqrt(np.square(left).sum()) / spread if spread else 0.0
