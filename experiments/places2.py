"""Relay back-propagation on Places2: Model B of 401 scenes (Shen et al. 2016).

    python -m resnet_jax.main --config experiments/places2.py:Model-B

The released net, at most 25 convolutions in a row: 49.74 % top-1, 17.83 % top-5 error
on one crop of the validation set. A second loss behind the third stage of four moves
the first three; the loss at the end moves all but the first. The other row is the net
with its last loss alone, as the paper compares them.

Only the net and its errors are released. The places, ranges and weights of the paper's
losses and the recipe could not be read: learning rate, decay and batch are those of He
et al. 2015, the rest is ours. The paper draws examples class by class; here every
example comes once per epoch. Needs the 401 scenes of the 2015 challenge as a tfds set
named places2; tfds has no such set.
"""

from resnet_jax.config import configured
from resnet_jax.config.recipes import HE2015_IMAGENET

BASE = HE2015_IMAGENET | {
    "model.name": "places2",
    "model.size": "imagenet",
    "data.name": "places2",
    "optim.schedule.boundaries": (0.33, 0.67),
    "train.iterations": 600_000,
}
ROWS = {
    "Model-B": {"model.auxiliary_loss": {"name": "relay", "stages": ((3, 1), (4, 2))}},
    "Model-B-one-loss": {},
}
SEEDS = (0,)
PAPER = {"Model-B": "shen2016/README/Model B"}
NETWORK = {"Model-B-one-loss": "shen2016/README/Model B"}
RECIPE = "shen2016/places2"


def get_config(row="Model-B"):
    return configured(BASE, ROWS, row)
