"""The papers' networks in plain NumPy, float64: written from the papers, not the code.

Every unit runs by itself, on the variables of a network read by path; in training the
running statistics are written in place. Only the names of layers are shared.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

# One unit from its input to its output: He et al. 2016b, Fig. 4 (a) to (e). F stands
# for convolutions with norm and rectifier between them.
ORDERS = {
    "original": "F norm + act",
    "norm after addition": "F + norm act",
    "relu before addition": "F norm act +",
    "relu-only pre-activation": "act F norm +",
    "full pre-activation": "norm act F +",
}


class Place:
    """The parameters and running statistics of one module."""

    def __init__(self, params, stats):
        self.params, self.stats = params, stats

    def __getitem__(self, name):
        return Place(self.params.get(name, {}), self.stats.get(name, {}))

    def unit(self, k: int):
        """Unit k of a stage: unit 0 is `first`, the others are stacked in `rest`."""
        if k == 0:
            return self["first"]
        rest = self["rest"]
        return Place(_views(rest.params, k - 1), _views(rest.stats, k - 1))


def _views(tree, k):
    if isinstance(tree, dict):
        return {name: _views(leaf, k) for name, leaf in tree.items()}
    return tree[k : k + 1].reshape(tree.shape[1:])


# ---------------------------------------------------------------- layers


def conv(x, kernel, *, stride=1, pad=None):
    """Cross-correlation of [b h w c] with [k k c d], zero-padded."""
    k = kernel.shape[0]
    pad = (k - 1) // 2 if pad is None else pad
    h, w = ((size + 2 * pad - k) // stride + 1 for size in x.shape[1:3])
    x = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    y = np.zeros((len(x), h, w, kernel.shape[3]))
    for i in range(h):
        for j in range(w):
            patch = x[:, i * stride : i * stride + k, j * stride : j * stride + k]
            y[:, i, j] = np.einsum("bklc,klcd->bd", patch, kernel)
    return y


def norm(x, at: Place, *, train: bool):
    """Ioffe & Szegedy 2015, Alg. 1 and 2; Torch's momentum 0.1 and epsilon 1e-5."""
    mean, var = at.stats["mean"], at.stats["var"]
    if train:
        n = x[..., 0].size
        batch_mean = x.mean((0, 1, 2))
        batch_var = ((x - batch_mean) ** 2).mean((0, 1, 2))
        mean[...] = 0.9 * mean + 0.1 * batch_mean
        var[...] = 0.9 * var + 0.1 * batch_var * n / (n - 1)
        mean, var = batch_mean, batch_var
    normalised = (x - mean) / np.sqrt(var + 1e-5)
    return at.params["scale"] * normalised + at.params["bias"]


def dense(x, at: Place):
    return x @ at.params["kernel"] + at.params["bias"]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def relu(y, at: Place):
    return np.maximum(0, y)


def leaky_relu(y, at: Place):
    """Maas et al. 2013."""
    return np.maximum(0, y) + 0.01 * np.minimum(0, y)


def prelu(y, at: Place):
    """He et al. 2015, Eq. 1; a has one entry a channel, or one alone."""
    return np.maximum(0, y) + at.params["slope"] * np.minimum(0, y)


def rrelu_at_test(y, at: Place):
    """Xu et al. 2015, Sec. 2.4: y / ((l + u) / 2) with l = 3, u = 8."""
    return np.maximum(0, y) + np.minimum(0, y) / 5.5


def elu(y, at: Place):
    """Clevert et al. 2016, alpha = 1."""
    return np.where(y > 0, y, np.exp(y) - 1)


def max_pool(x):
    """3x3, stride 2, one pixel of padding."""
    h, w = ((size - 1) // 2 + 1 for size in x.shape[1:3])
    edge = ((0, 0), (1, 1), (1, 1), (0, 0))
    x = np.pad(x, edge, constant_values=-np.inf)
    y = np.empty((len(x), h, w, x.shape[3]))
    for i in range(h):
        for j in range(w):
            y[:, i, j] = x[:, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3].max((1, 2))
    return y


def mean_pool(x, window: int):
    b, h, w, c = x.shape
    cut = x.reshape(b, h // window, window, w // window, window, c)
    return cut.mean((2, 4))


# ------------------------------------------- joins: He et al. 2016b, Fig. 2 and Table 1


def add(h, f, at: Place):
    return h + f


def constant_scaling(h, f, at: Place):
    return 0.5 * h + 0.5 * f


def gate(h, at: Place):
    """g(h) = sigmoid(W h + b)."""
    return sigmoid(
        conv(h, at["gate_conv"].params["kernel"]) + at["gate_conv"].params["bias"]
    )


def exclusive_gating(h, f, at: Place):
    return (1 - gate(h, at)) * h + gate(h, at) * f


def shortcut_only_gating(h, f, at: Place):
    return (1 - gate(h, at)) * h + f


# ---------------------------------------------------------------- networks


@dataclasses.dataclass
class Net:
    """A residual network; `keep` is b_l in training and p_l at test, one a unit.

    Huang et al. 2016, Eq. 2 and 5. None: every unit is there.
    """

    units: Sequence[int]
    widths: Sequence[int]
    convs: int = 2  # a branch: 2 basic, 3 bottleneck
    strided: int = 1  # which of them subsamples
    order: str = "original"
    shortcut: str = "B"
    join: Callable = add
    act: Callable = relu
    squeeze_excite: bool = False
    imagenet: bool = False
    keep: Sequence[float] | None = None
    train: bool = False

    def __call__(self, x, variables) -> np.ndarray:
        """Logits [b n] of images [b h w c]."""
        at = Place(variables["params"], variables["batch_stats"])
        x = conv(x, at["stem_conv"].params["kernel"], stride=1 + self.imagenet)
        x = self.steps("norm act", x, at, "stem")
        x = max_pool(x) if self.imagenet else x
        number = 0
        for s, units in enumerate(self.units):
            for k in range(units):
                stride = 2 if s > 0 and k == 0 else 1
                keep = 1 if self.keep is None else self.keep[number]
                place = at[f"stage{s + 1}"].unit(k)
                x = self.unit(
                    x, place, self.widths[s], stride, is_first=number == 0, keep=keep
                )
                number += 1
        x = self.steps(self.ahead, x, at, "head")
        return dense(x.mean((1, 2)), at["head"])

    @property
    def ahead(self):
        """Layers ahead of the first convolution of a unit."""
        return ORDERS[self.order].split("F")[0]

    def unit(self, x, at, width, stride, *, is_first, keep):
        """`is_first`: its pre-activation is the stem's (He et al. 2016b, Sec. 5)."""
        behind, after = ORDERS[self.order].split("F")[1].split("+")
        a = x if is_first else self.steps(self.ahead, x, at, "before")
        h = self.crossing(x, a, at, width, stride, normed="norm" in behind)
        if keep:
            f = keep * self.residual(a, at, stride, behind)
        else:  # closed: computes nothing, and leaves its statistics alone
            f = np.zeros((len(x), *(size // stride for size in x.shape[1:3]), width))
        y = f if h is None else self.join(h, f, at)
        return self.steps(after, y, at, "after")

    def residual(self, a, at, stride, behind):
        f, branch = a, at["branch"]
        for i in range(1, self.convs + 1):
            kernel = branch[f"conv{i}"].params["kernel"]
            f = conv(f, kernel, stride=stride if i == self.strided else 1)
            if i < self.convs:
                f = self.steps("norm act", f, branch, str(i))
        f = self.steps(behind, f, branch, str(self.convs))
        if not self.squeeze_excite:
            return f
        # Hu et al. 2018, Eq. 2 to 4
        z = f.mean((1, 2))
        s = sigmoid(
            dense(self.act(dense(z, at["squeeze"]), at["act_squeeze"]), at["excite"])
        )
        return f * s[:, None, None, :]

    def crossing(self, x, a, at, width, stride, *, normed):
        """He et al. 2016a, Sec. 3.3 and 4.1; where dimensions change, fed by `a`."""
        changes = stride > 1 or x.shape[3] != width
        if self.shortcut == "none":
            return None
        if self.shortcut == "C" or (self.shortcut == "B" and changes):
            h = conv(a, at["shortcut_conv"].params["kernel"], stride=stride)
            return norm(h, at["norm_shortcut"], train=self.train) if normed else h
        if not changes:
            return x
        # The mean is that of Huang et al. 2016 (released code).
        h = a[:, ::stride, ::stride] if self.shortcut == "A" else mean_pool(a, stride)
        zeros = np.zeros((*h.shape[:3], width - h.shape[3]))
        return np.concatenate([h, zeros], axis=3)

    def steps(self, words, x, at, name):
        for word in words.split():
            place = at[f"{word}_{name}"]
            if word == "norm":
                x = norm(x, place, train=self.train)
            else:
                x = self.act(x, place)
        return x


# ---------------------------------------------------------------- made-up variables

DRAWS = {
    "kernel": lambda g, shape: g.normal(size=shape) / np.sqrt(np.prod(shape[-4:-1])),
    "bias": lambda g, shape: g.normal(size=shape) / 2,
    "scale": lambda g, shape: g.uniform(0.5, 1.5, shape),
    "mean": lambda g, shape: g.normal(size=shape) / 2,
    "var": lambda g, shape: g.uniform(0.5, 2.0, shape),
    "slope": lambda g, shape: g.uniform(-0.2, 0.5, shape),
}


def draw(shapes, generator, name="") -> dict:
    """Variables of the shapes given, none at a value that would hide a mistake."""
    if isinstance(shapes, dict):
        return {name: draw(leaf, generator, name) for name, leaf in shapes.items()}
    return DRAWS[name](generator, shapes.shape)
