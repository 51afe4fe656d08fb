"""Ten steps of training equal PyTorch's in float64 (golden/make_traces.py)."""

import pathlib

import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tinytask
from golden import layout

from resnet_jax.models.units.branch import BOTTLENECK
from resnet_jax.models.units.unit import FULL_PRE
from resnet_jax.models.zoo.resnets import cifar_resnet
from resnet_jax.paths import replaced
from resnet_jax.train.optim import OptimSpec
from resnet_jax.train.state import create
from resnet_jax.train.step import StepSpec, Task, make_train_step

GOLDEN = pathlib.Path(__file__).parent / "golden"
RUNS = {
    "resnet20": (
        cifar_resnet(20, shortcut="A"),
        OptimSpec(weight_decay=1e-4, total_steps=10),
    ),
    "preact29": (
        cifar_resnet(29, branch=BOTTLENECK, order=FULL_PRE, shortcut="B"),
        OptimSpec(
            weight_decay=1e-4,
            nesterov=True,
            schedule="steps",
            boundaries=(5,),
            total_steps=10,
        ),
    ),
}


def nested(flat):
    return jax.tree.map(jnp.asarray, flax.traverse_util.unflatten_dict(flat, sep="/"))


def task_of(net, tx):
    def apply(variables, images, *, train, rngs):
        logits, state = net.apply(
            variables, images, train=train, rngs=rngs, mutable=["batch_stats"]
        )
        return logits, state["batch_stats"]

    return Task(
        init=net.init,
        apply=apply,
        preprocess=lambda key, batch, train: batch["image"],
        statistics=apply,
        tx=tx,
    )


def batches():
    for step in range(layout.STEPS):
        image, label = layout.batch(step)
        rows = np.arange(layout.BATCH)
        batch = {"image": image, "label": label.astype(np.int32)}
        yield batch | {"mask": np.ones(layout.BATCH), "row": rows.astype(np.int32)}


def digests(state):
    trees = {"params": state.params, "batch_stats": state.batch_stats}
    flat = flax.traverse_util.flatten_dict(trees, sep="/")
    return {path: layout.digest(path, np.asarray(a)) for path, a in flat.items()}


@pytest.mark.compile
@pytest.mark.parametrize("network", RUNS)
def test_ten_steps_equal_torch(network):
    golden = np.load(GOLDEN / f"{network}.npz")
    spec, optim = RUNS[network]
    net, tx = replaced(spec, {"layers.dtype": "float64"}).build(), optim.build()
    with jax.enable_x64(True):
        variables = {
            "params": nested(layout.params(network)),
            "batch_stats": nested(layout.statistics(network)),
        }
        state = create(variables, tx, seed=jnp.uint32(0), ema=0.0)
        one = make_train_step(task_of(net, tx), StepSpec())
        step = jax.jit(one, compiler_options=tinytask.OPTIMISED)
        losses, seen = [], []
        for batch in batches():
            state, result = step(state, batch)
            losses.append(float(result["loss"]))
            if len(losses) in (1, layout.STEPS):
                seen.append(digests(state))
    np.testing.assert_allclose(losses, golden["losses"], rtol=1e-6)
    for got, want in zip(seen, golden["digests"], strict=True):
        assert got.keys() == set(golden["paths"])
        for path, pinned in zip(golden["paths"], want, strict=True):
            atol = 1e-6 * pinned[1]  # relative to the norm: sums may cancel
            np.testing.assert_allclose(
                got[path], pinned, rtol=0, atol=atol, err_msg=path
            )
