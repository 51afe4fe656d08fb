"""ResNet-50 of dm-haiku, which has networks with the ImageNet stem only."""

import haiku as hk
import jax
import jax.numpy as jnp
import jitted
import jmp
from cases import Case
from work import Training


def training(case: Case) -> Training:
    if case.dtype == "bfloat16":  # as in haiku's ImageNet example
        half = jmp.get_policy("params=float32,compute=bfloat16,output=bfloat16")
        norm = jmp.get_policy("params=float32,compute=float32,output=bfloat16")
        hk.mixed_precision.set_policy(hk.nets.ResNet50, half)
        hk.mixed_precision.set_policy(hk.BatchNorm, norm)

    def network(images):
        logits = hk.nets.ResNet50(case.net.classes)(images, is_training=True)
        return logits.astype(jnp.float32)

    model = hk.transform_with_state(network)
    images, labels = jitted.batch(case)
    params, state = model.init(jax.random.key(0), images[:1])

    def forward(params, state, images):
        return model.apply(params, state, None, images)

    return jitted.sgd(forward, params, state, images, labels)
