"""What a trace of training starts from, in NumPy: shapes, weights and batches.

Shared by make_traces.py (PyTorch) and test_golden.py (JAX), so that no weight needs to
be stored: every array is drawn from a generator keyed by its path or its step.
"""

import zlib

import numpy as np

STEPS, BATCH, SIDE, CLASSES, WIDTHS = 10, 4, 32, 10, (16, 32, 64)


def norm(path: str, features: int) -> dict:
    return {f"{path}/{leaf}": (features,) for leaf in ("scale", "bias")}


def stacked(shapes: dict, units: int, path: str) -> dict:
    return {f"{path}/{leaf}": (units, *shape) for leaf, shape in shapes.items()}


def basic(c_in: int, c_out: int) -> dict:
    """conv-norm-act-conv-norm, shortcut A (He et al. 2016a)."""
    return {
        "branch/conv1/kernel": (3, 3, c_in, c_out),
        **norm("branch/norm_1", c_out),
        "branch/conv2/kernel": (3, 3, c_out, c_out),
        **norm("branch/norm_2", c_out),
    }


def bottleneck(c_in: int, c_out: int) -> dict:
    """(norm-act-conv) x 3, norm_before aside (He et al. 2016b)."""
    inner = c_out // 4
    return {
        "branch/conv1/kernel": (1, 1, c_in, inner),
        **norm("branch/norm_1", inner),
        "branch/conv2/kernel": (3, 3, inner, inner),
        **norm("branch/norm_2", inner),
        "branch/conv3/kernel": (1, 1, inner, c_out),
    }


def resnet20() -> dict:
    """Path -> shape of the parameters; 269,722 in all."""
    shapes = {"stem_conv/kernel": (3, 3, 3, 16), **norm("norm_stem", 16)}
    c_in = 16
    for i, c_out in enumerate(WIDTHS, start=1):
        shapes |= {f"stage{i}/first/{k}": s for k, s in basic(c_in, c_out).items()}
        shapes |= stacked(basic(c_out, c_out), 2, f"stage{i}/rest")
        c_in = c_out
    return shapes | head(c_in)


def preact29() -> dict:
    """Path -> shape of the parameters; 312,218 in all."""
    shapes = {"stem_conv/kernel": (3, 3, 3, 16), **norm("norm_stem", 16)}
    c_in = 16
    for i, c_out in enumerate((4 * width for width in WIDTHS), start=1):
        first = bottleneck(c_in, c_out) | {"shortcut_conv/kernel": (1, 1, c_in, c_out)}
        if i > 1:  # stage 1 has its first pre-activation in the stem
            first |= norm("norm_before", c_in)
        rest = bottleneck(c_out, c_out) | norm("norm_before", c_out)
        shapes |= {f"stage{i}/first/{k}": s for k, s in first.items()}
        shapes |= stacked(rest, 2, f"stage{i}/rest")
        c_in = c_out
    return shapes | norm("norm_head", c_in) | head(c_in)


def head(features: int) -> dict:
    return {"head/kernel": (features, CLASSES), "head/bias": (CLASSES,)}


NETWORKS = {"resnet20": resnet20, "preact29": preact29}


def generator(key: str) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(key.encode()))


def params(network: str) -> dict:
    """He et al. 2015's normal kernels; scales near 0.3, and biases that are not zero.

    With scales of one, batches of four and a rate of 0.1 make training chaotic: a
    change of 1e-13 in the weights grows to 1e-3 in ten steps, here to 1e-11.
    """
    return {
        path: parameter(generator(f"{network}/{path}"), path, shape)
        for path, shape in NETWORKS[network]().items()
    }


def parameter(rng: np.random.Generator, path: str, shape: tuple) -> np.ndarray:
    drawn = rng.normal(size=shape)
    if path == "head/kernel":
        return drawn * np.sqrt(1 / shape[0])
    if path.endswith("kernel"):
        return drawn * np.sqrt(2 / np.prod(shape[-4:-1]))
    return 0.1 * drawn + 0.3 * path.endswith("scale")


def statistics(network: str) -> dict:
    """Running means of 0 and variances of 1, one a norm."""
    norms = {p: s for p, s in NETWORKS[network]().items() if p.endswith("scale")}
    means = {p.removesuffix("scale") + "mean": np.zeros(s) for p, s in norms.items()}
    variances = {p.removesuffix("scale") + "var": np.ones(s) for p, s in norms.items()}
    return means | variances


def batch(step: int) -> tuple[np.ndarray, np.ndarray]:
    """Images [b h w c] and labels [b]; class-dependent, so that there is a signal."""
    rng = generator(f"batch/{step}")
    labels = rng.integers(CLASSES, size=BATCH)
    means = generator("classes").normal(size=(CLASSES, 1, 1, 3))
    return rng.normal(size=(BATCH, SIDE, SIDE, 3)) + means[labels], labels


def digest(path: str, array: np.ndarray) -> np.ndarray:
    """Three numbers that pin an array: sum, norm, product with a random unit vector."""
    probe = generator(f"probe/{path}").normal(size=array.shape)
    probe /= np.linalg.norm(probe)
    return np.array([array.sum(), np.linalg.norm(array), (array * probe).sum()])
