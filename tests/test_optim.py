"""Dialects of SGD, AdamW, decay by name, schedules at their corners, bad specs."""

import functools
import json
import math
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from resnet_jax.errors import ConfigError
from resnet_jax.train.by_name import decayed
from resnet_jax.train.optim import OptimSpec

GOLDEN = json.loads((pathlib.Path(__file__).parent / "golden/optim.json").read_text())
PROBLEM = {
    key: {name: np.array(values) for name, values in arrays.items()}
    for key, arrays in GOLDEN["problem"].items()
}
STEPS = {"schedule": "steps", "boundaries": (5,), "total_steps": 10}
# He et al. 2016b, appendix: warm-up for 400 iterations, then /10 at 32k and 48k of 64k
HE2016B = OptimSpec(
    dialect="caffe",
    schedule="steps",
    boundaries=(32_000, 48_000),
    total_steps=64_000,
    warmup_steps=400,
    warmup="constant",
    warmup_rate=0.01,
)


def spec_of(fields):
    return OptimSpec(**fields | {"boundaries": tuple(fields["boundaries"])})


def trained(spec):
    """The parameters after each of ten steps, jitted, in float64."""
    optimizer = spec.build()

    @jax.jit
    def step(params, state, target):
        grads = jax.tree.map(
            lambda c, p, t: c * (p - t), PROBLEM["curvature"], params, target
        )
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    with jax.enable_x64(True):
        params = jax.tree.map(jnp.asarray, PROBLEM["start"])
        state, after = optimizer.init(params), []
        for t in range(10):
            target = {name: a[t] for name, a in PROBLEM["target"].items()}
            params, state = step(params, state, target)
            after.append(jax.tree.map(np.asarray, params))
    return after


def by_hand(spec):
    """The same in NumPy, from the papers' equations, one parameter after another."""
    paths = {name: one_by_hand(spec, name) for name in PROBLEM["start"]}
    return [{name: path[t] for name, path in paths.items()} for t in range(10)]


def one_by_hand(spec, name):
    p, path = PROBLEM["start"][name].copy(), []
    decays = name == "kernel" or (name == "scale" and spec.decay == "all")
    wd, m = spec.weight_decay * decays, spec.momentum
    buffer, first, second = None, 0.0, 0.0
    for t in range(10):
        lr = spec.learning_rate * (0.1 if t >= 5 else 1.0)
        g = PROBLEM["curvature"][name] * (p - PROBLEM["target"][name][t])
        if spec.name == "adamw":
            first = m * first + (1 - m) * g
            second = spec.beta2 * second + (1 - spec.beta2) * g * g
            hat = first / (1 - m ** (t + 1))
            root = np.sqrt(second / (1 - spec.beta2 ** (t + 1)))
            p = p - lr * wd * p - lr * hat / (root + spec.epsilon)
            path.append(p)
            continue
        g = g + wd * p
        if spec.dialect == "caffe":
            old = np.zeros_like(p) if buffer is None else buffer
            buffer = m * old + lr * g
            ahead = (1 + m) * buffer - m * old  # nesterov_solver.cpp
            p = p - (ahead if spec.nesterov else buffer)
        else:
            buffer = g if buffer is None else m * buffer + (1 - spec.dampening) * g
            p = p - lr * (g + m * buffer if spec.nesterov else buffer)
        path.append(p)
    return path


def assert_same(got, want):
    for t, (a, b) in enumerate(zip(got, want, strict=True)):
        for name in PROBLEM["start"]:
            assert a[name].dtype == np.float64
            np.testing.assert_allclose(
                a[name], b[name], rtol=1e-12, atol=1e-14, err_msg=f"{name}, step {t}"
            )


@pytest.mark.parametrize("case", GOLDEN["cases"])
def test_ten_steps_equal_torch(case):
    case = GOLDEN["cases"][case]
    assert_same(trained(spec_of(case["spec"])), case["after"])


@pytest.mark.parametrize(
    "fields",
    [
        {"momentum": 0.0},
        {},
        {"dampening": 0.3},
        {"nesterov": True},
        {"dialect": "caffe"},
        {"dialect": "caffe", "nesterov": True},
        {"dialect": "caffe", "decay": "kernels", "momentum": 0.5},
        {"name": "adamw", "learning_rate": 0.01, "beta2": 0.9},
        {"name": "adamw", "decay": "kernels", "momentum": 0.5, "epsilon": 1e-2},
    ],
    ids=str,
)
def test_ten_steps_equal_numpy(fields):
    spec = OptimSpec(**STEPS | {"weight_decay": 0.05} | fields)
    assert_same(trained(spec), by_hand(spec))


@pytest.mark.parametrize("nesterov", [False, True])
def test_dialects_part_where_the_rate_drops(nesterov):
    torch, caffe = (
        trained(OptimSpec(dialect=dialect, nesterov=nesterov, **STEPS))
        for dialect in ("torch", "caffe")
    )
    np.testing.assert_allclose(torch[4]["kernel"], caffe[4]["kernel"], rtol=1e-12)
    # the first step at the lower rate: Caffe still carries most of the step before
    moved = [np.linalg.norm(p[5]["kernel"] - p[4]["kernel"]) for p in (torch, caffe)]
    assert moved[1] > 3 * moved[0]


def network():
    """Parameters as a network with stacked units has them: norms have two axes."""
    unit = {
        "branch": {
            "conv1": {"kernel": np.ones((2, 3, 3, 4, 4))},
            "norm_1": {"scale": np.ones((2, 4)), "bias": np.ones((2, 4))},
            "act_1": {"slope": np.ones((2, 4))},
        }
    }
    return {
        "stem_conv": {"kernel": np.ones((3, 3, 3, 4))},
        "act_stem": {"slope": np.ones(1)},
        "stage1": {"rest": unit},
        "head": {"kernel": np.ones((4, 10)), "bias": np.ones(10)},
    }


def names(tree):
    """The paths of the leaves that are true."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    path = functools.partial(jax.tree_util.keystr, simple=True, separator="/")
    return {path(keys) for keys, chosen in leaves if chosen}


KERNELS = {"stem_conv/kernel", "stage1/rest/branch/conv1/kernel", "head/kernel"}
NORMS = {"stage1/rest/branch/norm_1/scale", "stage1/rest/branch/norm_1/bias"}


@pytest.mark.parametrize(
    ("decay", "want"),
    [("kernels", KERNELS), ("all", KERNELS | NORMS | {"head/bias"})],
)
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_decay_goes_by_name(decay, want, optimizer):
    params = jax.tree.map(jnp.asarray, network())
    assert names(decayed(params, decay=decay)) == want
    # without a gradient, decay alone moves a parameter
    spec = OptimSpec(name=optimizer, weight_decay=0.1, decay=decay, total_steps=1)
    optimizer = spec.build()
    grads = jax.tree.map(jnp.zeros_like, params)
    updates, _ = optimizer.update(grads, optimizer.init(params), params)
    assert names(jax.tree.map(lambda u: bool((u != 0).all()), updates)) == want
    still = names(jax.tree.map(lambda u: bool((u == 0).all()), updates))
    assert still == names(jax.tree.map(lambda _: True, params)) - want


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_scales_of_norms_have_an_l1_penalty(optimizer):
    """Liu et al. 2017, Eq. 1, by the subgradient; it is part of the gradient."""
    norm = {"stage1": {"norm_1": {"scale": jnp.array([-2.0, 0.0, 3.0])}}}
    params = norm | {"other": {"scale": jnp.ones(3)}, "head": {"kernel": jnp.ones(3)}}
    zeros = jax.tree.map(jnp.zeros_like, params)
    sign = jax.tree.map(lambda scale: 0.25 * jnp.sign(scale), norm)
    steps = {}
    for l1, gradients in ((0.0, zeros | sign), (0.25, zeros)):
        made = OptimSpec(
            name=optimizer, momentum=0.0, weight_decay=0.0, scale_l1=l1, total_steps=1
        ).build()
        steps[l1], _ = made.update(gradients, made.init(params), params)
    jax.tree.map(np.testing.assert_array_equal, *steps.values())
    moved = steps[0.25]["stage1"]["norm_1"]["scale"]
    assert (jnp.sign(moved) == jnp.array([1.0, 0.0, -1.0])).all()


@pytest.mark.parametrize("dialect", ["torch", "caffe"])
def test_updates_keep_the_parameters_dtype(dialect):
    for dtype in (jnp.float32, jnp.bfloat16):
        params = {"kernel": jnp.ones((2, 2), dtype)}
        optimizer = OptimSpec(dialect=dialect, total_steps=1).build()
        updates, _ = optimizer.update(params, optimizer.init(params), params)
        assert updates["kernel"].dtype == dtype


@pytest.mark.parametrize(
    ("step", "rate"),
    [
        (0, 0.01),
        (399, 0.01),
        (400, 0.1),
        (31_999, 0.1),
        (32_000, 0.01),
        (47_999, 0.01),
        (48_000, 0.001),
        (63_999, 0.001),
    ],
)
def test_corners_of_the_cifar_recipe(step, rate):
    schedule = HE2016B.schedule_fn()
    assert isinstance(schedule(step), float)  # on the host: goes into a log as it is
    assert schedule(step) == pytest.approx(rate, rel=1e-14)
    traced = jax.jit(schedule)(jnp.int32(step))
    assert traced.dtype == jnp.float32
    assert traced == np.float32(rate)


def test_optimizer_follows_the_schedule():
    """Plain SGD on a constant gradient of one moves by the rate, corner by corner."""
    fields = {
        "momentum": 0.0,
        "weight_decay": 0.0,
        "decay_factor": 0.5,
        "schedule": "steps",
    }
    warmup = {"warmup_steps": 2, "warmup": "constant", "warmup_rate": 0.25}
    spec = OptimSpec(
        learning_rate=1.0, boundaries=(3, 5), total_steps=6, **fields, **warmup
    )
    optimizer = spec.build()
    params = {"kernel": jnp.zeros(())}
    state, rates = optimizer.init(params), []
    for _ in range(6):
        updates, state = optimizer.update({"kernel": jnp.ones(())}, state, params)
        rates.append(-float(updates["kernel"]))
    assert rates == [0.25, 0.25, 1.0, 0.5, 0.5, 0.25]
    assert rates == [spec.schedule_fn()(step) for step in range(6)]


@pytest.mark.parametrize(
    ("schedule", "step", "rate"),
    [
        # linear warm-up from 0.2 to 1 over four steps, then what is left of the twelve
        ("constant", 0, 0.2),
        ("constant", 1, 0.4),
        ("constant", 3, 0.8),
        ("constant", 4, 1.0),
        ("constant", 11, 1.0),
        ("cosine", 3, 0.8),
        ("cosine", 4, 1.0),
        ("cosine", 6, 0.5 + 0.5 * math.sqrt(0.5)),
        ("cosine", 8, 0.5),
        ("cosine", 11, 0.5 - 0.5 * math.cos(math.pi / 8)),
        ("cosine", 12, 0.0),
        ("cosine", 20, 0.0),
        ("linear", 2, 0.6),
        ("linear", 4, 1.0),
        ("linear", 5, 0.875),
        ("linear", 11, 0.125),
        ("linear", 13, 0.0),
    ],
)
def test_warmup_and_annealing(schedule, step, rate):
    spec = OptimSpec(
        learning_rate=1.0,
        schedule=schedule,
        total_steps=12,
        warmup_steps=4,
        warmup_rate=0.2,
    )
    assert spec.schedule_fn()(step) == pytest.approx(rate, abs=1e-15)
    traced = jax.jit(spec.schedule_fn())(jnp.int32(step))
    assert float(traced) == pytest.approx(rate, abs=1e-6)


def test_schedule_in_float64():
    spec = OptimSpec(schedule="cosine", total_steps=64_000, warmup_steps=400)
    with jax.enable_x64(True):
        traced = jax.jit(jax.vmap(spec.schedule_fn()))(np.arange(64_000))
        assert traced.dtype == jnp.float64
    host = spec.schedule_fn()(np.arange(64_000))
    np.testing.assert_allclose(traced, host, rtol=1e-12, atol=1e-16)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"momentum": -0.1}, r"optim\.momentum=-0\.1: must be in \[0, 1\)"),
        ({"momentum": 1.0}, r"optim\.momentum=1\.0: must be in \[0, 1\)"),
        ({"momentum": math.nan}, r"optim\.momentum=nan: must be in \[0, 1\)"),
        ({"dampening": 1.0}, r"optim\.dampening=1\.0: must be in \[0, 1\)"),
        ({"beta2": 1.0}, r"optim\.beta2=1\.0: must be in \[0, 1\)"),
        ({"learning_rate": math.nan}, r"optim\.learning_rate=nan: must be finite"),
        ({"learning_rate": math.inf}, r"optim\.learning_rate=inf: must be finite"),
        ({"learning_rate": 0.0}, r"optim\.learning_rate=0\.0: .* above 0"),
        ({"epsilon": 0.0}, r"optim\.epsilon=0\.0: .* above 0"),
        ({"weight_decay": math.nan}, r"optim\.weight_decay=nan: must be finite"),
        ({"weight_decay": -1e-4}, r"optim\.weight_decay=-0\.0001: .* at least 0"),
        (
            {"decay_factor": math.nan},
            r"optim\.schedule\.decay_factor=nan: must be in \(0, 1\]",
        ),
        (
            {"decay_factor": 10.0},
            r"optim\.schedule\.decay_factor=10\.0: must be in \(0, 1\]",
        ),
        ({"total_steps": 0}, r"optim\.total_steps=0: must be at least 1"),
        ({"boundaries": ()}, r"optim\.schedule\.boundaries=\(\): needs an entry"),
        (
            {"boundaries": (5, 5)},
            r"optim\.schedule\.boundaries=\(5, 5\): must increase",
        ),
        (
            {"boundaries": (7, 5)},
            r"optim\.schedule\.boundaries=\(7, 5\): must increase",
        ),
        (
            {"boundaries": (0, 5)},
            r"optim\.schedule\.boundaries=\(0, 5\): must increase",
        ),
        ({"warmup_steps": 5}, r"boundaries=\(5,\): .* optim\.warmup\.steps=5"),
        ({"warmup_steps": -1}, r"optim\.warmup\.steps=-1: must be at least 0"),
        (
            {"warmup_steps": 10, "schedule": "cosine", "boundaries": ()},
            r"optim\.warmup\.steps=10: must be fewer than the 10 iterations",
        ),
        (
            {"warmup_steps": 2, "warmup_rate": 0.2},
            r"optim\.warmup\.learning_rate=0\.2: must not exceed "
            r"optim\.learning_rate=0\.1",
        ),
        (
            {"warmup_rate": math.nan},
            r"optim\.warmup\.learning_rate=nan: must be finite",
        ),
        (
            {"warmup_steps": 2, "warmup": "constant"},
            r"optim\.warmup\.learning_rate=0\.0: must be above 0 in a constant warm-up",
        ),
        (
            {"nesterov": True, "momentum": 0.0},
            r"optim\.nesterov=True: needs a momentum above 0",
        ),
        (
            {"nesterov": True, "dampening": 0.9},
            r"optim\.nesterov=True: needs .* no dampening",
        ),
        (
            {"dialect": "caffe", "dampening": 0.9},
            r"optim\.dampening=0\.9: must be 0 with dialect='caffe'",
        ),
        ({"name": "adamw", "dampening": 0.9}, r"dampening=0\.9: .* name='adamw'"),
        ({"name": "adamw", "nesterov": True}, r"nesterov=True.* name='adamw'"),
    ],
    ids=str,
)
def test_bad_specs(fields, message):
    with pytest.raises(ConfigError, match=message):
        OptimSpec(**STEPS | fields)


def test_every_problem_is_named_at_once():
    with pytest.raises(ConfigError) as error:
        OptimSpec(momentum=-0.1, decay_factor=0.0, total_steps=0)
    assert str(error.value).splitlines() == [
        "optim.momentum=-0.1: must be in [0, 1)",
        "optim.schedule.decay_factor=0.0: must be in (0, 1]",
        "optim.total_steps=0: must be at least 1",
    ]
