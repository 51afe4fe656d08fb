"""Ranges of numbers in fields, and the decorator of config classes."""

import dataclasses
import typing
from typing import Annotated, Any, TypeAlias, TypeVar

import pydantic
from pydantic import Field, Strict


def _odd(value: int) -> int:
    if value % 2 == 0:
        raise ValueError("must be odd")
    return value


def _fits(value: int) -> int:
    if value >= 2**31:
        raise ValueError("must be less than 2**31")
    return value


def _whole(value: float) -> float:
    if value != round(value):
        raise ValueError("must be a whole number")
    return value


# Strict: True is no number, and 2.0 is no count.
FITS = pydantic.AfterValidator(_fits)
Count = Annotated[int, Strict(), Field(ge=1), FITS]
Odd = Annotated[int, Strict(), Field(ge=1), FITS, pydantic.AfterValidator(_odd)]
Number = Annotated[int, Strict(), Field(ge=0), FITS]
Seed = Annotated[int, Strict(), Field(ge=0, lt=2**32)]
Positive = Annotated[float, Strict(), Field(gt=0, allow_inf_nan=False)]
Whole = Annotated[
    float, Strict(), Field(gt=0, lt=2**31), pydantic.AfterValidator(_whole)
]
NotNegative = Annotated[float, Strict(), Field(ge=0, allow_inf_nan=False)]
Finite = Annotated[float, Strict(), Field(allow_inf_nan=False)]
Share = Annotated[float, Strict(), Field(ge=0, lt=1, allow_inf_nan=False)]
Probability = Annotated[float, Strict(), Field(gt=0, le=1, allow_inf_nan=False)]

Hint: TypeAlias = Any  # the type of a field: a class, a union, Annotated or Literal
Part = TypeVar("Part")


@typing.dataclass_transform(frozen_default=True, kw_only_default=True)
def part(cls: type[Part]) -> type[Part]:
    """Make a class a part of the config: a frozen dataclass without unknown fields.

    The string below each field explains it. A class with a field `name` is a member of
    a slot, and the values of `name` are its words.
    """
    cls.__pydantic_config__ = pydantic.ConfigDict(extra="forbid")  # type: ignore
    return dataclasses.dataclass(frozen=True, kw_only=True)(cls)
