"""Released networks converted and run in float64, beside PyTorch's own outputs.

    python tests/released.py [NET ...]

prints, for the nets of golden/torch_values.json, the largest difference of a logit from
PyTorch's, relative to the largest logit, and of the digest of a layer's output.
"""

import gzip
import json
import pathlib
import sys

import flax.linen as nn
import jax
import numpy as np
from flax.traverse_util import flatten_dict

GOLDEN = pathlib.Path(__file__).parent / "golden"
sys.path.insert(0, str(GOLDEN))

import drawn  # noqa: E402

from resnet_jax.interop.nets import NETS  # noqa: E402
from resnet_jax.interop.rules import LEAVES, slots  # noqa: E402
from resnet_jax.interop.weights import from_torch  # noqa: E402
from resnet_jax.models.layers import convolution  # noqa: E402
from resnet_jax.models.layers.batchnorm import BatchNorm  # noqa: E402
from resnet_jax.paths import replaced  # noqa: E402

SHAPES = json.loads(gzip.decompress((GOLDEN / "torch_shapes.json.gz").read_bytes()))
VALUES = json.loads((GOLDEN / "torch_values.json").read_text())["nets"]
LAYERS = (convolution.Convolution, convolution.Bias, BatchNorm, nn.Dense)


def state_dict(net):
    """The drawn weights of a net under PyTorch's names, float64."""
    return drawn.weights(net, SHAPES[net])


def differences(net):
    """(of logits, {module of PyTorch: of its output}), relative, in float64."""
    spec, variables = from_torch(net, state_dict(net))
    module = replaced(spec, {"layers.dtype": "float64"}).build()
    values = VALUES[net]
    image = drawn.images(net, values["image"])

    def forward(variables, image):
        return module.apply(
            variables, image, train=False, mutable=["intermediates"],
            capture_intermediates=lambda module, _: isinstance(module, LAYERS),
        )  # fmt: skip

    logits, sown = jax.jit(forward)(variables, image)
    wanted = np.array(values["logits"])
    error = np.abs(logits[0] - wanted).max() / np.abs(wanted).max()
    found = outputs(net, variables, sown["intermediates"]) if values["layers"] else {}
    layers = {
        name: distance(
            drawn.digest(name, found[name].squeeze()), values["layers"][name]
        )
        for name in values["layers"]
    }
    return float(error), layers


def distance(digest, wanted):
    """Largest difference of a digest, relative to the norm of the array."""
    return float(np.abs(digest - np.array(wanted)).max() / wanted[1])


def outputs(net, variables, intermediates):
    """Output of every layer by its name in PyTorch."""
    sown = {path[:-1]: leaf[0] for path, leaf in flatten_dict(intermediates).items()}
    found = {}
    for key, slot in slots(NETS[net].rules, variables).items():
        output = sown[slot.path[1:-1]]
        name = key.removesuffix(f".{LEAVES[slot.path[-1]]}")
        found[name] = np.asarray(output if slot.unit is None else output[slot.unit])
    return found


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    for name in sys.argv[1:] or VALUES:
        logits, layers = differences(name)
        worst = max(layers.values(), default=0.0)
        print(f"{name:32} {logits:.1e} {worst:.1e} of {len(layers)} layers", flush=True)
