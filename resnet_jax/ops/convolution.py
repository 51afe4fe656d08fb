"""Convolution whose gradients stay on XLA:CPU's fast path inside a loop.

XLA:CPU has a fast convolution only for dense kernels, two spatial axes and un-flipped,
channels-last dimension numbers. It rewrites other numbers into these, but never in the
body of a loop (jax-ml/jax#12868), so that the stock gradients of a convolution under
`lax.scan` fall back to a naive one. Here every convolution and both its gradients are
brought to that form. Other platforms get the plain convolution and its own gradients;
the choice is made when the program is lowered.
"""

import functools as ft
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from resnet_jax.ops.products import matmul

FORMATS = {1: ("NWC", "WIO"), 2: ("NHWC", "HWIO"), 3: ("NDHWC", "DHWIO")}
# Groups are joined until a dense convolution has this many input channels: with fewer
# its fixed cost dominates, with more the zeros between the groups do.
BLOCK = 16


@dataclass(frozen=True)
class Window:
    """Strides, padding and dilation per spatial axis, and the number of groups."""

    strides: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    groups: int = 1


def convolve(
    x: Float[Array, "b *spatial i"],
    kernel: Float[Array, "*size i_of_group o"],
    *,
    strides: int | Sequence[int] = 1,
    groups: int = 1,
    dilation: int | Sequence[int] = 1,
    padding: Sequence[tuple[int, int]],
) -> Float[Array, "b *out o"]:
    """Cross-correlation over 1 to 3 spatial axes, zero-padded by (low, high) on each.

    Reverse-mode derivatives only.
    """
    rank = x.ndim - 2
    each = tuple((int(low), int(high)) for low, high in padding)
    window = Window(_axes(strides, rank), each, _axes(dilation, rank), groups)
    return _convolve(window, x, kernel)


def _axes(value: int | Sequence[int], rank: int) -> tuple[int, ...]:
    return (value,) * rank if isinstance(value, int) else tuple(value)


def plain(window: Window, x, kernel):
    """XLA's own convolution."""
    outer, inner = FORMATS[x.ndim - 2]
    return lax.conv_general_dilated(
        x,
        kernel,
        window.strides,
        window.padding,
        rhs_dilation=window.dilation,
        feature_group_count=window.groups,
        dimension_numbers=(outer, inner, outer),
    )


@ft.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _convolve(window: Window, x, kernel):
    forms = {"cpu": ft.partial(reduced, window), "default": ft.partial(plain, window)}
    return lax.platform_dependent(x, kernel, **forms)


def _forward(convolution):
    """The forward pass of a custom gradient that needs the operands."""
    return lambda window, *operands: (convolution(window, *operands), operands)


def _backward(window: Window, operands, dy):
    def gradients(form):
        return lambda x, kernel, dy: jax.vjp(ft.partial(form, window), x, kernel)[1](dy)

    cpu, default = gradients(reduced), gradients(plain)
    return lax.platform_dependent(*operands, dy, cpu=cpu, default=default)


_convolve.defvjp(_forward(_convolve), _backward)


def reduced(window: Window, x, kernel):
    """Convolution composed of `canonical` convolutions and matrix products.

    JAX differentiates the composition; both parts have custom gradients.
    """
    size, i, o = kernel.shape[:-2], x.shape[-1], kernel.shape[-1]
    if len(size) == 1:
        return _one_axis(window, x, kernel)
    if len(size) == 3:
        return _three_axes(window, x, kernel)
    if i == window.groups > 1 and o <= 4 * i:
        return _depthwise(window, x, kernel)
    if window.groups > 1:
        return _grouped(window, x, kernel)
    if math.prod(size) == 1 and not any(map(any, window.padding)):
        return _pointwise(window, x, kernel)
    return canonical(window, x, kernel)


def _one_axis(window: Window, x, kernel):
    """Add a second spatial axis of size 1."""
    strides, dilation = (1, *window.strides), (1, *window.dilation)
    window = Window(strides, ((0, 0), *window.padding), dilation, window.groups)
    return reduced(window, x[:, None], kernel[None])[:, 0]


def _three_axes(window: Window, x, kernel):
    """Fold the first axis: its taps become channels, its points part of the batch."""
    groups, taps, i = window.groups, kernel.shape[0], kernel.shape[-2]
    (stride, *strides), (pad, *padding) = window.strides, window.padding
    dilation, *dilations = window.dilation
    plane = Window(tuple(strides), tuple(padding), tuple(dilations), groups)
    x = _padded(x, [pad, (0, 0), (0, 0)])
    x = x.reshape(*x.shape[:-1], groups, i)
    seen = x.shape[1] - (taps - 1) * dilation
    starts = range(0, taps * dilation, dilation)
    views = [x[:, at : at + seen : stride] for at in starts]
    x = jnp.concatenate(views, axis=-1)
    b, depth = x.shape[:2]
    x = x.reshape(b * depth, *x.shape[2:4], groups * taps * i)
    kernel = jnp.moveaxis(kernel, 0, 2)
    kernel = kernel.reshape(*kernel.shape[:2], taps * i, -1)
    y = reduced(plane, x, kernel)
    return y.reshape(b, depth, *y.shape[1:])


def _depthwise(window: Window, x, kernel):
    """One convolution per output of a channel (the depth multiplier)."""
    multiplier = kernel.shape[-1] // x.shape[-1]
    y = [canonical(window, x, kernel[..., at::multiplier]) for at in range(multiplier)]
    return jnp.stack(y, axis=-1).reshape(*y[0].shape[:-1], -1)


def _grouped(window: Window, x, kernel):
    """Join groups to dense convolutions, with zeros between the groups."""
    *size, i, o = kernel.shape
    groups = window.groups
    divisors = (n for n in range(1, groups + 1) if groups % n == 0)
    joined = max((n for n in divisors if n * i <= BLOCK), default=1)
    count = groups // joined
    kernel = kernel.reshape(*size, i, count, joined, o // groups)
    same = jnp.eye(joined, dtype=kernel.dtype)
    kernel = jnp.einsum("hwicjo,jk->chwkijo", kernel, same)
    kernel = kernel.reshape(count, *size, joined * i, -1)
    dense = ft.partial(reduced, replace(window, groups=1))
    # a loop compiles one block whatever their number, and runs as fast
    x = jnp.moveaxis(x.reshape(*x.shape[:-1], count, -1), -2, 0)
    y = jnp.moveaxis(lax.map(lambda block: dense(*block), (x, kernel)), 0, -2)
    return y.reshape(*y.shape[:-2], -1)


def _pointwise(window: Window, x, kernel):
    """1x1 convolution as a matrix product."""
    x = x[(slice(None), *(slice(None, None, step) for step in window.strides))]
    return matmul(x, kernel.reshape(kernel.shape[-2:]))


@ft.partial(jax.custom_vjp, nondiff_argnums=(0,))
def canonical(window: Window, x, kernel):
    """Dense or depthwise convolution over two axes; its gradients are such, too."""
    return (plain if window.groups == 1 else _shifted)(window, x, kernel)


def _canonical_backward(window: Window, operands, dy):
    x, kernel = operands
    dx = input_gradient(window, x.shape, kernel, dy)
    of_kernel = kernel_gradient if window.groups == 1 else _shifted_kernel_gradient
    return dx, of_kernel(window, x, kernel.shape, dy)


canonical.defvjp(_forward(canonical), _canonical_backward)


def input_gradient(window: Window, shape: tuple[int, ...], kernel, dy):
    """`dy` convolved with the flipped kernel, channels exchanged, phase by phase.

    Points of x that lie a stride apart see the same taps of the kernel: each such phase
    is a convolution of stride 1, without the zeros that would dilate `dy`.
    """
    strides = window.strides
    if strides != (1, 1):  # a dilated kernel with its zeros written out
        gaps = [(0, 0, step - 1) for step in window.dilation] + [(0, 0, 0)] * 2
        kernel = lax.pad(kernel, kernel.dtype.type(0), gaps)
        window = replace(window, dilation=(1, 1))
    if window.groups == 1:
        kernel = kernel.swapaxes(-1, -2)
    phase = ft.partial(_phase, window, shape, kernel, dy)
    rows = ([phase((h, w)) for w in range(strides[1])] for h in range(strides[0]))
    dx = jnp.stack([jnp.stack(row, axis=3) for row in rows], axis=2)
    h, w = dx.shape[1] * strides[0], dx.shape[3] * strides[1]
    return dx.reshape(-1, h, w, dx.shape[-1])[:, : shape[1], : shape[2]]


def _phase(window: Window, shape, kernel, dy, first: tuple[int, int]):
    """Gradient at every stride-th point of x from `first` on."""
    taps, padding, points = [], [], []
    for axis in range(2):
        step, spread = window.strides[axis], window.dilation[axis]
        ahead = first[axis] + window.padding[axis][0]
        taps.append(slice(ahead % step, None, step))
        points.append(-(-shape[axis + 1] // step))
        seen, shift = range(kernel.shape[axis])[taps[axis]], ahead // step
        low = (len(seen) - 1) * spread - shift
        padding.append((low, points[axis] + shift - dy.shape[axis + 1]))
    kernel = kernel[tuple(taps)][::-1, ::-1]
    if not kernel.size:
        return jnp.zeros((len(dy), *points, kernel.shape[-1]), dy.dtype)
    dy, padding = _cropped(dy, padding)
    return reduced(Window((1, 1), padding, window.dilation, window.groups), dy, kernel)


def kernel_gradient(window: Window, x, shape: tuple[int, ...], dy):
    """`x` [i h w b] convolved with `dy` [h w b o], the batch in place of channels."""
    padding = []
    for axis in range(2):
        at, (low, _) = axis + 1, window.padding[axis]
        reach = (shape[axis] - 1) * window.dilation[axis]
        extent = (dy.shape[at] - 1) * window.strides[axis] + 1
        padding.append((low, reach + extent - x.shape[at] - low))
    x, padding = _cropped(x, padding)
    turned = Window(window.dilation, padding, window.strides)
    # the barrier keeps the compiler from fusing the transpositions, fast by themselves,
    # with what made x and dy
    x, dy = lax.optimization_barrier((x, dy))
    dkernel = plain(turned, x.transpose(3, 1, 2, 0), dy.transpose(1, 2, 0, 3))
    return dkernel.transpose(1, 2, 0, 3)


def _cropped(x, padding):
    """Crop x by the negative part of a padding; x and the padding that remains."""
    taken = [(min(low, 0), min(high, 0)) for low, high in padding]
    left = tuple((max(low, 0), max(high, 0)) for low, high in padding)
    return _padded(x, taken), left


def _padded(x, edges):
    """Pad the spatial axes with zeros by (low, high); negative numbers crop."""
    edges = [(low, high, 0) for low, high in ((0, 0), *edges, (0, 0))]
    return lax.pad(x, x.dtype.type(0), edges)


def _views(window: Window, x, size, points):
    """Input at each tap of the kernel: [taps of h][taps of w] of [b *points c]."""
    x = _padded(x, window.padding)
    x = x.astype(jnp.promote_types(x.dtype, jnp.float32))

    def along(axis, tap):
        start, stride = tap * window.dilation[axis], window.strides[axis]
        return slice(start, start + (points[axis] - 1) * stride + 1, stride)

    taps = [[along(axis, tap) for tap in range(size[axis])] for axis in range(2)]
    return [[x[:, h, w] for w in taps[1]] for h in taps[0]]


def _shifted(window: Window, x, kernel):
    """Depthwise convolution as a sum of shifted products, which XLA fuses."""
    points = jax.eval_shape(ft.partial(plain, window), x, kernel).shape[1:3]
    views = _views(window, x, kernel.shape, points)
    taps = ((h, w) for h in range(kernel.shape[0]) for w in range(kernel.shape[1]))
    products = (views[h][w] * kernel[h, w, None, None] for h, w in taps)
    return cast(Array, sum(products)).astype(x.dtype)


def _shifted_kernel_gradient(window: Window, x, shape, dy):
    views = _views(window, x, shape, dy.shape[1:3])
    sums = [[(view * dy).sum((0, 1, 2)) for view in row] for row in views]
    return jnp.stack([jnp.stack(row) for row in sums])[:, :, None].astype(dy.dtype)
