"""Train steps under jit, compiled ahead of the first call to time each phase."""

import time
from typing import Any

import jax
import optax
from work import Training, num_elements

LEARNING_RATE, MOMENTUM, WEIGHT_DECAY = 0.1, 0.9, 1e-4


def compiled(step: Any, *arguments: Any) -> tuple[Any, dict[str, Any]]:
    """Compile a jitted function for these arguments: (executable, times and sizes)."""
    start = time.perf_counter()
    lowered = step.lower(*arguments)
    traced = time.perf_counter()
    executable = lowered.compile()
    done, text = time.perf_counter(), lowered.as_text()
    memory = executable.memory_analysis()
    return executable, {
        "trace_s": traced - start,
        "compile_s": done - traced,
        "program_lines": text.count("\n"),
        "program_bytes": len(text),
        "temporary_bytes": memory and memory.temp_size_in_bytes,
    }


def training(
    step: Any, carry: Any, *batch: Any, per_call: int | None = None, **facts: Any
) -> Training:
    """Compile `step(carry, *batch) -> (carry, output)`, which donates its carry.

    With `per_call`, a call makes several steps, at most that many; their number is the
    last argument of `step`.
    """
    params = facts.pop("params")
    limit = () if per_call is None else (per_call,)
    step, measured = compiled(step, carry, *batch, *limit)

    def run(steps):
        nonlocal carry
        for done in range(0, steps, per_call or 1):
            count = [min(k, steps - done) for k in limit]
            carry, _ = step(carry, *batch, *count)
        jax.block_until_ready(carry)

    return Training(
        run,
        params=params,
        facts=measured | facts,
        device_peak=device_peak,
        program=step.as_text,
    )


def sgd(forward: Any, params: Any, state: Any, images: Any, labels: Any) -> Training:
    """Train step of SGD with momentum and weight decay, as usually written with optax.

    forward(params, state, images) -> (logits, new state)
    """
    tx = optax.chain(
        optax.add_decayed_weights(WEIGHT_DECAY), optax.sgd(LEARNING_RATE, MOMENTUM)
    )

    def step(carry, images, labels):
        params, state, moments = carry

        def loss_of(params):
            logits, new = forward(params, state, images)
            losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
            return losses.mean(), new

        (loss, state), grads = jax.value_and_grad(loss_of, has_aux=True)(params)
        updates, moments = tx.update(grads, moments, params)
        return (optax.apply_updates(params, updates), state, moments), loss

    carry = params, state, jax.jit(tx.init)(params)
    count = num_elements(leaf.shape for leaf in jax.tree.leaves(params))
    return training(
        jax.jit(step, donate_argnums=0), carry, images, labels, params=count
    )


def batch(case: Any) -> tuple[jax.Array, jax.Array]:
    """Random images in [0, 1] and labels, on the device."""
    images, labels = jax.random.split(jax.random.key(0))
    shape = (case.batch, *case.net.image)
    return (
        jax.random.uniform(images, shape),
        jax.random.randint(labels, shape[:1], 0, case.net.classes),
    )


def device_peak() -> int | None:
    """Peak bytes in use on the device so far; None on a CPU, which does not count."""
    stats = jax.local_devices()[0].memory_stats()
    return stats and stats["peak_bytes_in_use"]
