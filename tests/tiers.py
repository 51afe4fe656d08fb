"""Spread of the cases of a test over tiers."""

import pytest


def one_in(every, cases):
    """Cases of a parameter: one in so many in the unit tier, the others in `compile`.

    For tests whose cases are alike and take seconds each.
    """
    return [
        pytest.param(
            *(case if isinstance(case, tuple) else (case,)),
            marks=[pytest.mark.compile] * (number % every > 0),
        )
        for number, case in enumerate(cases)
    ]
