"""Two CPU devices, no silent broadcasting, no accelerator, no network."""

import os

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["JAX_NUM_CPU_DEVICES"] = "2"

import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture
def float64():
    """Arithmetic in which values are told from rounding."""
    with jax.enable_x64(True):
        yield
