"""Multigrid in channels: counts, V-cycles against NumPy, and what makes them vanish."""

import dataclasses

import comparing
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference_nd as nd
import tiers

from resnet_jax.errors import ConfigError
from resnet_jax.models import complexity
from resnet_jax.models.layers.activations import PRelu
from resnet_jax.models.layers.layers import LayersSpec
from resnet_jax.models.units.branch import BASIC
from resnet_jax.models.units.multigrid import Multigrid
from resnet_jax.models.units.unit import SE, ResidualUnit, UnitSpec
from resnet_jax.models.zoo.steps_and_grids import mgic_net

pytestmark = pytest.mark.usefixtures("float64")


@pytest.mark.compile
def test_parameters_and_multiply_adds():
    """Derived from the released code: groups of 32, coarsest below 32, 10 classes."""
    net, image = mgic_net(34).build(), (32, 32, 3)
    parts, multiply_adds = complexity.counts(net, image)
    assert parts.params == 4_414_154
    assert f"{multiply_adds / 1e6:.1f} M" == "482.9 M"
    resnet = mgic_net(34, branch=BASIC).build()
    assert f"{complexity.num_params(resnet, image) / 1e6:.1f} M" == "21.3 M"


def closed_form(n, group, coarsest):
    """R, P and its norm, the two grouped steps with theirs; then the level below."""
    g = max(n // group, 1)
    level = 2 * n * (n // 2) // g + 2 * n + 18 * n**2 // g + 4 * n
    half = n // 2
    if half < coarsest:
        return level + 18 * half**2 + 4 * half
    return level + closed_form(half, group, coarsest)


@pytest.mark.parametrize("width, group, coarsest", [
    (64, 32, 32), (128, 32, 32), (512, 32, 32), (256, 16, 64), (16, 32, 4), (8, 2, 32),
])  # fmt: skip
def test_parameters_of_a_unit(width, group, coarsest):
    unit = ResidualUnit(UnitSpec(Multigrid(group, coarsest)), LayersSpec(), width)
    x = jax.ShapeDtypeStruct((1, 4, 4, width), jnp.float32)
    variables = comparing.made(unit, x, None, train=False)
    sizes = [leaf.size for leaf in jax.tree.leaves(variables["params"])]
    assert sum(sizes) == closed_form(width, group, coarsest)


def test_parameters_grow_with_the_width_and_not_with_its_square():
    ratios = [closed_form(2 * n, 32, 32) / closed_form(n, 32, 32) for n in (256, 2048)]
    assert ratios == pytest.approx([2.0, 2.0], abs=0.1)


# ---------------------------------------------------------------- values


def groups(n, group):
    return int(max(n / group, 1))


def residual_step(z, at, name, g):
    """ReLU(z + BN(K2 ReLU(BN(K1 z))))."""
    y = at.norm_relu(at.conv(z, f"{name}_conv1", groups=g), f"{name}_1")
    return nd.relu(z + at.norm(at.conv(y, f"{name}_conv2", groups=g), f"{name}_2"))


def cycle(x, at, *, group, coarsest):
    """serialForward of the authors: down by R alone, then up with corrections."""
    levels, n = [x], x.shape[-1]
    while True:
        number = len(levels)
        g = groups(levels[-1].shape[-1], group)
        levels.append(at.conv(levels[-1], f"restrict{number}_conv", groups=g))
        n //= 2
        if n < coarsest:
            break
    better = residual_step(levels[-1], at, f"level{len(levels)}", 1)
    for number in range(len(levels) - 1, 0, -1):
        fine, coarse = levels[number - 1], levels[number]
        g = groups(fine.shape[-1], group)
        gained = at.conv(better - coarse, f"prolong{number}_conv", groups=g)
        z = fine + at.norm(gained, f"prolong{number}")
        better = residual_step(z, at, f"level{number}", g)
    return better


def resized(x, at, *, stride):
    y = at.conv(x, "resize_conv", stride=stride, groups=x.shape[-1])
    return at.norm_relu(y, "resize")


@pytest.mark.parametrize(
    "group, coarsest", tiers.one_in(2, [(4, 8), (2, 2), (4, 4), (8, 32)])
)
def test_v_cycles(group, coarsest):
    """Two, three and four levels, and one below the finest whatever the bounds."""
    branch = Multigrid(group, coarsest)
    net = ResidualUnit(UnitSpec(branch), LayersSpec(dtype="float64"), 16)

    def expected(x, at):
        return cycle(x, at["branch"], group=group, coarsest=coarsest)

    compare_unit(net, expected, comparing.drawn(2, 5, 5, 16))


def compare_unit(net, expected, x):
    class Unit(type(net)):
        def __call__(self, x, *, train):
            return super().__call__(x, None, train=train)

    fields = {f.name: getattr(net, f.name) for f in dataclasses.fields(net)}
    fields = {k: v for k, v in fields.items() if k not in ("parent", "name")}
    comparing.compare(Unit(**fields), expected, x)


@pytest.mark.compile
@pytest.mark.parametrize("stride", [2, 1])
def test_units_that_resize(stride):
    """A depthwise convolution ahead of the cycle takes the place of the shortcut."""
    unit = UnitSpec(Multigrid(4, 4), shortcut="none")
    net = ResidualUnit(unit, LayersSpec(dtype="float64"), 16, stride)

    def expected(x, at):
        x = resized(x, at["branch"], stride=stride)
        return cycle(x, at["branch"], group=4, coarsest=4)

    compare_unit(net, expected, comparing.drawn(2, 6, 6, 8))


def whole_net(x, at):
    x = at.norm_relu(at.conv(x, "stem_conv"), "stem")
    for stage in (1, 2, 3, 4):
        for k in range(2):
            unit = at[f"stage{stage}"].unit(k)["branch"]
            if stage > 1 and k == 0:
                x = resized(x, unit, stride=2)
            x = cycle(x, unit, group=4, coarsest=32)
    return at.dense(nd.mean(x), "head")


@pytest.mark.compile
def test_a_net():
    """Shallow cycles, of two depths: `test_v_cycles` has the others."""
    spec = mgic_net(18, branch=Multigrid(4, 32), width=1 / 8)
    spec = dataclasses.replace(spec, layers=LayersSpec(dtype="float64"))
    comparing.compare(spec.build(), whole_net, comparing.drawn(2, 8, 8, 3))


def test_without_what_the_last_norms_pass_a_cycle_is_a_rectifier():
    net = comparing.applied(Multigrid(4, 4), 16, end=("norm",), train=False)
    x = comparing.drawn(2, 4, 4, 16)
    variables = comparing.made(net, x)
    names = [n for n in variables["params"] if n.endswith("_2") or "norm_prolong" in n]
    assert len(names) == 4 + 3  # four levels, and the three ways up
    for name in names:
        for leaf in variables["params"][name].values():
            leaf[...] = 0
    y, _ = comparing.run(net, variables, x)
    comparing.close(y, np.zeros_like(x))  # F, so that the unit is act(x)


@pytest.mark.compile
def test_transfers_are_grouped_and_drawn():
    net = comparing.applied(Multigrid(4, 4), 16, train=False)
    key, x = jax.random.key(0, impl="rbg"), jnp.zeros((1, 4, 4, 16))
    params = jax.jit(net.init)(key, x)["params"]  # one program, not one a draw
    names = [f"{name}{i}_conv" for name in ("restrict", "prolong") for i in (1, 2)]
    kernels = [params[name]["kernel"] for name in names]
    assert [kernel.shape for kernel in kernels] == [
        (1, 1, 4, 8), (1, 1, 4, 4), (1, 1, 2, 16), (1, 1, 2, 8),
    ]  # fmt: skip
    assert all(kernel.std() > 0 for kernel in kernels)


@pytest.mark.compile
def test_cycles_mix_with_gates_and_rectifiers():
    unit = UnitSpec(Multigrid(4, 4), gate=SE(4))
    net = ResidualUnit(unit, LayersSpec(act=PRelu()), 16, 2)
    x = jnp.asarray(comparing.drawn(2, 4, 4, 8), jnp.float32)
    variables = comparing.made(net, x, None, train=False)

    def loss(params):
        y, _ = net.apply(
            variables | {"params": params}, x, None, train=True, mutable=["batch_stats"]
        )
        return jnp.sum(y**2)

    gradients = jax.tree.leaves(comparing.gradient(loss, variables["params"]))
    assert all(np.isfinite(g).all() and np.abs(g).max() > 0 for g in gradients)


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: mgic_net(20), r"model\.depth=20: must be 18 or 34"),
        (lambda: Multigrid(group=0), r"group=0, coarsest=32: must be at least 1, 2"),
        (lambda: Multigrid().groups(33), r"group=32: 33 channels must be even"),
        (lambda: Multigrid(4).groups(14), r"group=4: 14 channels .* 3 groups"),
        (
            lambda: complexity.num_params(
                mgic_net(18, width=1 / 64).build(), (8, 8, 3)
            ),
            r"group=32: 1 channels must be even",
        ),
    ],
)
def test_illegal_nets_are_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()
