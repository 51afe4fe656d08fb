"""SGD in the dialects of the papers' code, AdamW, and learning rate schedules.

g = dL/dp + weight_decay * p is the gradient of the loss with its L2 term, r the
learning rate. With momentum m and dampening d, from the second step on,

    torch   v <- m v + (1 - d) g;   p <- p - r v    Nesterov  p <- p - r (g + m v)
    caffe   v <- m v + r g;         p <- p - v      Nesterov  p <- p - (r g + m v)

The two agree while r is constant. Where it drops, Caffe's buffer still holds steps of
the old size, so that a tenth of the rate is reached over about 1 / (1 - m) iterations.
He et al.'s papers were trained with Caffe, fb.resnet.torch and its descendants with
Torch. (README of KaimingHe/deep-residual-networks; BVLC/caffe, sgd_solver.cpp and
nesterov_solver.cpp; torch.optim.SGD.)
"""

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Int32

from resnet_jax.config.optimizers import Steps
from resnet_jax.config.schema import Config
from resnet_jax.errors import ConfigError
from resnet_jax.train.by_name import Decay, add_scale_l1, decayed, scale_layers

Rate = float | np.ndarray | jax.Array
# Fields of the spec that have another name in a config.
FIELDS = {
    "boundaries": "schedule.boundaries",
    "decay_factor": "schedule.decay_factor",
    "warmup_steps": "warmup.steps",
    "warmup_rate": "warmup.learning_rate",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimSpec:
    """Optimizer and its schedule in iterations (updates)."""

    name: Literal["sgd", "adamw"] = "sgd"
    learning_rate: float = 0.1
    momentum: float = 0.9  # beta1 of AdamW
    dampening: float = 0.0
    dialect: Literal["torch", "caffe"] = "torch"
    nesterov: bool = False
    beta2: float = 0.999  # AdamW only, as is epsilon (Loshchilov & Hutter 2019)
    epsilon: float = 1e-8
    weight_decay: float = 1e-4
    decay: Decay = "all"
    scale_l1: float = 0.0  # on the scales of norms (Liu et al. 2017, Eq. 1)
    schedule: Literal["steps", "cosine", "linear", "constant"] = "constant"
    boundaries: tuple[int, ...] = ()  # the first iterations at a lower rate
    decay_factor: float = 0.1
    total_steps: int
    warmup_steps: int = 0
    warmup: Literal["linear", "constant"] = "linear"
    warmup_rate: float = 0.0  # start of a linear warm-up, rate of a constant one
    # On the rate of layers, by name; the longest name that fits counts, 0 freezes.
    factors: tuple[tuple[str, float], ...] = ()

    def __post_init__(self):
        problems = [
            f"optim.{FIELDS.get(name, name)}={getattr(self, name)!r}: {rule}"
            for name, rule in itertools.chain(_ranges(self), _combinations(self))
        ]
        if problems:
            raise ConfigError("\n".join(problems))

    def schedule_fn(self) -> Callable[..., Rate]:
        """Make schedule(finished updates) -> rate of the next, traced as its input."""
        return functools.partial(_rate, self)

    def build(self) -> optax.GradientTransformation:
        """Build the transformation from gradients of the bare loss to updates."""
        if self.scale_l1:
            return optax.chain(add_scale_l1(self.scale_l1), self._descent())
        return self._descent()

    def _descent(self):
        decay = optax.add_decayed_weights(
            self.weight_decay, functools.partial(decayed, decay=self.decay)
        )
        rate = optax.scale_by_schedule(self.schedule_fn())
        descend = optax.scale(-1.0)
        if self.factors:
            descend = optax.chain(descend, scale_layers(self.factors))
        if self.name == "adamw":
            adam = optax.scale_by_adam(self.momentum, self.beta2, self.epsilon)
            return optax.chain(adam, decay, rate, descend)
        buffer = scale_by_momentum(
            self.momentum, dampening=self.dampening, nesterov=self.nesterov
        )
        if self.dialect == "caffe":
            return optax.chain(decay, rate, buffer, descend)
        return optax.chain(decay, buffer, rate, descend)


class MomentumState(NamedTuple):
    count: Int32[Array, ""]
    buffer: optax.Updates


def optimizer(config: Config, *, total_steps: int) -> OptimSpec:
    """Specify the optimizer of a config, with its schedule in iterations of the run.

    Boundaries below 1 are shares of the run.
    """
    optim, schedule = config.optim, config.optim.schedule
    boundaries, decay_factor = (), OptimSpec.decay_factor
    if isinstance(schedule, Steps):
        shares, decay_factor = schedule.boundaries, schedule.decay_factor
        boundaries = tuple(round(b * total_steps if b < 1 else b) for b in shares)
        if any(boundary >= total_steps for boundary in boundaries):
            raise ConfigError(
                f"optim.schedule.boundaries={shares}: beyond the last of {total_steps} "
                "iterations; give shares of the run, e.g. (0.5, 0.75)"
            )
    warmup = optim.warmup
    return OptimSpec(
        **optim.spec_fields(),
        learning_rate=optim.learning_rate,
        weight_decay=optim.weight_decay,
        decay=optim.decay,
        scale_l1=optim.scale_l1,
        schedule=schedule.name,
        boundaries=boundaries,
        decay_factor=decay_factor,
        total_steps=total_steps,
        warmup_steps=warmup.steps if warmup else 0,
        warmup=warmup.name if warmup else "constant",
        warmup_rate=warmup.learning_rate if warmup else 0.0,
        factors=(*((name, 0.0) for name in optim.frozen), *optim.factors),
    )


def scale_by_momentum(
    momentum: float, *, dampening: float = 0.0, nesterov: bool = False
) -> optax.GradientTransformation:
    """g -> v <- m v + (1 - d) g, undamped at the first step; Nesterov g -> g + m v."""

    def init(params):
        buffer = optax.tree.zeros_like(params)
        return MomentumState(jnp.zeros((), jnp.int32), buffer)

    def update(updates, state, params=None):
        del params
        fresh = jnp.where(state.count == 0, 1.0, 1.0 - dampening)
        buffer = jax.tree.map(
            lambda v, g: momentum * v + fresh.astype(g.dtype) * g, state.buffer, updates
        )
        if nesterov:
            updates = jax.tree.map(lambda g, v: g + momentum * v, updates, buffer)
        else:
            updates = buffer
        count = jnp.asarray(optax.safe_increment(state.count))
        return updates, MomentumState(count, buffer)

    return optax.GradientTransformation(init, update)


def _rate(spec: OptimSpec, step) -> Rate:
    """Learning rate at a step; computed by NumPy unless the step is a JAX array."""
    xp = jnp if isinstance(step, jax.Array) else np
    step = xp.asarray(step, float)  # JAX divides int32 in float32 even under x64
    top, length = spec.learning_rate, spec.warmup_steps
    gap = top - spec.warmup_rate if spec.warmup == "linear" else 0.0
    warm = spec.warmup_rate + gap * (step / max(length, 1))
    return xp.where(step < length, warm, _annealed(spec, step, xp))[()]


def _annealed(spec: OptimSpec, step, xp):
    """Learning rate after the warm-up; cosine and linear end with the run."""
    top, left = spec.learning_rate, spec.total_steps - spec.warmup_steps
    done = xp.clip((step - spec.warmup_steps) / left, 0.0, 1.0)
    match spec.schedule:
        case "steps":
            rate = top
            for drops, boundary in enumerate(spec.boundaries, start=1):
                rate = xp.where(step >= boundary, top * spec.decay_factor**drops, rate)
            return rate
        case "cosine":  # without restarts (Loshchilov & Hutter 2017, Eq. 5)
            return top * 0.5 * (1.0 + xp.cos(np.pi * done))
        case "linear":
            return top * (1.0 - done)
        case "constant":
            return top


def _ranges(s: OptimSpec) -> Iterator[tuple[str, str]]:
    """Yield fields out of range, each with its rule; NaN passes none."""
    for name in ("learning_rate", "epsilon"):
        if not 0 < getattr(s, name) < math.inf:
            yield name, "must be finite and above 0"
    for name in ("weight_decay", "warmup_rate"):
        if not 0 <= getattr(s, name) < math.inf:
            yield name, "must be finite and at least 0"
    for name in ("momentum", "dampening", "beta2"):
        if not 0 <= getattr(s, name) < 1:
            yield name, "must be in [0, 1)"
    if not 0 < s.decay_factor <= 1:
        yield "decay_factor", "must be in (0, 1]"
    if s.total_steps < 1:
        yield "total_steps", "must be at least 1"
    if s.warmup_steps < 0:
        yield "warmup_steps", "must be at least 0"


def _combinations(s: OptimSpec) -> Iterator[tuple[str, str]]:
    """Yield fields that contradict another one."""
    if s.warmup_steps >= max(s.total_steps, 1):
        rule = f"must be fewer than the {s.total_steps} iterations of the run"
        yield "warmup_steps", rule
    if s.warmup_steps > 0 and s.warmup_rate > s.learning_rate:
        yield "warmup_rate", f"must not exceed optim.learning_rate={s.learning_rate}"
    if s.warmup_steps > 0 and s.warmup == "constant" and s.warmup_rate == 0:
        yield "warmup_rate", "must be above 0 in a constant warm-up, or nothing trains"
    if any(a >= b for a, b in itertools.pairwise((s.warmup_steps, *s.boundaries))):
        rule = f"must increase, from above optim.warmup.steps={s.warmup_steps}"
        yield "boundaries", rule
    if s.schedule == "steps" and not s.boundaries:
        yield "boundaries", "needs an entry or more with schedule='steps'"
    if s.nesterov and (s.momentum == 0 or s.dampening != 0):
        yield "nesterov", "needs a momentum above 0 and no dampening"
    if s.nesterov and s.name == "adamw":
        yield "nesterov", "must be False with name='adamw', which has no such step"
    if s.dampening != 0 and s.dialect == "caffe":
        yield "dampening", "must be 0 with dialect='caffe', which has none"
    if s.dampening != 0 and s.name == "adamw":
        yield "dampening", "must be 0 with name='adamw', which damps by beta1"
