"""The operators and the Ghost nets in plain NumPy, float64: from papers and their code.

Han et al. 2020 (ghostnet.py), Han et al. 2022 (g_ghost_regnet.py), Rastegari et al.
2016. Only the names of layers are shared with the package.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
import reference
from reference import Place, conv, dense, norm


def same(count, published):
    """Equal; to as many digits as there are, where a count is text ("2.151 G")."""
    if isinstance(published, int):
        return count == published
    number, unit = published.split()
    digits = len(number.partition(".")[2])
    return f"{count / {'M': 1e6, 'G': 1e9}[unit]:.{digits}f}" == number


# ---------------------------------------------------------------- convolutions


def grouped(x, kernel, *, groups, stride=1):
    """Each group of channels has its own filters."""
    parts = zip(
        np.split(x, groups, axis=3), np.split(kernel, groups, axis=3), strict=True
    )
    return np.concatenate([conv(*part, stride=stride) for part in parts], axis=3)


def depthwise(x, kernel, *, stride=1):
    return grouped(x, kernel, groups=x.shape[3], stride=stride)


def sign(x):
    return np.where(x >= 0, 1.0, -1.0)


def alpha(kernel):
    """One positive number a filter: |W|_1 / n."""
    return np.abs(kernel).sum((0, 1, 2)) / kernel[..., 0].size


def scale_of_inputs(x, k, *, stride=1):
    """K = A * k: the mean over channels of |I|, averaged over k x k windows."""
    a = np.abs(x).mean(3, keepdims=True)
    return conv(a, np.full((k, k, 1, 1), 1 / k**2), stride=stride)


# ---------------------------------------------------------------- operators in a net


def plain(net, x, at, name, *, stride, words, out):
    y = conv(x, at[name].params["kernel"], stride=stride)
    return net.steps(words, y, at, name.replace("conv", "").strip("_"))


def ghost_module(*, ratio):
    """ceil(out / ratio) maps, then depthwise ghosts of each; cut to `out`."""

    def operator(net, x, at, name, *, stride, words, out):
        number = name.replace("conv", "").strip("_")
        kernel = at[name].params["kernel"]
        assert kernel.shape[3] == int(np.ceil(out / ratio))
        y = net.steps(words, conv(x, kernel, stride=stride), at, number)
        cheap = at[f"cheap_{name}"].params["kernel"]
        copies = np.repeat(y, ratio - 1, axis=3)  # filters of one map are neighbours
        ghosts = net.steps(words, depthwise(copies, cheap), at, f"cheap_{number}")
        return np.concatenate([y, ghosts], axis=3)[..., :out]

    return operator


def binary_convolution(*, inputs, projections="real"):
    def operator(net, x, at, name, *, stride, words, out):
        kernel = at[name].params["kernel"]
        if name == "shortcut_conv" and projections == "real":
            y = conv(x, kernel, stride=stride)
        elif inputs == "real":
            y = alpha(kernel) * conv(x, sign(kernel), stride=stride)
        else:
            y = alpha(kernel) * conv(sign(x), sign(kernel), stride=stride)
            if inputs == "scaled":
                y = y * scale_of_inputs(x, kernel.shape[0], stride=stride)
        return net.steps(words, y, at, name.replace("conv", "").strip("_"))

    return operator


@dataclasses.dataclass
class Net(reference.Net):
    """A residual network whose convolutions, but the stem's, are operators."""

    operator: Callable = plain
    inner: float = 1.0  # width inside a unit / its output

    def residual(self, a, at, stride, behind):
        branch, x, out = at["branch"], a, self.out
        for i in range(1, self.convs + 1):
            x = self.operator(
                self,
                x,
                branch,
                f"conv{i}",
                stride=stride if i == self.strided else 1,
                words=behind if i == self.convs else "norm act",
                out=out if i == self.convs else round(self.inner * out),
            )
        return x

    def unit(self, x, at, width, stride, **which):
        self.out = width
        return super().unit(x, at, width, stride, **which)

    def crossing(self, x, a, at, width, stride, *, normed):
        if self.shortcut == "B" and (stride > 1 or x.shape[3] != width):
            words = "norm" if normed else ""
            return self.operator(
                self, a, at, "shortcut_conv", stride=stride, words=words, out=width
            )
        return super().crossing(x, a, at, width, stride, normed=normed)


# ---------------------------------------------------------------- GhostNet


def hard_sigmoid(x):
    return np.clip(x + 3, 0, 6) / 6


def ghost_bottleneck(net, x, at: Place, row, *, train):
    """A row (k, hidden, out, gate, stride) of ghostnet.py: no ReLU behind the sum."""
    k, hidden, out, gate, stride = row
    module = ghost_module(ratio=2)
    branch = at["branch"]
    y = module(net, x, branch, "conv1", stride=1, words="norm act", out=hidden)
    if stride == 2:
        kernel = branch["conv_depthwise"].params["kernel"]
        assert kernel.shape == (k, k, 1, hidden)
        y = depthwise(y, kernel, stride=2)
        y = norm(y, branch["norm_depthwise"], train=train)
    if gate:
        s = np.maximum(0, dense(y.mean((1, 2)), branch["squeeze"]))
        y = y * hard_sigmoid(dense(s, branch["excite"]))[:, None, None]
    y = module(net, y, branch, "conv2", stride=1, words="norm", out=out)
    if stride == 1 and x.shape[3] == out:
        return x + y
    kernel = at["shortcut_depthwise_conv"].params["kernel"]
    assert kernel.shape == (k, k, 1, x.shape[3])
    h = norm(
        depthwise(x, kernel, stride=stride), at["norm_shortcut_depthwise"], train=train
    )
    h = conv(h, at["shortcut_conv"].params["kernel"])
    return norm(h, at["norm_shortcut"], train=train) + y


# ---------------------------------------------------------------- G-Ghost


def g_ghost_stage(net, x, at: Place, *, units, width, raw, stride):
    """Base unit; narrow units on x0[:raw]; cheap x0[raw:] + mix; whole last unit."""
    x0 = net.unit(x, at["first"], width, stride, is_first=False, keep=1)
    y, outputs = x0[..., :raw], [x0]
    for k in range(1, units - 1):
        y = net.unit(y, at.unit(k), raw, 1, is_first=False, keep=1)
        outputs.append(y)
    mix = np.concatenate([out.mean((1, 2), keepdims=True) for out in outputs], axis=3)
    mix = conv(mix, at["mix_conv1"].params["kernel"])
    mix = net.steps("norm act", mix, at, "mix_1")
    mix = conv(mix, at["mix_conv2"].params["kernel"])
    mix = net.steps("norm", mix, at, "mix_2")
    cheap = conv(x0[..., raw:], at["cheap_conv"].params["kernel"])
    cheap = net.steps("norm", cheap, at, "cheap") + mix
    after = reference.ORDERS[net.order].split("+")[1]
    whole = np.concatenate([y, net.steps(after, cheap, at, "after")], axis=3)
    return net.unit(whole, at["last"], width, 1, is_first=False, keep=1)
