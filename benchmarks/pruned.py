"""Measured over nominal speed-up of cut networks, and the time to compile one.

    python benchmarks/pruned.py --out results/benchmarks/pruned.json
    python benchmarks/render.py results/benchmarks/*.json > results/benchmarks.md

Networks are cut to half of their multiply-adds as channel pruning does it: every layer
that may be cut keeps the same share, here the first channels, as times depend on shapes
alone. The whole and the cut network take turns in one process, so that a slow minute of
the machine affects both. A step is forward and backward; nothing is updated. Compile
times are those of the step, of one program after the other, without a cache.
"""

import argparse
import dataclasses
import json
import pathlib
import statistics
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
from run import environment

import resnet_jax
from resnet_jax.models import complexity
from resnet_jax.prune import budget, channels
from resnet_jax.prune.places import filled, prepared, without

SPEEDUP = 2.0
TURNS = 9
FULL_PRE = {"order": resnet_jax.FULL_PRE, "branch": resnet_jax.BOTTLENECK_3X3}
# Network, side of an image, images in a batch
CASES = {
    "VGG-16": (resnet_jax.vgg(16), 224, 4),
    "ResNet-50": (resnet_jax.imagenet_resnet(50), 224, 8),
    "VGG-19, CIFAR": (resnet_jax.vgg(19, size="cifar", variant="mean"), 32, 64),
}
COMPILED = {"ResNet-164, CIFAR": (resnet_jax.cifar_resnet(164, **FULL_PRE), 32, 8)}


def cut(spec, side):
    """The network of half the multiply-adds."""
    shape = (side, side, 3)
    shapes = complexity.shapes(spec.build(), shape)
    zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), shapes)
    spec, zeros = prepared(spec, zeros)
    may = channels.convolutions(spec, zeros)
    kept = budget.widths(spec, shape, may, speedup=SPEEDUP)
    masks = {place.reader: np.arange(n) < kept[place] for place, n in may.items()}
    return without(spec, filled(spec, zeros, masks))


def programs(spec, side, batch):
    """Inference and the compiled step, their argument, and seconds to compile it."""
    net, images = spec.build(), jnp.ones((batch, side, side, 3), jnp.float32)
    shapes = complexity.shapes(net, (side, side, 3))
    random = np.random.default_rng(0)
    variables = jax.tree.map(
        lambda leaf: jnp.asarray(0.1 * random.random(leaf.shape, np.float32)), shapes
    )

    def inference(variables):
        return net.apply(variables, images, train=False)

    def loss(params, others):
        logits, _ = net.apply(
            {"params": params, **others}, images, train=True, mutable=["batch_stats"],
            rngs={"noise": jax.random.key(0)},
        )  # fmt: skip
        return jnp.square(logits).mean()

    def step(variables):
        others = {k: v for k, v in variables.items() if k != "params"}
        return jax.grad(loss)(variables["params"], others)

    began = time.perf_counter()
    compiled = jax.jit(step).lower(variables).compile()
    seconds = time.perf_counter() - began
    return {"inference": jax.jit(inference), "step": compiled}, variables, seconds


def timed(call, argument) -> float:
    began = time.perf_counter()
    jax.block_until_ready(call(argument))
    return time.perf_counter() - began


def measured(name, spec, side, batch) -> dict:
    """Milliseconds of both networks, turn by turn."""
    nets = {"whole": spec, "cut": cut(spec, side)}
    made = {key: programs(net, side, batch) for key, net in nets.items()}
    adds = {
        k: complexity.count(n, (side, side, 3)).multiply_adds for k, n in nets.items()
    }
    times = {kind: {key: [] for key in nets} for kind in ("inference", "step")}
    for turn in range(TURNS + 1):
        for kind, by_net in times.items():
            for key in nets:
                calls, variables, _ = made[key]
                seconds = timed(calls[kind], variables)
                if turn:  # the first one compiles
                    by_net[key].append(round(1e3 * seconds, 2))
    row = {"name": name, "batch": batch, "nominal": adds["whole"] / adds["cut"]}
    for kind, by_net in times.items():
        row[f"{kind}_ms"] = by_net
        ratios = [a / b for a, b in zip(by_net["whole"], by_net["cut"], strict=True)]
        row[kind] = statistics.median(ratios)
    print(
        f"{name}: nominal {row['nominal']:.2f}, inference {row['inference']:.2f}, "
        f"step {row['step']:.2f}",
        file=sys.stderr,
    )
    return row


def compile_times(name, spec, side, batch) -> dict:
    """Seconds to compile a step: in loops, unrolled, and cut."""
    unrolled = dataclasses.replace(spec, depth_mode="unroll")
    nets = {"loops": spec, "unrolled": unrolled, "cut": cut(spec, side)}
    row = {"name": name, "batch": batch}
    for key, net in nets.items():
        row[key] = round(programs(net, side, batch)[2], 1)
        print(f"{name}, {key}: {row[key]} s", file=sys.stderr)
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--cases", nargs="*", default=[*CASES, *COMPILED])
    options = parser.parse_args()
    jax.config.update("jax_enable_compilation_cache", False)
    result = {
        "environment": environment(),
        "pruned": [measured(n, *c) for n, c in CASES.items() if n in options.cases],
        "compiled": [
            compile_times(n, *c) for n, c in COMPILED.items() if n in options.cases
        ],
    }
    options.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
