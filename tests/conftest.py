"""Two CPU devices, no silent broadcasting, no accelerator, no network."""

import os

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["JAX_NUM_CPU_DEVICES"] = "2"

import jax

jax.config.update("jax_numpy_rank_promotion", "raise")
