"""Makes keras_values.json: Xception of Keras Applications, in float64.

KERAS_BACKEND=jax JAX_ENABLE_X64=1 python tests/golden/make_keras.py (with Keras; the
tests read the file only)

    made    versions
    image   shape [h w c], with odd and even maps before the pools
    params  arrays of all kinds, and those without running statistics, of 1000 classes
    logits  of the image drawn for the net, with the weights drawn for it: 10 classes
    layers  {block: digest} of the outputs of the fourteen blocks; of the last pooled

Weights are drawn under Keras' names, "block2_sepconv1.depthwise.weight", with the axes
that drawn.py knows; the projections, which have no names there, are block2_shortcut.
"""

import json
import pathlib

import drawn
import keras
import numpy as np
from keras.src.backend.common import dtypes

VALUES = pathlib.Path(__file__).parent / "keras_values.json"
NET, IMAGE, CLASSES = "keras/xception", [84, 74, 3], 10
NORM = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean"}
NORM |= {"moving_variance": "running_var"}
KERNEL = {"kernel": "weight", "bias": "bias", "depthwise_kernel": "depthwise.weight"}
KERNEL |= {"pointwise_kernel": "pointwise.weight"}
RESIZED = (2, 3, 4, 13)  # blocks with a projection
OUTPUTS = {"block1_conv2_act": "block1", "avg_pool": "block14"}


def numbered(name: str, base: str) -> int | None:
    """3 of "add_3", 0 of "add"; None of other names."""
    head, _, tail = name.rpartition("_")
    if name == base:
        return 0
    return int(tail) if head == base and tail.isdecimal() else None


def layer_name(name: str) -> str:
    """The name of a layer, also of projections and of sums."""
    for base, suffix in {"conv2d": "", "batch_normalization": "_bn"}.items():
        if (k := numbered(name, base)) is not None:
            return f"block{RESIZED[k]}_shortcut{suffix}"
    if (k := numbered(name, "add")) is not None:
        return f"block{k + 2}"
    return OUTPUTS.get(name, name)


def axes(variable: str, rank: int) -> tuple[int, ...]:
    """Axes [out in *k] of a kernel of Keras."""
    if variable == "depthwise_kernel":  # [*k c 1]
        return (2, 3, 0, 1)
    return (rank - 1, rank - 2, *range(rank - 2)) if rank > 1 else (0,)


def load(model) -> None:
    """Draw all weights by name, and set them."""
    for layer in model.layers:
        arrays = []
        for weight in layer.weights:
            name = f"{layer_name(layer.name)}.{(NORM | KERNEL)[weight.name]}"
            order = axes(weight.name, len(weight.shape))
            shape = [weight.shape[axis] for axis in order]
            (array,) = drawn.weights(NET, {name: shape}).values()
            arrays.append(array.transpose(np.argsort(order)))
        layer.set_weights(arrays)


def main() -> None:
    keras.config.set_floatx("float64")
    # Beside TensorFlow, norms and means would be computed in float32.
    dtypes.BIT64_TO_BIT32_DTYPE["float64"] = "float64"
    full = keras.applications.Xception(weights=None)
    trained = sum(int(np.prod(w.shape)) for w in full.trainable_weights)
    keras.utils.clear_session()
    model = keras.applications.Xception(
        weights=None, input_shape=IMAGE, classes=CLASSES, classifier_activation=None
    )
    load(model)
    names = {layer_name(layer.name): layer for layer in model.layers}
    blocks = [f"block{number}" for number in range(1, 15)]
    outputs = [names[block].output for block in blocks]
    probe = keras.Model(model.input, [*outputs, model.output])
    *maps, logits = (np.asarray(y)[0] for y in probe(drawn.images(NET, IMAGE)))
    layers = {
        name: drawn.digest(name, array).tolist()
        for name, array in zip(blocks, maps, strict=True)
    }
    found = {
        "made": {"keras": keras.__version__, "backend": keras.backend.backend()},
        "image": IMAGE,
        "params": [full.count_params(), trained],
        "logits": logits.tolist(),
        "layers": layers,
    }
    rows = [f"{json.dumps(name)}: {json.dumps(row)}" for name, row in found.items()]
    VALUES.write_text("{" + ",\n".join(rows) + "}\n")
    print(logits, layers["block14"])


if __name__ == "__main__":
    main()
