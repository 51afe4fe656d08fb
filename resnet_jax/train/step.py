"""Update and evaluation steps: pure functions of (state, batch).

A batch is {"image" [b *hw c], "label" [b], "mask" [b], "row" [b]}; `row` is the
position in the global batch, so that noise does not depend on how it is sharded.
"""

import dataclasses
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PyTree

from resnet_jax.train import auxiliary_gradients
from resnet_jax.train.protocols import EvaluationProtocol, OneCrop
from resnet_jax.train.state import Sums, TrainState, Variables

DeviceBatch = Mapping[str, jax.Array | np.ndarray]  # on a device, or to be put there


@dataclasses.dataclass(frozen=True)
class Task:
    """Network and data as functions.

    init(key) -> variables
    apply(variables, images, train=, rngs=) -> (logits [b n], batch_stats)
    preprocess(key, batch, train=) -> images
    mix(key, images) -> (images, partner [b], weight) of training images, as MixSpec;
        None: images are not mixed
    statistics(variables, images, rngs=) -> batch_stats of these images alone
    protocol: views of an example that an evaluation scores
    keeps: with several losses, the part of each gradient to keep, as in
        `auxiliary_gradients`; `apply` then returns logits per loss in training, those
        of the final classifier last
    """

    init: Callable[..., Variables]
    apply: Callable[..., tuple[PyTree, PyTree]]
    preprocess: Callable[..., jax.Array]
    statistics: Callable[..., PyTree]
    tx: optax.GradientTransformation
    protocol: EvaluationProtocol = OneCrop()
    mix: Callable[..., tuple[jax.Array, jax.Array, jax.Array]] | None = None
    keeps: tuple[auxiliary_gradients.Keep, ...] = ()


@dataclasses.dataclass(frozen=True)
class StepSpec:
    """Settings of an update."""

    label_smoothing: float = 0.0
    accumulate: int = 1  # parts of a batch; BatchNorm sees one part at a time
    ema: float = 0.0  # decay of the moving averages of all variables; 0: none
    max_nonfinite: int = 0  # non-finite updates to leave out before the run stops
    relay_weight: float = 1.0  # of each auxiliary loss
    axis_name: str | None = None  # of pmap


def example_sums(
    logits: Float[Array, "b n"], label: Int[Array, " b"], mask: Float[Array, " b"]
) -> Sums:
    """n, wrong (top-1), wrong5 and negative log likelihood [nats], summed over a batch.

    The rank of the label counts the classes before it in a stable sort of the logits.
    """
    nll = optax.softmax_cross_entropy_with_integer_labels(logits, label)
    own = jnp.take_along_axis(logits, label[:, None], axis=1)
    before = jnp.arange(logits.shape[1])[None] < label[:, None]
    rank = ((logits > own) | ((logits == own) & before)).sum(axis=1)
    rank = jnp.where(jnp.isfinite(nll), rank, max(logits.shape[1], 5))
    counted = {"n": 1.0, "wrong": rank >= 1, "wrong5": rank >= 5, "nll": nll}
    return {k: (v * mask).sum().astype(jnp.float32) for k, v in counted.items()}


def make_train_step(
    task: Task, spec: StepSpec
) -> Callable[[TrainState, DeviceBatch], tuple[TrainState, Sums]]:
    """step(state, batch) -> (new state, {"loss", "ok", "skipped"}).

    An update with a non-finite loss, gradient or result is left out and counted; past
    `max_nonfinite` the state freezes, so that a finite state is saved.
    """
    gradients = _gradients(_objective(task, spec), task, spec)

    def step(state, batch):
        loss, grads, batch_stats, sums = gradients(state, batch)
        size = len(batch["label"])
        if spec.axis_name:
            size *= jax.lax.axis_size(spec.axis_name)
            loss, grads, sums = jax.lax.psum((loss, grads, sums), spec.axis_name)
        loss, grads = jax.tree.map(lambda x: x / size, (loss, grads))
        updates, opt_state = task.tx.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        new = state.replace(
            step=state.step + 1,
            params=params,
            batch_stats=batch_stats,
            opt_state=opt_state,
            ema=_averaged(state, params, batch_stats, spec.ema),
            sums=jax.tree.map(jnp.add, state.sums, sums),
        )
        # Large values overflow in the norm and count as non-finite as well.
        ok = jnp.isfinite(optax.tree.norm((loss, grads, params, batch_stats)))
        ok &= state.skipped <= spec.max_nonfinite
        state = _select(ok, new, state, spec)
        return state, {"loss": loss, "ok": ok, "skipped": state.skipped}

    return step


def output_buffers(state: TrainState, k: int) -> Sums:
    """Zeros for the outputs of k steps: {"loss", "ok", "skipped"}, [k] each."""
    loss = jnp.result_type(*jax.tree.leaves(state.params))
    dtypes = {"loss": loss, "ok": bool, "skipped": state.skipped.dtype}
    return {name: jnp.zeros(k, dtype) for name, dtype in dtypes.items()}


def _objective(task, spec):
    """Make objective(...) -> (loss summed over a part of a batch, (statistics, sums)).

    With auxiliary losses, the loss sums are stacked, that of the classifier last.
    """

    def objective(params, batch_stats, part, key, number):
        images = task.preprocess(jax.random.fold_in(key, 0), part, train=True)
        if task.mix:
            mix_key = jax.random.fold_in(jax.random.fold_in(key, 3), number)
            images, partner, weight = task.mix(mix_key, images)
        variables = {"params": params, "batch_stats": batch_stats}
        logits, batch_stats = task.apply(
            variables, images, train=True, rngs=_streams(key, number, spec.axis_name)
        )
        *auxiliary, logits = logits if task.keeps else (logits,)
        targets = jax.nn.one_hot(part["label"], logits.shape[1], dtype=logits.dtype)
        if task.mix:
            targets = weight * targets + (1 - weight) * targets[partner]
        targets = optax.smooth_labels(targets, spec.label_smoothing)

        def loss(logits):
            nll = optax.softmax_cross_entropy(logits, targets)
            return (nll * part["mask"]).sum()

        sums = example_sums(logits, part["label"], part["mask"])
        if not task.keeps:
            return loss(logits), (batch_stats, sums)
        losses = [spec.relay_weight * loss(x) for x in auxiliary]
        return jnp.stack([*losses, loss(logits)]), (batch_stats, sums)

    return objective


def _gradients(objective, task, spec):
    """Make gradients(state, batch) -> (loss sum, gradient, statistics, sums)."""
    if task.keeps:
        grad = auxiliary_gradients.value_and_grad(objective, task.keeps)
    else:
        grad = jax.value_and_grad(objective, has_aux=True)

    def gradients(state, batch):
        key = jax.random.fold_in(jax.random.key(state.seed), state.step)
        if spec.accumulate == 1:
            (loss, aux), grads = grad(state.params, state.batch_stats, batch, key, 0)
            return loss, grads, *aux

        def add(carry, numbered):
            loss, grads, batch_stats, sums = carry
            number, part = numbered
            (more, (batch_stats, seen)), g = grad(
                state.params, batch_stats, part, key, number
            )
            added = jax.tree.map(jnp.add, (loss, grads, sums), (more, g, seen))
            return (*added[:2], batch_stats, added[2]), None

        parts = jax.tree.map(lambda x: _split(x, spec.accumulate), batch)
        first = jax.tree.map(lambda x: x[0], parts)
        shapes = jax.eval_shape(grad, state.params, state.batch_stats, first, key, 0)
        (loss, (_, sums)), grads = jax.tree.map(
            lambda s: jnp.zeros(s.shape, s.dtype), shapes
        )
        start = (loss, grads, state.batch_stats, sums)
        numbers = jnp.arange(spec.accumulate)
        return jax.lax.scan(add, start, (numbers, parts))[0]

    return gradients


def make_eval_step(task: Task) -> Callable[[Variables, DeviceBatch], Sums]:
    """Make evaluate(variables, batch) -> sums, with examples weighted by their mask."""

    def evaluate(variables, batch):
        images = task.preprocess(None, batch, train=False)

        def apply(views):
            return task.apply(variables, views, train=False, rngs={})[0]

        logits = task.protocol(apply, images)
        return example_sums(logits, batch["label"], batch["mask"])

    return evaluate


def _split(x, parts):
    """Split [b ...] into [parts b/parts ...], with a share of every device in each."""
    return x.reshape(-1, parts, *x.shape[1:]).swapaxes(0, 1)


def _streams(key, number, axis_name):
    """Random streams: drop_path per batch, noise per part of a batch and device."""
    noise = jax.random.fold_in(jax.random.fold_in(key, 2), number)
    if axis_name:
        noise = jax.random.fold_in(noise, jax.lax.axis_index(axis_name))
    return {"drop_path": jax.random.fold_in(key, 1), "noise": noise}


def _averaged(state, params, batch_stats, decay):
    """Moving averages of parameters and of BatchNorm's statistics.

    The decay of the t-th average (t = 0, 1, ...) is min(decay, (1 + t) / (10 + t)), as
    in TensorFlow's ExponentialMovingAverage with num_updates: else the initial values
    would keep a weight of decay^t.
    """
    if state.ema is None:
        return None

    def averaged(old, new):
        t = (state.step - state.skipped).astype(old.dtype)
        d = jnp.minimum(decay, (1 + t) / (10 + t))
        return d * old + (1 - d) * new

    new = {"params": params, "batch_stats": batch_stats}
    return jax.tree.map(averaged, state.ema, new)


def _select(ok, new, old, spec):
    """Choose `new` where ok, else `old`, one step on unless the run is to stop."""
    skipped = old.replace(
        skipped=old.skipped + 1, step=old.step + (old.skipped < spec.max_nonfinite)
    )
    return jax.tree.map(lambda a, b: jnp.where(ok, a, b), new, skipped)
