"""Files of trained nets for other programs: written, read back, compared."""

import dataclasses
import os
import pathlib
from collections.abc import Callable
from types import ModuleType
from typing import Any

import jax
import numpy as np

from resnet_jax.errors import ConfigError, StorageError
from resnet_jax.interop import stablehlo
from resnet_jax.train.loaded import LoadedRun

FORMATS: dict[str, ModuleType] = {"stablehlo": stablehlo}
BATCHES = (3, 2)  # images of a call, when a file is compared


def check_new(to: str, out: pathlib.Path) -> None:
    """ConfigError where a file of that format could not be made or written."""
    FORMATS[to].check_installed()
    if out.suffix != FORMATS[to].SUFFIX:
        raise ConfigError(f"--out {out}: must be named {FORMATS[to].SUFFIX}")
    if out.exists():
        raise ConfigError(f"--out {out}: is there already; name another file")
    if not out.parent.is_dir():
        raise ConfigError(f"--out {out}: there is no folder {out.parent}; make it")


def write(run: LoadedRun, to: str, out: pathlib.Path) -> float:
    """Write a net as the function of its stored images to class probabilities.

    The file takes its name once it is read back and agrees with the net. Returns the
    largest difference of a probability, relative to the largest one. ConfigError where
    that is above the bound of the format, StorageError where nothing can be written.
    """
    form = FORMATS[to]
    # Arrays of several devices would make a function of several devices.
    run = dataclasses.replace(run, variables=jax.device_get(run.variables))
    content = form.serialized(run)
    part = out.with_name(f".{out.name}.part")
    try:
        part.write_bytes(content)
        largest = difference(run, form.deserialized(part.read_bytes()))
        if not largest <= form.BOUND:
            raise ConfigError(
                f"--out {out}: its probabilities differ from the net's by "
                f"{largest:.1e} of the largest, more than {form.BOUND:.0e}; not written"
            )
        os.rename(part, out)
    except OSError as error:
        raise StorageError(f"{out}: cannot be written ({error.strerror})") from error
    finally:
        part.unlink(missing_ok=True)
    return largest


def difference(run: LoadedRun, function: Callable[[Any], Any]) -> float:
    """Largest difference of a function from a net on random images of two batches."""
    net, errors = jax.jit(run.probabilities), []
    for seed, count in enumerate(BATCHES):
        images = random_images(run, count, seed=seed)
        expected = np.asarray(net(images))
        error = np.abs(np.asarray(function(images)) - expected).max()
        errors.append(error / expected.max())
    return float(np.max(errors))  # of Python's max, NaN could be lost


def random_images(run: LoadedRun, count: int, *, seed: int) -> np.ndarray:
    """Images [count *image_shape] of every value of the dtype of the data set."""
    generator, dtype = np.random.default_rng(seed), run.inputs.dtype
    shape = (count, *run.image_shape)
    if dtype.kind == "f":
        return generator.random(shape, dtype)
    return generator.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)
