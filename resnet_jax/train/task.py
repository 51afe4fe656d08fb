"""Task of an experiment: its network and data as functions, and their program."""

import functools

import jax.numpy as jnp
import optax
from jaxtyping import PyTree

from resnet_jax.config.rules import relay_weight
from resnet_jax.data.preprocessing import mixing
from resnet_jax.models.inspect import named_inside
from resnet_jax.models.lsuv import lsuv
from resnet_jax.models.nets.auxiliary_loss import Relay, Staged, all_losses
from resnet_jax.models.nets.spec import NetSpec
from resnet_jax.paths import replaced
from resnet_jax.train import program as programs
from resnet_jax.train.auxiliary_gradients import Keep
from resnet_jax.train.evaluate import over_groups
from resnet_jax.train.experiment import Experiment
from resnet_jax.train.program import Program, Update
from resnet_jax.train.projection import projected, projection
from resnet_jax.train.state import TrainState
from resnet_jax.train.step import StepSpec, Task


def make_program(experiment: Experiment, *, size: int | None = None) -> Program:
    """Make the functions of a run, which compile when first called.

    `size`: of training images, in pixels; None: unscaled.
    """
    train = experiment.config.train
    spec = StepSpec(
        label_smoothing=train.label_smoothing,
        accumulate=train.accumulate,
        ema=train.ema,
        max_nonfinite=train.max_nonfinite_updates,
        relay_weight=relay_weight(experiment.config),
    )
    return programs.compiled(
        make_task(experiment, size=size),
        spec,
        spmd=train.spmd,
        devices=experiment.devices,
        seeds=len(experiment.config.seeds),
    )


def updates(experiment: Experiment, program: Program) -> dict[int | None, Update]:
    """Updates by training image size; {None: update} for a single size."""
    sizes = dict.fromkeys(experiment.config.data.sizes)
    if not sizes:
        return {None: Update(program.steps)}
    return {size: Update(make_program(experiment, size=size).steps) for size in sizes}


def make_task(experiment: Experiment, *, size: int | None = None) -> Task:
    """Make functions of the network and its data."""
    spec = experiment.net
    relays, keeps = losses(spec)
    net = spec.build()
    norm = spec.layers.norm
    changed = {"layers.norm": norm and norm.of_last_batch()}
    batch_net = replaced(spec, changed).build()

    project = projection(spec, experiment.pipeline.image_shape)
    tx = experiment.optim.build()

    def init(key):
        x = jnp.zeros((1, *experiment.pipeline.image_shape), jnp.float32)
        variables = dict(net.init(key, x, train=False))
        if project:
            variables["params"] = project(variables["params"])
        return variables

    def apply(variables, images, *, train, rngs, net=net) -> tuple[PyTree, PyTree]:
        if not train:
            return net.apply(variables, images, train=False), variables["batch_stats"]
        logits, new = net.apply(
            variables, images, train=True, mutable=["batch_stats", "relays"], rngs=rngs
        )
        if relays:  # in the order of all losses
            inside = (new["relays"][f"relay{relay.stage}"] for relay in relays[:-1])
            logits = (*(sown["logits"][0] for sown in inside), logits)
        return logits, new.get("batch_stats", {})

    def statistics(variables, images, *, rngs):
        return apply(variables, images, train=True, rngs=rngs, net=batch_net)[1]

    if norm and norm.group:
        statistics = over_groups(statistics, size=norm.group)
    return Task(
        init=init,
        apply=apply,
        preprocess=experiment.pipeline.preprocess_at(size),
        tx=optax.chain(tx, projected(project)) if project else tx,
        protocol=experiment.config.data.protocol.build(),
        statistics=statistics,
        mix=mixing(experiment.config.data),
        keeps=keeps,
    )


def losses(spec: NetSpec) -> tuple[tuple[Relay, ...], tuple[Keep, ...]]:
    """Auxiliary losses of a net, and the part of each gradient to keep."""
    if not isinstance(spec, Staged) or not spec.relays:
        return (), ()
    relays = all_losses(spec)
    keeps = (functools.partial(r.masked, stage_of=spec.stage_of) for r in relays)
    return relays, tuple(keeps)


def scaled_by_data(experiment: Experiment, state: TrainState) -> PyTree:
    """Scale parameters by LSUV, layer-sequential unit variance, on the first batch."""
    batch = experiment.pipeline.first_batch()
    images = experiment.pipeline.preprocess(None, batch, train=False)
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    net = named_inside(experiment.net.build())
    return lsuv(net, variables, images)["params"]
