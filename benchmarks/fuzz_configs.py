"""Random configs: every family, members of every slot, values at edges of ranges."""

import dataclasses
import math
import random
import signal
import time
import traceback
import types
import typing
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import jax

from resnet_jax.config.datasets import DATASETS
from resnet_jax.config.merge import hints, literals, section, slot
from resnet_jax.config.overrides import overrides
from resnet_jax.config.resolve import changed, validated
from resnet_jax.config.schema import Config
from resnet_jax.data.pipeline import open_pipeline
from resnet_jax.errors import UserError
from resnet_jax.sweep import estimate
from resnet_jax.train.experiment import Experiment, prepare
from resnet_jax.train.task import make_program

PACKAGE = Path(estimate.__file__).parents[1]
FAMILIES = tuple(slot(hints(Config)["model"]).members)
SETS = ("digits", "cifar10", "imagenet2012", "moving_digits")
LIMIT = 120  # seconds per config
# Texts of fields whose type tells none: legal ones, and others.
TEXTS = {
    "data.dir": (["None"], ["/proc/none", "gs://bucket/x", "\0"]),
    "data.name": (
        SETS,
        ["../x", "digits:9.9.9", "a b", "", "no_such_set", "digits/x", "7"],
    ),
    "data.split": (
        ["full", "1000/437", "1k/400", "64/1"],
        ["0/0", "1/0", "0/1", "1437/1", "9" * 40 + "/1", "half", "-1/2"],
    ),
    "data.test_split": (
        ["None", "test", "train[-10%:]", "train[:100]", "test[:1]"],
        ["train[", "nope", "train[10:5]", "test[500:]", "train[-0%:]", "train[:1%]"],
    ),
    "model.num_classes": (["None", "None", "10"], ["1", "0", "1000", "-1"]),
    "model.file": (["spec.json"], ["", "/", "\0", "/dev/null", "/proc/self/mem"]),
}
DEPTHS = (7, 8, 9, 10, 14, 16, 18, 20, 22, 26, 28, 29, 34, 40, 50, 62, 74, 110, 121)
SPECIAL = ("nan", "inf", "-inf", "None", "True", "1e400", "x", "", "()", "1.5", "[1]")
HUGE = (2**31, 2**32, 2**63, 10**20, 10**400)
USUAL = {"model": 0.25, "data": 0.15, "train": 0.12, "optim": 0.2, "seed": 0.1}


class TooLong(Exception):
    """A config that takes longer than LIMIT."""


@dataclasses.dataclass(frozen=True)
class Draw:
    """Random fields of one config; those of `wild` draws may be out of range."""

    rng: random.Random
    wild: float

    def fields(self, cls: type, path: str, share: float) -> Iterator[tuple[str, str]]:
        """(path, text) of some fields of a part and of members of its slots."""
        for name, hint in hints(cls).items():
            where, found, part = f"{path}.{name}", slot(hint), section(hint)
            if part:
                yield from self.fields(part, where, share)
            elif self.rng.random() > share or (name == "name" and literals(hint)):
                continue
            elif name == "depth" and self.rng.random() < 0.6:
                continue  # most families have few
            elif found:
                word = self.rng.choice(found.words)
                yield where, word
                if member := found.members.get(word):
                    yield from self.fields(member, where, 0.5)
            else:
                yield where, self.text(where, hint)

    def text(self, path: str, hint: object) -> str:
        """A value as it is typed."""
        wild = self.rng.random() < self.wild
        if wild and self.rng.random() < 0.3:
            return self.rng.choice(SPECIAL)
        if path in TEXTS:
            return self.rng.choice(TEXTS[path][wild])
        if choices := literals(hint):
            return str(self.rng.choice(choices)) + ("x" if wild else "")
        return str(self.number(path, hint, wild=wild))

    def number(self, path: str, hint: object, *, wild: bool) -> object:
        kinds = plain(hint)
        if tuple in kinds:
            inner = next(iter(plain_options(hint, tuple)))
            length = self.rng.choice([0, 1, 1, 2, 2, 3, 5])
            args = typing.get_args(inner)
            one = args[0] if args else int
            return tuple(self.number(path, one, wild=wild) for _ in range(length))
        if type(None) in kinds and self.rng.random() < 0.2:
            return None
        if bool in kinds:
            return self.rng.choice([True, False])
        low, high = bounds(hint)
        if float in kinds:
            return self.real(low, high, wild=wild)
        if path.endswith("depth") and not wild:
            return self.rng.choice(DEPTHS)
        least = 0 if low is None else math.floor(low)
        if wild:
            return self.rng.choice([least - 1, -1, 0, high or 0, *HUGE])
        near = [least, least + 1, least + 2, self.rng.randint(least, least + 70)]
        return self.rng.choice([*near, 2 ** self.rng.randrange(1, 9)])

    def real(self, low, high, *, wild: bool) -> float:
        start, stop = low or 0.0, 1.0 if high is None else high
        if wild:
            edges = [start, stop, -1.0, 0.0, 1e308, -1e-300, math.nextafter(stop, 9e9)]
            return self.rng.choice(edges)
        inside = [math.nextafter(start, stop), math.nextafter(stop, start), 1e-30]
        inside += [self.rng.uniform(start, stop) for _ in range(3)]
        if high is None:
            inside += [1.0, 2.0, 100.0, 1e30]
        return self.rng.choice(inside)


def plain(hint: object) -> set:
    """{int, NoneType} of `Count | None`."""
    origin = typing.get_origin(hint)
    if origin is Annotated:
        return plain(typing.get_args(hint)[0])
    if origin in (typing.Union, types.UnionType):
        return set().union(*map(plain, typing.get_args(hint)))
    return {origin or hint}


def plain_options(hint: object, kind: type) -> Iterator[object]:
    """Alternatives of a type that are of one kind, (int, ...) of Annotated[...]."""
    origin = typing.get_origin(hint)
    if origin is kind:
        yield hint
    elif origin in (Annotated, typing.Union, types.UnionType):
        for arg in typing.get_args(hint):
            yield from plain_options(arg, kind)


def bounds(hint: object) -> tuple[float | None, float | None]:
    """Least and greatest value of a number, as far as they are known."""
    low = high = None
    for note in getattr(hint, "__metadata__", ()):
        for each in getattr(note, "metadata", [note]):
            low = getattr(each, "ge", getattr(each, "gt", low))
            high = getattr(each, "le", getattr(each, "lt", high))
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        for arg in typing.get_args(hint):
            found = bounds(arg)
            low, high = found if found != (None, None) else (low, high)
    return low, high


def drawn(seed: int, number: int) -> list[str]:
    """Command line of one config: `--config.x.y=v` in order."""
    rng = random.Random(f"{seed}:{number}")
    draw = Draw(rng, wild=rng.choice([0.0, 0.0, 0.0, 0.1, 0.3]))
    family = FAMILIES[number % len(FAMILIES)]
    image = "digits" if rng.random() < 0.3 else usual_set(family)
    fields = {
        "model": family,
        "data.name": image,
        "data.batch_size": rng.choice([2, 8, 64, 128]),
        "train.epochs": 2.0,
    }
    member = slot(hints(Config)["model"]).members[family]
    fields |= dict(draw.fields(member, "model", USUAL["model"]))
    for part in ("data", "train", "optim", "seed"):
        if rng.random() < 0.5:
            found = draw.fields(Config, "", USUAL[part])
            found = ((path.lstrip("."), text) for path, text in found)
            fields |= {p: t for p, t in found if p.split(".")[0] == part}
    if "train.iterations" in fields and rng.random() < 0.8:
        fields["train.epochs"] = "None"
    return [f"--config.{path}={text}" for path, text in fields.items()]


def usual_set(family: str) -> str:
    """Data of the size that a family is made for."""
    if "3d" in family:
        return "moving_digits"
    large = ("imagenet", "ghost", "regnet", "hardnet", "threshnet", "spp", "places2")
    large += ("prelu_", "densenet_imagenet", "vgg")
    return "imagenet2012" if any(word in family for word in large) else "cifar10"


def outcome(arguments: list[str], *, deep: bool) -> dict:
    """How far a config comes: its stage, and what stopped it there."""
    began, found = time.monotonic(), {"stage": "validation"}

    def late(*_):
        raise TooLong

    signal.signal(signal.SIGALRM, late)
    signal.alarm(LIMIT)
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            go(arguments, found, deep=deep)
        found["end"] = "whole"
        if warned:
            found["warned"] = f"{warned[0].category.__name__}: {warned[0].message}"
    except UserError as error:
        found |= {"end": "refused", "message": str(error).splitlines()[0][:300]}
    except TooLong:
        found["end"] = "too long"
    except Exception as error:
        found |= {"end": "find", "error": f"{type(error).__name__}: {error}"[:300]}
        found["at"] = place(error)
    finally:
        signal.alarm(0)
    return found | {"seconds": round(time.monotonic() - began, 2)}


def go(arguments: list[str], found: dict, *, deep: bool) -> None:
    """Validate, prepare and count; where `deep`, trace what is to be compiled too."""
    tree, problems = changed(Config().to_dict(), overrides(arguments))
    config = validated(tree, problems)
    found["stage"] = "preparation"
    real = config.data.name == "digits" or config.data.name not in DATASETS
    opened = open_pipeline if real else estimate.imageless_pipeline
    experiment = prepare(config, open_data=opened)
    found["stage"] = "counts"
    experiment.derived()
    if deep:
        found["stage"] = "trace"
        trace(experiment)
    if real and config.data.batch_size <= 4096:
        found["stage"] = "batches"
        experiment.pipeline.train_batches()(0, 1)


def trace(experiment: Experiment) -> None:
    """Trace initialisation and the train step; nothing is compiled."""
    for size in dict.fromkeys(experiment.config.data.sizes or (None,)):
        program = make_program(experiment, size=size)
        given = estimate.arguments(experiment, program)
        experiment.abstract_state(program)
        jax.eval_shape(program.steps, *given)


def place(error: BaseException) -> str:
    """The last line of the package in a traceback."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if str(PACKAGE) in frame.filename]
    last = own[-1] if own else frames[-1]
    name = Path(last.filename)
    return f"{name.relative_to(PACKAGE) if own else name.name}:{last.name}"
