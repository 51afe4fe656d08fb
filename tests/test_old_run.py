"""A run that version 0.1 began goes on: same parameters, same rows, bit for bit.

`golden/old_run` was made by `golden/make_old_run.py` at commit 6224c41.
"""

import hashlib
import json
import math
import shutil
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from golden import layout, make_frozen
from resnet_jax.config import experiment_file
from resnet_jax.config.migrate import migrated
from resnet_jax.config.resolve import validated
from resnet_jax.report import __main__ as report
from resnet_jax.runs.directory import read_config
from runs import Workshop

OLD = Path(__file__).parent / "golden" / "old_run"
EXPECTED = json.loads((OLD / "expected.json").read_text())
FIELDS = (
    "--config.model.depth=8",
    "--config.model.width=0.25",
    "--config.model.unit.branch=single",
    "--config.model.act=prelu",
    "--config.model.unit.stochastic_depth=drop",
    "--config.model.unit.stochastic_depth.survival_prob=0.9",
    "--config.data.batch_size=64",
    "--config.optim.nesterov=True",
    "--config.optim.schedule=steps",
    "--config.optim.schedule.boundaries=(0.5, 0.75)",
    "--config.optim.schedule.decay_factor=0.2",
    "--config.train.epochs=None",
    "--config.train.iterations=40",
    "--config.train.eval_every=10",
    "--config.train.checkpoint_every=20",
    "--config.train.ema=0.5",
    "--config.train.max_nonfinite_updates=1",
)
print(Workshop, layout, hashlib, math, shutil, jax, np, ocp, pytest, make_frozen)
