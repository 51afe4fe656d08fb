"""Choice of the best step by validation error."""

import math

import pytest

from resnet_jax.runs.log import Log
from resnet_jax.runs.reader import LogFile
from resnet_jax.runs.result import Best, lowest
from resnet_jax.train.loop import better

BEST = Best(step=4, val_top1_err=50.0, test_top1_err=40.0)


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_an_evaluation_that_is_not_finite_is_never_the_best(loss, tmp_path):
    """Though its error may be the lowest: no logit of a row need be NaN for that."""
    bad = {"n": 10, "loss": loss, "top1_err": 10.0, "top5_err": 0.0}
    assert not better(bad, None) and not better(bad, BEST)
    assert better(bad | {"loss": 1.0}, BEST)
    with Log(tmp_path / "metrics.jsonl") as log:
        for step, row in {4: bad | {"loss": 1.0, "top1_err": 50.0}, 8: bad}.items():
            for split in ("val", "test"):
                log.write({"split": split, "step": step, **row})
        log.write({"split": "val", "step": 12, **bad, "top1_err": math.nan})
    found = lowest(LogFile(tmp_path / "metrics.jsonl"))
    assert found and (found["step"], found["val_top1_err"]) == (4, 50.0)


def test_of_equal_errors_the_first_is_the_best():
    equal = {"n": 10, "loss": 1.0, "top1_err": 50.0, "top5_err": 0.0}
    assert better(equal, None) and not better(equal, BEST)
