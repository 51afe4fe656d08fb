"""StableHLO of a trained net, as `jax.export` serializes it."""

from collections.abc import Callable
from typing import Any

import jax
from jax import export

from resnet_jax.interop.files import missing
from resnet_jax.train.loaded import LoadedRun

SUFFIX = ".stablehlo"
# Largest difference that is let pass, relative to the largest probability: rounding of
# float32, which grows with depth; another function differs by more.
BOUND = 1e-5
PLATFORMS = ("cpu", "cuda", "tpu")


def check_installed() -> None:
    """ConfigError without flatbuffers, with which jax serializes."""
    try:
        import flatbuffers  # noqa: F401 # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise missing("flatbuffers", "export") from error


def serialized(run: LoadedRun) -> bytes:
    """Bytes of images [b *image_shape] to class probabilities [b n], b symbolic."""
    (batch,) = export.symbolic_shape("b")
    images = jax.ShapeDtypeStruct((batch, *run.image_shape), run.inputs.dtype)
    staged = export.export(jax.jit(run.probabilities), platforms=PLATFORMS)
    return bytes(staged(images).serialize())


def deserialized(content: bytes) -> Callable[[Any], Any]:
    """Function that `serialized` wrote."""
    return export.deserialize(bytearray(content)).call
