"""Files of weights: .safetensors, and .pth without unpickling code."""

import hashlib
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from resnet_jax.errors import CheckpointError, ConfigError, StorageError
from resnet_jax.interop.weights import StateDict

INSIDE = ("state_dict", "model")  # where training scripts put the weights of a net
PARALLEL = "module."  # start of every name of a torch.nn.DataParallel


def read(path: pathlib.Path) -> StateDict:
    """Read the arrays of a file by name.

    Names of a DataParallel are those of the net inside. CheckpointError for what is no
    file of weights, ConfigError for another suffix or where a library is missing.
    """
    reader = {".safetensors": _read_safetensors, ".pth": _read_pth, ".pt": _read_pth}
    if path.suffix not in reader:
        raise ConfigError(f"{path}: must be a file named {', '.join(reader)}")
    if not path.is_file():
        raise ConfigError(f"{path}: there is no such file")
    arrays = reader[path.suffix](path)
    if all(name.startswith(PARALLEL) for name in arrays):
        arrays = {name.removeprefix(PARALLEL): arrays[name] for name in arrays}
    return arrays


def write(path: pathlib.Path, arrays: StateDict) -> None:
    """Write the arrays to a new file; StorageError where it cannot be written."""
    check_new(path)
    part = path.with_name(f".{path.name}.part")
    try:
        if path.suffix == ".safetensors":
            _safetensors().save_file(arrays, part)
        else:
            torch = _torch()
            torch.save({name: torch.from_numpy(arrays[name]) for name in arrays}, part)
        os.rename(part, path)
    except OSError as error:
        raise StorageError(f"{path}: cannot be written ({error.strerror})") from error
    finally:
        part.unlink(missing_ok=True)


def check_new(path: pathlib.Path) -> None:
    """ConfigError where a file of weights could not be written."""
    if path.suffix not in (".safetensors", ".pth", ".pt"):
        raise ConfigError(f"{path}: must be named .safetensors, .pth or .pt")
    if path.exists():
        raise ConfigError(f"{path}: is there already; name another file")
    if not path.parent.is_dir():
        raise ConfigError(f"{path}: there is no folder {path.parent}; make it")
    _safetensors() if path.suffix == ".safetensors" else _torch()


def sha256(path: pathlib.Path) -> str:
    """SHA-256 of a file in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_safetensors(path: pathlib.Path) -> StateDict:
    library = _safetensors()
    try:
        return library.load_file(path)
    except Exception as error:  # of several classes, and OSError
        raise _unreadable(path, error) from error


def _read_pth(path: pathlib.Path) -> StateDict:
    torch = _torch()
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # pickle's, zipfile's, torch's
        raise _unreadable(path, error) from error
    for name in INSIDE:
        if isinstance(found, Mapping) and isinstance(found.get(name), Mapping):
            found = found[name]
    if not isinstance(found, Mapping) or not found:
        raise CheckpointError(f"{path}: holds no state_dict, arrays by name")
    return {name: _array(path, name, value) for name, value in found.items()}


def _array(path: pathlib.Path, name: object, value: Any) -> np.ndarray:
    """Array of a tensor."""
    if not isinstance(name, str) or not hasattr(value, "detach"):
        raise CheckpointError(f"{path}: {name!r} is no array; save a state_dict alone")
    value = value.detach()
    return (value.float() if str(value.dtype) == "torch.bfloat16" else value).numpy()


def _unreadable(path: pathlib.Path, error: Exception) -> CheckpointError:
    cause = " ".join(str(error).split())[:160] or type(error).__name__
    return CheckpointError(f"{path}: cannot be read ({cause})")


def _safetensors() -> Any:
    try:
        from safetensors import numpy  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise missing("safetensors", "weights") from error
    return numpy


def _torch() -> Any:
    try:
        import torch  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise missing("torch", "torch") from error
    return torch


def missing(library: str, extra: str) -> ConfigError:
    """Error of a library that is not installed, with the extra that brings it."""
    return ConfigError(
        f'{library} is not installed; pip install "resnet_jax[{extra}]" brings it'
    )
