"""Checkpoint manifest: shapes, dtypes and checksums of leaves, to detect damage.

{"meta": of the caller, "kinds": shape and dtype per leaf, "crc32": of its bytes,
"versions": of the libraries, "seal": CRC32 of all this}
"""

import importlib.metadata
import json
import pathlib
import zlib
from collections.abc import Mapping

import jax
import numpy as np
from jax.experimental import multihost_utils
from jaxtyping import PyTree

from resnet_jax.errors import CheckpointError
from resnet_jax.paths import Tree

Names = dict[str, str]  # of leaves: {path: shape and dtype} or {path: CRC32}

PACKAGES = ("jax", "flax", "optax", "orbax-checkpoint")
SWITCHES = (
    "jax_enable_x64", "jax_default_matmul_precision", "jax_default_prng_impl",
    "jax_threefry_partitionable",
)  # fmt: skip


class Damaged(Exception):
    """A step that cannot be read, or differs from what was written."""


def check_same(path: pathlib.Path, stored: Names, wanted: Names) -> None:
    """Raise CheckpointError listing all leaves that are missing or differ in kind."""
    differing = [
        f"{name}: checkpoint {stored.get(name, 'absent')}, "
        f"model {wanted.get(name, 'absent')}"
        for name in sorted(stored.keys() | wanted.keys())
        if stored.get(name) != wanted.get(name)
    ]
    if differing:
        raise CheckpointError(
            f"checkpoints={path}: not the state of this config, {len(differing)} "
            f"leaves differ: {'; '.join(differing)}; use the config that wrote it, or "
            "another workdir"
        )


def check_digests(stored: Names, read: Names) -> None:
    """Raise Damaged listing all leaves whose checksum differs."""
    wrong = [name for name in stored if stored[name] != read[name]]
    if wrong:
        raise Damaged(f"CRC32 differs in {', '.join(wrong)}")


def _named(tree: PyTree) -> dict[str, PyTree]:
    """{"params/stage1/first/branch/conv1/kernel": leaf, ...}"""
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def kinds(tree: PyTree) -> dict[str, str]:
    """Shape and dtype of every leaf, "(3, 3) float32"; "int" for a plain number."""

    def kind(leaf):
        if not hasattr(leaf, "dtype"):
            return type(leaf).__name__
        return f"{tuple(leaf.shape)} {leaf.dtype}"

    return {name: kind(leaf) for name, leaf in _named(tree).items()}


def digests(tree: PyTree) -> dict[str, str]:
    """CRC32 of the bytes of every leaf, on any devices and processes."""
    values = jax.device_get({name: _whole(x) for name, x in _named(tree).items()})
    return {name: _crc32(np.asarray(value)) for name, value in values.items()}


def _whole(leaf):
    """Gather a leaf in this process; a collective call if others hold a part."""
    if not isinstance(leaf, jax.Array) or leaf.is_fully_addressable:
        return leaf
    if leaf.is_fully_replicated:
        return leaf.addressable_data(0)
    return multihost_utils.process_allgather(leaf, tiled=True)


def _crc32(value: np.ndarray) -> str:
    # viewed as bytes, because bfloat16 has no buffer protocol
    data = np.ascontiguousarray(value).reshape(-1).view(np.uint8).data
    return f"{zlib.crc32(data):08x}"


def seal(meta: Mapping[str, object], state: PyTree) -> Tree:
    """Make the manifest of a state, with its CRC32."""
    sealed = {
        "meta": json.loads(json.dumps(meta, allow_nan=False)),
        "kinds": kinds(state),
        "crc32": digests(state),
        "versions": versions(),
    }
    return {**sealed, "seal": _seal_of(sealed)}


def unseal(stored: Tree) -> Tree:
    """Verify a manifest made by `seal`; Damaged where it has changed."""
    sealed = {name: value for name, value in stored.items() if name != "seal"}
    if stored.get("seal") != _seal_of(sealed):
        raise Damaged("CRC32 differs in meta")
    return sealed


def _seal_of(sealed: Tree) -> str:
    return f"{zlib.crc32(json.dumps(sealed, sort_keys=True).encode()):08x}"


def versions() -> dict[str, str]:
    """Versions of the libraries, and switches of jax that change numbers."""
    found = {name: importlib.metadata.version(name) for name in PACKAGES}
    return found | {name: str(getattr(jax.config, name)) for name in SWITCHES}
