"""An average of all variables scores as well as what it averages."""

import pytest
import runs

from resnet_jax.train.run import run_all

FIELDS = {
    "model.width": 0.5,
    "data.batch_size": 128,
    "train.steps": 112,
    "train.epochs": 10.0,
    "train.eval_every": 112,
    "train.checkpoint_every": 112,
    "model.norm.precise": 4,
}


def errors(shop, folder, **fields):
    """{statistics: test error} of a run, and its rows of scores."""
    run_all(shop.config(FIELDS | fields), folder, bar=runs.Quiet)
    rows = [row for row in runs.rows(folder) if row["split"] == "test"]
    return {row.get("stats", "moving"): row["top1_err"] for row in rows}, rows


@pytest.fixture(scope="module")
def plain(shop, tmp_path_factory):
    return errors(shop, tmp_path_factory.mktemp("plain"))[0]


@pytest.mark.compile
@pytest.mark.parametrize("decay", [0.99, 0.999])
def test_an_average_is_no_worse_than_its_last_iterate(shop, plain, decay, tmp_path):
    found, rows = errors(shop, tmp_path, **{"train.ema": decay})
    assert all(row["params"] == "ema" for row in rows)
    assert plain["moving"] < 15  # it has converged
    for stats, error in found.items():
        assert error <= plain[stats] + 1, (decay, found, plain)
    print(decay, found, plain)
