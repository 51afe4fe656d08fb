"""Relay back-propagation: every gradient by its definition, on nets without relays."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import runs
import tinytask

from resnet_jax.errors import ConfigError
from resnet_jax.models import complexity
from resnet_jax.models.layers.activations import PRelu
from resnet_jax.models.layers.dropout import Dropout
from resnet_jax.models.layers.layers import LayersSpec
from resnet_jax.models.nets.auxiliary_loss import Relay, all_losses
from resnet_jax.models.nets.plain import FC, Conv, MaxPool, Mean, PlainSpec, Towers
from resnet_jax.models.nets.resnet import ResNetSpec
from resnet_jax.models.network import network
from resnet_jax.models.units.branch import BASIC
from resnet_jax.models.units.unit import FULL_PRE, UnitSpec
from resnet_jax.models.zoo.plain_nets import all_cnn, nin, places2, vgg
from resnet_jax.train.run import run_all
from resnet_jax.train.step import StepSpec, make_train_step
from resnet_jax.train.task import make_program, make_task

STAGES = 3
LAYERS = LayersSpec(act=PRelu(), dtype="float64")
NET = ResNetSpec(
    depths=(1, 1, 2),
    widths=(4, 6, 8),
    stem_width=4,
    unit=UnitSpec(BASIC, FULL_PRE, "A"),
    layers=LAYERS,
    survival=0.5,
)
# as in the paper, neighbours overlap; and only the first relay moves the stem
CHAIN = (Relay(1, 1), Relay(2, 1), Relay(3, 2))
RELAYS = {
    "chain": CHAIN,
    "own loss everywhere": (Relay(2, 2),),
    "apart": (Relay(1, 1), Relay(2, 2), Relay(3, 3)),
}
WEIGHT = 0.25
# The pools are ends of stages, and the last three records the end of the net.
PLAIN = PlainSpec(
    records=(
        *(Conv(4), MaxPool()),
        *(Towers(((Conv(2, 1),), (Conv(3), Conv(2)))), Conv(5), MaxPool()),
        Conv(6),
        *(Mean(), FC(7), FC(None, ())),
    ),
    layers=LAYERS,
)
NETS = {"residual": NET, "plain": PLAIN}


def steps(*names):
    return tuple(f"{step}_{name}" for step in ("norm", "act") for name in names)


# The modules of each stage, and of the end.
TOWERS = ("towers1_1_conv1", "towers1_2_conv1", "towers1_2_conv2")
MODULES = {
    "residual": (
        ("stem_conv", *steps("stem"), "stage1"), ("stage2",), ("stage3",),
        (*steps("head"), "head"),
    ),
    "plain": (
        ("conv1", *steps("1")),
        (*TOWERS, "conv2", *steps("towers1_1_1", "towers1_2_1", "towers1_2_2", "2")),
        ("conv3", *steps("3")),
        ("fc1", "act_fc1", "head"),
    ),
}  # fmt: skip


pytestmark = pytest.mark.usefixtures("float64")


def task_of(relays, net=NET, **changes):
    """(task, state) of a net; the optimizer keeps the gradient as it is."""
    experiment = tinytask.experiment({"train.dtype": "float64"})
    net = dataclasses.replace(net, relays=relays, **changes)
    experiment = dataclasses.replace(experiment, net=net)
    task = dataclasses.replace(make_task(experiment), tx=optax.trace(0.0))
    return task, tinytask.begin(task, experiment.config)


def batch_of(n=8):
    images = tinytask.images(n)
    return {
        "image": jnp.asarray(images["image"]),
        "label": jnp.asarray(images["label"]),
        "mask": jnp.ones(n),
        "row": jnp.arange(n, dtype=jnp.int32),
    }


def gradient(task, state, **spec):
    """(gradient of one step, what it said)"""
    step = jax.jit(make_train_step(task, StepSpec(**spec)))
    new, said = step(state, batch_of())
    return jax.device_get((new.opt_state.trace, said))


@functools.cache
def weighed(relays, name):
    """(state, {weight of the relays: gradient of one step, what it said})

    Of one program, which takes the weight as an argument.
    """
    task, state = task_of(relays, NETS[name])

    @jax.jit
    def step(state, batch, weight):
        spec = StepSpec(relay_weight=weight)
        new, said = make_train_step(task, spec)(state, batch)
        return new.opt_state.trace, said

    weights, batch = (WEIGHT, 1.0, 2.0), batch_of()
    return state, {w: jax.device_get(step(state, batch, w)) for w in weights}


def cut_short(net, stage):
    """The net that ends behind a stage, and has no relays."""
    if net is PLAIN:
        records = net.records[: (2, 5, 6)[stage - 1]] + net.records[6:]
        return dataclasses.replace(net, records=records)
    share = sum(net.depths[:stage]) / sum(net.depths)
    return dataclasses.replace(
        net, depths=net.depths[:stage], widths=net.widths[:stage],
        survival=1 - share * (1 - net.survival),
    )  # fmt: skip


def variables_of(tree, stage):
    """What such a net needs, and more: its relay is its end."""
    own = {k: v for k, v in tree.items() if not k.startswith("relay")}
    return own if stage == STAGES else own | tree.get(f"relay{stage}", {})


def by_definition(state, relay, name):
    """(loss, gradient) behind one stage, of a net that ends there and has no relays.

    As a tree of all parameters: zeros where the loss does not reach.
    """
    value, own = behind(relay.stage, name)
    found = jax.tree.map(np.zeros_like, jax.device_get(state.params))
    for module, tree in own.items():
        at_end = module in MODULES[name][-1] and relay.stage < STAGES
        place = found[f"relay{relay.stage}"] if at_end else found
        place[module] = tree
    for module in sum(MODULES[name][: relay.reaches - 1], ()):
        found[module] = jax.tree.map(np.zeros_like, found[module])
    return value, found


@functools.cache
def behind(n, name):
    """(loss, gradient by its own parameters) of the net that ends behind stage n."""
    batch = batch_of()
    net = cut_short(NETS[name], n).build()
    task, state = task_of((Relay(n),) if n < STAGES else (), NETS[name])
    key = jax.random.fold_in(jax.random.key(state.seed), state.step)
    rngs = {"drop_path": jax.random.fold_in(key, 1)}
    images = task.preprocess(jax.random.fold_in(key, 0), batch, train=True)
    stats = variables_of(state.batch_stats, n)

    def loss(params):
        logits, _ = net.apply(
            {"params": params, "batch_stats": stats},
            images, train=True, mutable=["batch_stats"], rngs=rngs,
        )  # fmt: skip
        nll = optax.softmax_cross_entropy_with_integer_labels(logits, batch["label"])
        return nll.mean()

    shapes = complexity.shapes(net, images.shape[1:])["params"]
    params = {k: v for k, v in variables_of(state.params, n).items() if k in shapes}
    return jax.device_get(jax.jit(jax.value_and_grad(loss))(params))


# Values


@pytest.mark.compile
@pytest.mark.parametrize(
    ("relays", "name"),
    [
        ("chain", "residual"),
        ("chain", "plain"),
        ("own loss everywhere", "plain"),
        ("apart", "residual"),
    ],
)
def test_the_gradient_is_the_sum_over_the_losses_that_reach(relays, name):
    losses = RELAYS[relays]
    state, steps = weighed(losses, name)
    found, said = steps[WEIGHT]
    own = {module for module in found if not module.startswith("relay")}
    assert own == set(sum(MODULES[name], ()))
    losses += () if losses[-1].stage == STAGES else (Relay(STAGES),)
    total, expected = 0.0, jax.tree.map(np.zeros_like, found)
    for relay in losses:
        weight = 1 if relay.stage == STAGES else WEIGHT
        value, part = by_definition(state, relay, name)
        total += weight * value
        expected = jax.tree.map(lambda a, b, w=weight: a + w * b, expected, part)
    np.testing.assert_allclose(said["loss"], total, rtol=1e-12)
    tinytask.assert_close(found, expected, rtol=1e-10)
    first = [found[module] for module in MODULES[name][0]]
    assert all(np.any(leaf) for leaf in jax.tree.leaves(first))


@pytest.mark.parametrize(
    "net, stages",
    [
        (PLAIN, 3),
        (nin(), 3),
        (all_cnn("All-CNN-C"), 1),
        (all_cnn("ConvPool-C"), 3),
        (vgg(16), 5),
        (vgg(7, size="digits", levels=(2, 1)), 3),
        (places2(), 4),
    ],
)
def test_pools_end_the_stages_of_plain_nets(net, stages):
    assert len(net.depths) == stages == all_losses(net)[-1].stage
    for number, stage in enumerate(net.parts()[0], 1):
        assert {net.stage_of(name) for name, _ in stage} == {number}
    assert net.stage_of("head") == net.stage_of("relay1") == np.inf
    assert net.stage_of("conv1") == net.stage_of("norm_1") == 1


def test_parameters_of_a_plain_nets_relays_by_kind():
    """fc1, its slopes and the head once more, on 5 channels, and norms nowhere."""
    net, plain = (dataclasses.replace(PLAIN, relays=r) for r in ((Relay(2),), ()))
    more, fewer = (complexity.parts(spec.build(), (8, 8, 1)) for spec in (net, plain))
    assert more.fc - fewer.fc == 5 * 7 + 7 + 7 * 10 + 10
    assert more.slopes - fewer.slopes == 7
    assert dataclasses.replace(more, fc=fewer.fc, slopes=fewer.slopes) == fewer


@pytest.mark.compile
def test_a_loss_is_exactly_nothing_beyond_its_reach():
    """Twice the weight of all relays: twice the gradient where no other loss is."""
    for relays, shared in (("chain", {"stage2"}), ("apart", set())):
        _, steps = weighed(RELAYS[relays], "residual")
        one, two = (steps[weight][0] for weight in (1.0, 2.0))
        own = set(sum(MODULES["residual"][2:], ()))  # of the net's own loss alone
        alone = {*one} - own - shared
        assert {"stem_conv", "stage1", "relay1", "relay2"} < alone
        twice = {name: jax.tree.map(lambda g: 2 * g, one[name]) for name in alone}
        tinytask.assert_equal({name: two[name] for name in alone}, twice)
        tinytask.assert_equal(*({n: tree[n] for n in own} for tree in (one, two)))


@pytest.mark.compile
def test_what_counts_is_as_without_relays():
    """Logits, at test and in training with noise, and the statistics of its norms."""
    unit = UnitSpec(dataclasses.replace(BASIC, noise=Dropout(0.5)), FULL_PRE, "A")
    task, state = task_of(CHAIN, unit=unit)
    plain, _ = task_of((), unit=unit)
    own = [k for k in state.params if "relay" not in k]
    params = {"params": state.params, "batch_stats": state.batch_stats}
    bare = {
        kind: {k: tree[k] for k in own if k in tree} for kind, tree in params.items()
    }
    images = plain.preprocess(None, batch_of(), train=False)
    rngs = {"drop_path": jax.random.key(1), "noise": jax.random.key(2)}
    (*inside, logits), stats = task.apply(params, images, train=True, rngs=rngs)
    expected, expected_stats = plain.apply(bare, images, train=True, rngs=rngs)
    assert [x.shape for x in inside] == [(8, 10), (8, 10)]
    tinytask.assert_equal(logits, expected)
    tinytask.assert_equal({k: stats[k] for k in expected_stats}, expected_stats)
    assert {*stats} - {*expected_stats} == {"relay1", "relay2"}
    tested, _ = task.apply(params, images, train=False, rngs={})
    expected, _ = plain.apply(bare, images, train=False, rngs={})
    tinytask.assert_equal(tested, expected)


@pytest.mark.compile
def test_what_is_initialised_is_as_without_relays():
    net, plain = (dataclasses.replace(NET, relays=r).build() for r in (CHAIN, ()))
    x = jnp.zeros((1, 8, 8, 1))
    a, b = (
        jax.jit(functools.partial(n.init, train=False))(jax.random.key(0), x)
        for n in (net, plain)
    )
    assert {*a} == {"params", "batch_stats"}
    assert {*a["params"]} - {*b["params"]} == {"relay1", "relay2"}
    tinytask.assert_equal({k: a["params"][k] for k in b["params"]}, b["params"])


def test_relays_cost_nothing_at_test():
    net, plain = (dataclasses.replace(NET, relays=r).build() for r in (CHAIN, ()))
    image = (8, 8, 1)
    assert complexity.multiply_adds(net, image) == complexity.multiply_adds(
        plain, image
    )
    # a norm, slopes and a classifier of 4 and of 6 channels
    more = 3 * 4 + 4 * 10 + 10 + 3 * 6 + 6 * 10 + 10
    assert (
        complexity.num_params(net, image) == complexity.num_params(plain, image) + more
    )


@pytest.mark.compile
def test_a_signal_that_is_cut_is_not_computed():
    """The program of losses with short reach has less to do, whatever is in a loop.

    It is counted before it is compiled: nothing is left for a compiler to find out.
    """

    def operations(*relays):
        task, state = task_of(relays, survival=1.0)
        step = jax.jit(make_train_step(task, StepSpec()))
        return step.lower(state, batch_of()).cost_analysis()["flops"]

    short = operations(Relay(1, 1), Relay(2, 2), Relay(3, 3))
    assert short < 0.9 * operations(Relay(1, 1), Relay(2, 1), Relay(3, 1))


@pytest.mark.compile
def test_parts_of_a_batch_add_up():
    """Without norms, which see one part at a time."""
    bare = LayersSpec(norm=None, dtype="float64")
    task, state = task_of(CHAIN, layers=bare, survival=1.0)
    whole, parts = (gradient(task, state, accumulate=n)[0] for n in (1, 2))
    tinytask.assert_close(parts, whole, rtol=1e-10)


@functools.cache
def trained(count, spmd):
    fields = {"train.dtype": "float64", "train.spmd": spmd}
    experiment = tinytask.experiment(fields, count=count)
    layers = experiment.net.layers  # its norm knows of pmap's axis
    net = dataclasses.replace(NET, relays=CHAIN, layers=layers)
    experiment = dataclasses.replace(experiment, net=net)
    state = tinytask.begin(make_task(experiment), experiment.config)
    data = experiment.devices.replicate(experiment.pipeline.resident["train"])
    program = make_program(experiment)
    return tinytask.Trainer(experiment, program, data, state).run(2)


@pytest.mark.compile
@pytest.mark.parametrize("spmd", ["jit", "pmap"])
def test_two_devices_share_a_batch(spmd):
    """Under jit as under pmap, which takes all devices, as one would alone."""
    (state, said), (alone, said_alone) = trained(2, spmd), trained(1, "jit")
    tinytask.assert_close(said, said_alone, rtol=1e-10)
    tinytask.assert_close(state.params, alone.params, rtol=1e-10)


# Words


def made(name="cifar_resnet", relays=None, **model):
    """The network of a config with these relays."""
    fields = {f"model.{path}": value for path, value in model.items()}
    fields |= {"model.name": name, "model.auxiliary_loss": "relay"}
    fields |= {} if relays is None else {"model.auxiliary_loss.stages": relays}
    return network(tinytask.config(fields), num_classes=10, devices=1)


def test_words_of_a_config():
    net = made(depth=8, relays=((1, 1), (3, 2)))
    assert net.relays == all_losses(net) == (Relay(1, 1), Relay(3, 2))
    net = made(depth=8, relays=((2, 2),))
    assert all_losses(net) == (Relay(2, 2), Relay(3, 1))


@pytest.mark.parametrize(
    "model, message",
    [
        ({"relays": ((4, 1),)}, "each is a stage from"),
        ({"relays": ((1, 2),)}, r"at or before it, not \(1, 2\)"),
        ({"relays": ((2, 1), (1, 1))}, "the stages must rise"),
        ({"relays": ((2, 1), (2, 2))}, "the stages must rise"),
        ({"relays": ((2, 2), (3, 3))}, "no loss reaches stage 1"),
        ({"relays": ((1, 1), (3, 3))}, "no loss reaches stage 2"),
        ({"relays": ((0, 1),)}, "must be greater than or equal to 1"),
        ({"relays": ((3, 1),)}, "that is the net's own loss, after the last of 3"),
        ({"relays": ()}, "auxiliary_loss.stages=.*have at least 1 item"),
        (
            {"name": "hardnet", "depth": 39, "relays": ((1, 1),)},
            "config.model='hardnet' has no field 'auxiliary_loss'",
        ),
        ({"name": "nin", "relays": ((4, 1),)}, "each is a stage from 1 to 3"),
    ],
)
def test_what_makes_no_sense_is_refused(model, message):
    with pytest.raises(ConfigError, match=message):
        made(**model)


def test_a_weight_without_a_relay_is_refused():
    with pytest.raises(ConfigError, match=r"auxiliary_loss.weight: .* is none"):
        tinytask.config({"model.auxiliary_loss.weight": 0.5})


# A run


TRAINED = {
    "residual": {
        "model.depth": 11,
        "model.unit.branch": "bottleneck",
        "model.unit.order": "full_pre",
        "model.width": 0.25,
        "train.iterations": 40,
    },
    "towers": {
        "model.name": "places2",
        "model.size": "digits",
        "model.width": 0.125,
        "data.batch_size": 32,
        "optim.learning_rate": 0.02,
        "train.iterations": 60,
    },
}


@pytest.mark.compile
@pytest.mark.parametrize("name", TRAINED)
def test_digits_train(name, shop, tmp_path):
    config = tinytask.config(
        TRAINED[name]
        | {
            "model.auxiliary_loss": "relay",
            "model.auxiliary_loss.stages": ((1, 1), (2, 1), (3, 2)),
            "data.dir": str(shop.folder / "tfds"),
            "optim.schedule": "cosine",
            "train.eval_every": 10,
        }
    )
    run_all(config, tmp_path / "run", bar=runs.Quiet)
    rows = runs.rows(tmp_path / "run")
    errors = [row["top1_err"] for row in rows if row["split"] == "test"]
    assert errors[-1] < 30 < errors[0], errors  # chance is 90 %
