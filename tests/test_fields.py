"""A field that nothing reads cannot be set: each is set, and what comes of it compared.

Two configs that differ in one field are compared in what a run makes of them, cheapest
first: a part of the network, with its initial values, at test and in training; the
batches; the update of a small net; the whole network; the evaluation; the files of a
run whose program only counts. Programs are traced, never compiled. config.json is not
among them, so that a field that is only copied is found. A field passes where one of
these differs, or where it is refused by its name.
"""

import contextlib
import dataclasses
import functools
import hashlib
import itertools
import pathlib
import re
import sys
import tempfile
import types
import typing
import zlib
from collections.abc import Callable, Iterator
from unittest import mock

import comparing
import grain
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
import runs
import tinytask

from resnet_jax.config import branches, family, optimizers
from resnet_jax.config.datasets import DATASETS, UNCOUNTED
from resnet_jax.config.merge import hints, leaves, literals, section, slot
from resnet_jax.config.schema import Config
from resnet_jax.data import inputs, pipeline
from resnet_jax.data.sources.splits import open_splits
from resnet_jax.errors import ConfigError, DataError
from resnet_jax.models import serialize
from resnet_jax.models.layers.layers import LayersSpec
from resnet_jax.models.nets.auxiliary_loss import Relay
from resnet_jax.models.nets.densenet import DenseNetSpec
from resnet_jax.models.nets.plain import FC, Conv, MaxPool, Mean, PlainSpec
from resnet_jax.models.nets.resnet import ResNetSpec
from resnet_jax.models.nets.rkcnn import RKCNNSpec
from resnet_jax.models.nets.stem_head import Stem
from resnet_jax.models.zoo import densenets
from resnet_jax.paths import replaced
from resnet_jax.train import cutting, experiment, run, task
from resnet_jax.train.program import Program, Update
from resnet_jax.train.step import make_eval_step

# --- what is set

BASE = {
    "data.name": "cifar10",
    "data.batch_size": 8,
    "train.iterations": 1000,
    "train.steps": 12,
    "train.eval_every": 6,
}
# The smallest nets in which all fields have a place, and images that they take.
SMALL = {
    "cifar_resnet": {"model.depth": 20},
    "imagenet_resnet": {"model.depth": 34, "data.name": "imagenet2012"},
    "wide_resnet": {"model.depth": 22},
    "plain": {"model.depth": 30},
    "resnet_3d": {"model.depth": 34, "data.name": "kinetics400"},
    "small_resnet_3d": {"model.depth": 20, "data.name": "moving_digits"},
    "ghostnet": {"data.name": "imagenet2012"},
    "regnetx": {"data.name": "imagenet2012"},
    "gghost": {"data.name": "imagenet2012"},
    "rkcnn": {"model.depth": 62},
    "all_cnn": {"model.variant": "C"},
    "densenet": {"model.depth": 10},
    "densenet_imagenet": {"data.name": "imagenet2012"},
    "hardnet": {"data.name": "imagenet2012"},
    "threshnet": {"data.name": "imagenet2012"},
    "prelu_small": {"data.name": "imagenet2012"},
    "prelu_large": {"data.name": "imagenet2012"},
    "spp_net": {"data.name": "imagenet2012"},
    "places2": {"data.name": "imagenet2012"},
    "vgg": {"model.size": "cifar", "data.name": "imagenet2012"},
}
# What must be set besides, for a field to have a place.
BESIDES = {
    "data.workers": {"data.feed": "streaming"},
    "train.prune": {"train.start_from": "drawn"},
    "model.operator": {"model.act": "elu"},  # xnor: signs behind a ReLU are all 1
    "train.epochs": {"train.iterations": None, "train.epochs": 50.0},
}
# Other values of fields whose type does not tell any.
OTHER = {
    "data.dir": ("elsewhere",),
    "data.name": ("cifar100",),
    "data.sizes": ((24, 32),),
    "data.split": ("16/8",),
    "data.test_split": ("validation",),
    "model.auxiliary_loss.stages": (((2, 1),), ((1, 1), (2, 2))),
    "model.depth_mode": ("remat",),
    "model.ghost.kernel": (5,),
    "model.norm.group": ("device", 2),
    "model.unit.noise.block": (3,),
    "optim.factors": ((("conv1", 2.0),),),
    "optim.frozen": (("conv1",),),
    "optim.warmup.steps": (50,),
    "train.checkpoint_every": (4,),
    "train.iterations": (500,),
    "train.prune.images": (20,),
    "train.prune.ratios": ((("conv1", 0.5),),),
    "train.prune.speedup": (3.0,),
    "train.seeds": ((0, 1),),
    "train.start_from": ("nowhere",),
    "train.wandb": ("mine",),
}
# Pairs of words that come to the same, and must.
SAME = {
    "data.feed": {"auto", "resident"},  # of a small set
    "model.unit.tableau": {"midpoint", "implicit_midpoint"},  # two sweeps from zero
}
SAME_UNADDED = {"model.unit.order": {"original", "relu_before_addition"}}
OPEN = object()  # of a choice that is not closed
# Refused whatever the value, by a message that names the field and tells why; all other
# fields have a legal value that is read.
REFUSED = {
    "train": {"train.dtype=float64", "train.start_from"},  # no run to begin with
    "ghostnet": {
        "model.depth_mode",
        "model.operator=binary",
        "model.operator=ghost",
        "model.operator=xnor",
        "model.operator=xnor_signs",
    },
    "plain": {"model.unit.gate.place=identity"},
    "min_net": {
        "model.unit.noise=drop_block",
        "model.unit.noise=dropout",
        "model.unit.noise=spatial_dropout",
    },
    "mgic_net": {
        "model.unit.gate.place=identity",
        "model.unit.join=dropout",
        "model.unit.join=exclusive_gating",
        "model.unit.join=scaled",
        "model.unit.join=shortcut_only_gating",
        "model.unit.noise=drop_block",
        "model.unit.noise=dropout",
        "model.unit.noise=spatial_dropout",
        "model.unit.shortcut=A",
        "model.unit.shortcut=avgpool-A",
    },
}


def made(changes) -> Config:
    """A valid config; ConfigError."""
    return tinytask.config(BASE | changes)


def value_at(config, path):
    """The value of a field; of a slot its word."""
    value = functools.reduce(getattr, path.split("."), config)
    return getattr(value, "name", value)


def others(path, hint, now) -> list:
    """Values to set in place of `now`; of numbers the first that is legal will do."""
    if path in OTHER:
        return [value for value in OTHER[path] if value != now]
    if choices := literals(hint):
        return [value for value in choices if value != now]
    kinds = plain_types(hint)
    if bool in kinds:
        return [not now]
    if float in kinds:
        return [now / 2, now / 4] if now else [0.5, 0.25]
    if int in kinds:
        return (
            [2, 3, 4]
            if now is None
            else [*range(now + 1, now + 50), *range(now - 1, 0, -1)]
        )
    if tuple in kinds:
        return [now[:-1], (1,), (2, 1)] if len(now) > 1 else [(1,), (2, 1)]
    return []


def plain_types(hint) -> set:
    """{int, NoneType} of `Count | None`."""
    origin = typing.get_origin(hint)
    if origin is typing.Annotated:
        return plain_types(typing.get_args(hint)[0])
    if origin in (typing.Union, types.UnionType):
        return set().union(*map(plain_types, typing.get_args(hint)))
    return {origin or hint}


# --- what comes of it


@dataclasses.dataclass(frozen=True)
class Drawn:
    """A few random images, others for each way to ask for them."""

    name: str
    image_shape: tuple[int, ...]
    num_classes: int
    length: int
    seed: int

    classes = ()
    description = "random"
    dtype = np.dtype(np.uint8)

    @property
    def fingerprint(self):
        return f"{self.name}:{self.seed}:{self.length}"

    def where(self, index):
        return f"{self.name}[{index}]"

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        rng = np.random.default_rng((self.seed, int(index)))
        image = rng.integers(0, 256, self.image_shape, dtype=np.uint8)
        return {"image": image, "label": int(index) % 10}

    def __getitems__(self, indices):
        return [self[index] for index in indices]


def drawn_splits(name, *, directory=None, split="full", test_split=None, progress=None):
    """In place of `open_splits`, whose own reads have a test of their own."""
    known = (DATASETS | UNCOUNTED)[name]
    shape = known.image if len(known.image) == 3 else (*known.image[:1], 32, 32, 3)
    sizes = {"train": 24}
    if split != "full":
        sizes = dict(zip(("train", "val"), map(int, split.split("/")), strict=True))
    seed = zlib.crc32(f"{name} {directory} {split} {test_split}".encode())
    return {
        key: Drawn(name, shape, known.classes, length, seed + i)
        for i, (key, length) in enumerate((sizes | {"test": 8}).items())
    }


TINY = PlainSpec(records=(Conv(4, 1), MaxPool(), Conv(4, 1), Mean(), FC(None, ())))


@functools.cache
def prepared(config) -> experiment.Experiment:
    """The experiment of a config; ConfigError, DataError."""
    return experiment.prepare(config)


def constants(program):
    """Constants of a program and of those that it calls."""
    yield from program.consts
    for equation in program.jaxpr.eqns:
        for value in jax.tree.leaves(equation.params):
            if hasattr(value, "consts"):
                yield from constants(value)


def text_of(function, *arguments) -> str:
    """The program of a function, constants included, as one word."""
    program = jax.make_jaxpr(function)(*arguments)
    told = hashlib.sha256(re.sub(r"0x[0-9a-f]+", "", str(program)).encode())
    for constant in jax.tree.leaves([*constants(program)]):
        if not jax.dtypes.issubdtype(constant.dtype, jax.dtypes.prng_key):
            told.update(np.asarray(constant).tobytes())
    return told.hexdigest()


@functools.cache
def traced(spec, shape, *, train) -> str:
    """A net that is initialised, which calls it once at test; in training as well."""
    x, net = jax.ShapeDtypeStruct((8, *shape), jnp.float32), spec.build()

    def called(key, x):
        variables = net.init(key, x, train=False)
        if not train:
            return variables
        kept, rngs = ["batch_stats", "relays"], {"noise": key, "drop_path": key}
        return net.apply(variables, x, train=True, mutable=kept, rngs=rngs)

    return text_of(called, jax.eval_shape(jax.random.key, 0), x)


@functools.singledispatch
def abridged(spec, specs):
    """A part of a net, cut alike for all `specs`: it shows what they differ in."""
    return spec


def shortened(counts, least):
    """The first of equal counts, cut to `least`; of others, to more than the fewest."""
    return min(counts[0], least if len({*counts}) == 1 else 1 + min(counts))


@abridged.register
def _(spec: ResNetSpec, specs):
    """A unit of the second stage; more units and stages where only these may differ."""
    if late_losses(specs):
        return spec
    modes = {each.depth_mode for each in specs}
    ghosts, relays = (
        any(getattr(each, f) for each in specs) for f in ("ghosts", "relays")
    )
    firsts, wide = (
        {getattr(each, f)[1:2] for each in specs} for f in ("firsts", "widths")
    )
    stages = slice(0, 3) if relays else slice(0 if ghosts else 1, 2)
    looped = ghosts or len(modes) > 1 or (len(firsts) == 1 and any(firsts))
    real = ghosts or relays or len(wide) > 1
    depths = zip(spec.depths, *(each.depths for each in specs), strict=False)
    return dataclasses.replace(
        spec,
        depths=tuple(shortened(n, 3 if looped else 1) for n in [*depths][stages]),
        widths=spec.widths[stages] if real else (64,),
        firsts=spec.firsts[stages],
        strides=(1, 2, 1)[stages],
        stem=Stem(steps=()),  # others take the pre-activation of the first unit
        stem_width=spec.stem_width if real else 32,
        num_classes=10,
        layers=dataclasses.replace(spec.layers, rank=2),
    )


@abridged.register
def _(spec: PlainSpec, specs):
    """The first stage that is another one, and what is behind all of them."""
    if late_losses(specs):
        return spec
    stages, end = spec.parts()
    others = [each.parts()[0] for each in specs]
    kept = [i for i, (a, b) in enumerate(zip(*others, strict=False)) if a != b] or [0]
    stages = stages[kept[0] : kept[0] + 1]
    if any(each.relays for each in specs):
        stages = [dict.fromkeys((stage[0], stage[-1])) for stage in spec.parts()[0][:3]]
    of = dict(zip(spec.named(), spec.records, strict=True))
    records = [of[named] for named in [*itertools.chain(*stages), *end]]
    return dataclasses.replace(spec, records=(*records,), num_classes=10)


def late_losses(specs) -> bool:
    return any(relay.stage > 2 for spec in specs for relay in spec.relays)


@abridged.register
def _(spec: DenseNetSpec, specs):
    """Two blocks of two layers."""
    blocks = []
    for block, *others in zip(*(each.blocks for each in (spec, *specs)), strict=False):
        layers = shortened([each.layers for each in (block, *others)], 2)
        blocks.append(dataclasses.replace(block, layers=layers))
    last = dataclasses.replace(blocks[1], transition=None)
    return dataclasses.replace(spec, blocks=(blocks[0], last), num_classes=10)


@abridged.register
def _(spec: RKCNNSpec, specs):
    """A period of two slopes a step."""
    unit = replaced(spec.unit, {"branch.stages": 2})
    depths = (shortened([each.depths[0] for each in (spec, *specs)], 1),)
    return dataclasses.replace(spec, depths=depths, unit=unit, num_classes=10)


def told_by_parts(one, other) -> bool:
    """Whether parts of the nets, in training and not, differ already."""
    specs = [prepared(config).net for config in (one, other)]
    # What is left may be no net, or name an axis that only pmap has.
    with contextlib.suppress(ConfigError, NameError):
        parts = [abridged(spec, specs) for spec in specs]
        if parts[0] == parts[1] or parts == specs:
            return False
        for train in (False, True):
            if len({traced(part, (64, 64, 3), train=train) for part in parts}) > 1:
                return True
    return False


def net(config, *, train=False) -> str:
    own = prepared(config)
    return traced(own.net, own.pipeline.image_shape, train=train)


def net_in_training(config):
    return net(config, train=True)


@functools.cache
def batches(config) -> tuple:
    """Two steps and the test split as they are read, and the workers that read them."""
    own, workers = prepared(config), []

    def asked(**options):
        workers.append(options)
        return options

    with (
        mock.patch.object(grain, "MultiprocessingOptions", asked),
        mock.patch.object(grain.IterDataset, "mp_prefetch", lambda self, _: self),
    ):
        read = [own.pipeline.train_batches().read(step) for step in range(2)]
        read += own.pipeline.examples("test")
    leaves = jax.tree_util.tree_leaves_with_path(read)
    return str(workers), tuple((str(k), v.shape, v.tobytes()) for k, v in leaves)


def on_tiny_net(config) -> experiment.Experiment:
    """The experiment with a small net, with a loss inside if its own has one."""
    own = prepared(config)
    relays = (Relay(1),) if getattr(own.net, "relays", ()) else ()
    layers = LayersSpec(rank=own.net.layers.rank)
    tiny = {"relays": relays, "layers": layers}
    return dataclasses.replace(own, net=replaced(TINY, tiny))


@functools.cache
def update(config) -> tuple[str, ...]:
    """The update, for each size of images that has its turn."""
    own = on_tiny_net(config)
    sizes = {own.loop.size(step): None for step in range(own.loop.steps)}
    found = []
    for size in sizes:
        program = task.make_program(own, size=size)
        state = jax.eval_shape(program.init, own.seeds)
        data = own.pipeline.resident and own.pipeline.resident["train"]
        feeds = program.place(own.pipeline.train_batches()(0, 1))
        found.append(text_of(program.steps, state, data, feeds, 1))
    return tuple(found)


@functools.cache
def evaluation(config) -> str:
    own = on_tiny_net(config)
    score = make_eval_step(task.make_task(own))
    state = jax.eval_shape(task.make_program(own).init, own.seeds)
    batch = next(own.pipeline.examples("test"))
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    return text_of(score, variables, batch)


class Board:
    """In place of tensorboardX: there is a folder, and no more."""

    def SummaryWriter(path, **_):
        pathlib.Path(path).mkdir(exist_ok=True)
        return mock.Mock()


class Biases:
    """In place of wandb: a folder as well."""

    def init(**options):
        pathlib.Path(options["dir"], "wandb").mkdir(exist_ok=True)
        return mock.Mock()


class Called(Update):
    """Calls the function itself, where others compile it."""

    def __init__(self, steps):
        super().__init__(steps)
        self.steps = steps

    def __call__(self, *arguments):
        return self.steps(*arguments)


def counting(real: Program, calls: list) -> Program:
    """A program that computes nothing: it counts its steps, and notes its calls."""

    def init(seeds):
        shapes = jax.eval_shape(real.init, seeds)
        return jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)

    def steps(state, data, feeds, count):
        shape = (*state.step.shape, feeds["row"].shape[state.step.ndim])
        calls.append(("steps", count, shape))
        seen = {"loss": 0.0, "ok": True, "skipped": 0}
        seen = {name: jnp.full(shape, value) for name, value in seen.items()}
        return state.replace(step=state.step + count), seen

    def evaluate(variables, data, feed):
        one = np.ones(real.seeds.count).squeeze()
        return dict.fromkeys(("n", "wrong", "wrong5", "nll"), one)

    def statistics(variables, data, feed, number):
        return variables["batch_stats"]

    return dataclasses.replace(
        real, init=init, steps=steps, evaluate=evaluate, statistics=statistics
    )


@functools.cache
def files(config) -> tuple[str, ...]:
    """Calls of the program, names of all files, rows of logs without their times."""
    calls, make_program = [], task.make_program

    def scaled_by_data(own, state):
        calls.append("scaled by data")
        return state.params

    changed = {
        "prepare": on_tiny_net,
        "make_program": lambda own: counting(make_program(own), calls),
        "updates": lambda own, program: {None: Called(program.steps)},
        "scaled_by_data": scaled_by_data,
    }
    with (
        tempfile.TemporaryDirectory() as place,
        mock.patch.multiple(run, **changed),
    ):
        run.run_all(config, place, bar=runs.Quiet)
        root = pathlib.Path(place)
        found = [path.relative_to(root).parts for path in root.rglob("*")]
        logs = [runs.timeless(log.parent) for log in root.rglob("metrics.jsonl")]
    names = {"/".join(parts[:3]) for parts in found}  # below, Orbax draws them
    for row in itertools.chain.from_iterable(logs):
        row.pop("protocol", None)  # its name alone
    return str(calls), str(sorted(names)), str(sorted(map(str, logs)))


@functools.cache
def beginning(config) -> str:
    """The cut network and its weights, where a run begins with one."""
    if not config.train.prune:
        return ""
    own = cutting.with_cut(on_tiny_net(config), ())
    sums = jax.tree.map(np.sum, own.begin.variables)
    return f"{own.net} {own.begin.record['layers']} {sums}"


def drawn_origin(config, classes, images):
    """In place of a trained network."""
    records = (Conv(8), MaxPool(), Conv(8), Conv(8), Mean(), FC(None, ()))
    net = PlainSpec(records=records, num_classes=classes)
    images = np.zeros((1, 32, 32, 3), np.float32)
    variables = comparing.made(net.build(), images, train=False)
    return cutting._Origin(pathlib.Path("drawn"), net, variables, 0)


VIEWS = (batches, update, net, net_in_training, evaluation, beginning, files)
CACHED = (prepared, traced, batches, update, evaluation, beginning, files)


def differ(one: Config, other: Config) -> bool:
    """Whether anything that a run makes of two configs tells them apart."""
    return told_by_parts(one, other) or any(view(one) != view(other) for view in VIEWS)


def differ_in_spec(one: Config, other: Config) -> bool:
    """Likewise, where it is known that nets read what is in their specs."""
    return prepared(one).net != prepared(other).net or differ(one, other)


# --- every field

EMPTY = types.MappingProxyType({})


@dataclasses.dataclass
class Check:
    """Sets fields; `problems` tells of those that nothing reads.

    wanted: of a path, whether it is tried
    family: the one whose fields these are; HOME tells which traces those of a member
    same: pairs of words that need not differ, by path
    refused: fields without a value that is read; words of slots and closed choices
    """

    wanted: Callable[[str], bool] = lambda path: True
    family: str = ""
    same: dict[str, set[str]] = dataclasses.field(default_factory=lambda: SAME)
    differ: Callable[[Config, Config], bool] = dataclasses.field(
        default_factory=lambda: differ
    )
    tried: set[tuple[str, type]] = dataclasses.field(default_factory=set)
    refused: set[str] = dataclasses.field(default_factory=set)
    problems: list[str] = dataclasses.field(default_factory=list)

    def part(self, cls, path, changes) -> "Check":
        """All fields of a part, and those of whatever may fill its slots."""
        for name, hint in hints(cls).items():
            at = f"{path}.{name}".lstrip(".")
            besides = changes | BESIDES.get(at, {})
            if inner := section(hint):
                self.part(inner, at, changes)
            elif found := slot(hint):
                words = [*found.members, *[None] * found.optional]
                legal = self.field(cls, at, words, besides, "auto", found.members)
                known = [word for word in reversed(legal) if word in found.members]
                for member, word in {found.members[w]: w for w in known}.items():
                    inner = dataclasses.replace(self, differ=self._differ(at, member))
                    inner.part(member, at, besides | {at: word})
            elif name != "name" or not literals(hint):
                values = others(at, hint, value_at(made(besides), at))
                alias = None if literals(hint) else OPEN
                self.field(cls, at, values, besides, alias)
        return self

    def _differ(self, path, member):
        """How the fields of a member are compared: elsewhere they reach the spec."""
        if HOME.get((path, member), self.family) == self.family:
            return differ
        return differ_in_spec

    def field(self, cls, path, values, changes, alias, members=EMPTY) -> list:
        """Sets one field; the values that are legal.

        Those of a closed choice differ from each other, but for `alias`, which stands
        for one of them; of others, such as numbers, one is enough.
        """
        base, closed = made(changes), alias is not OPEN
        now = value_at(base, path)
        values, legal, refused = [v for v in values if v != now], {now: base}, set()
        if not self.wanted(path) or (closed and not values):
            return [now]
        self.tried.add((path, cls))
        for value in values:
            told = f"{path}={value}"
            try:
                other = made(changes | {path: value})
                prepared(other)
                member = members.get(value)
                again = member and any(members.get(word) is member for word in legal)
                differ = self._differ(path, member) if again else self.differ
                same = [
                    word
                    for word, config in legal.items()
                    if not (closed and alias in (word, value))
                    and not {word, value} <= self.same.get(path, set())
                    and not differ(config, other)
                ]
            except (ConfigError, DataError) as error:
                if not named(path, str(error)):
                    self.problems.append(f"{told} is refused without its name: {error}")
                refused.add(told if closed else path)
                continue
            legal[value] = other
            if same:
                self.problems.append(f"{told} is not told from {same[0]}")
            if not closed:
                break
        if closed or len(legal) == 1:
            self.refused |= refused
        if len(legal) == 1 and not refused:
            self.problems.append(f"{path}: no other value is known; give one in OTHER")
        return list(legal)


def named(path, message) -> bool:
    """Whether a message is about a field; a spec knows but the last of its name."""
    return path in message or message.startswith(path.rpartition(".")[2] + "=")


FAMILIES = slot(hints(Config)["model"]).members
SHARED = {f"model.{name}" for name in hints(family.Family)}


def members_in(cls, path) -> Iterator[tuple[str, type]]:
    """(path of a slot, member) of all that a part may hold."""
    for name, hint in hints(cls).items():
        at, found = f"{path}.{name}", slot(hint)
        if inner := section(hint):
            yield from members_in(inner, at)
        for member in found.members.values() if found else ():
            yield at, member
            yield from members_in(member, at)


# Of a member of a slot the first family that has it, where its fields are traced. In
# the other ones they must reach the spec; of the slot itself every member is traced.
HOME = {
    key: word
    for word, cls in reversed(FAMILIES.items())
    for key in members_in(cls, "model")
}


def of_family(word, **checks) -> Check:
    changes = {"model.name": word} | SMALL.get(word, {})
    return Check(family=word, **checks).part(FAMILIES[word], "model", changes)


def of_run(wanted) -> Check:
    changes = {"model.name": "spec"} | SMALL["spec"]
    return Check(wanted).part(Config, "", changes)


@pytest.fixture(scope="session")
def spec_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("specs")
    nets = {folder / "tiny.json": TINY, folder / "wider.json": TINY.widened(2)}
    for path, net in nets.items():
        serialize.write(path, net)
    return [str(path) for path in nets]


@pytest.fixture(autouse=True)
def drawn(monkeypatch, spec_files):
    """Images in memory, a spec file whose net is small, short blocks, a TensorBoard."""
    monkeypatch.setattr(pipeline, "open_splits", drawn_splits)
    monkeypatch.setattr(cutting, "_origin", drawn_origin)
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # a third faster
    monkeypatch.setattr(experiment, "find_spec", lambda name: True)
    monkeypatch.setitem(sys.modules, "tensorboardX", Board)
    monkeypatch.setitem(sys.modules, "wandb", Biases)
    for depth in (121, 161):
        _, growth = densenets.IMAGENET_BLOCKS[depth]
        cut = ((depth % 3, 1, 1, 1), growth)
        monkeypatch.setitem(densenets.IMAGENET_BLOCKS, depth, cut)
    monkeypatch.setitem(SMALL, "spec", {"model.file": spec_files[0]})
    monkeypatch.setitem(OTHER, "model.file", spec_files[1:])


@pytest.mark.compile
@pytest.mark.parametrize("name", ["data", "optim", "train", "seed"])
def test_fields_of_a_run(name):
    check = of_run(lambda path: path.split(".")[0] == name)
    assert check.problems == []
    assert check.refused == REFUSED.get(name, set())


@pytest.mark.compile
@pytest.mark.parametrize("word", ["spec", "cifar_resnet", "densenet", "rkcnn"])
def test_fields_of_every_family(word):
    """In one family of each kind of network; the net of a spec file is a plain one."""
    by_run = set() if word == "spec" else {"model.norm.precise"}

    def wanted(path):
        return path.startswith((*SHARED,)) and path not in by_run

    same = SAME | ({"model.init": {"orthogonal", "lsuv"}} if by_run else {})
    check = of_family(word, wanted=wanted, same=same)
    assert check.problems == []
    assert check.refused == {"model.num_classes"}  # the data set tells them


@pytest.mark.compile
@pytest.mark.parametrize("word", FAMILIES)
def test_fields_of_a_family(word):
    """Its own ones, and the operator, in whose place a network may have another."""

    def own(path):
        return path == "model.operator" or not path.startswith((*SHARED,))

    adds = word not in ("plain", "densenet", "densenet_imagenet")
    check = of_family(word, wanted=own, same=SAME if adds else SAME | SAME_UNADDED)
    assert check.problems == []
    assert check.refused == REFUSED.get(word, set())


def test_every_field_is_tried(monkeypatch):
    """With each member that it belongs to; all have another value that is valid."""
    here = sys.modules[__name__]
    monkeypatch.setattr(here, "prepared", lambda config: None)
    for name in ("differ", "differ_in_spec"):
        monkeypatch.setattr(here, name, lambda one, other: one != other)
    checks = [of_family(word) for word in FAMILIES]
    checks.append(of_run(lambda path: not path.startswith("model")))
    assert [problem for check in checks for problem in check.problems] == []
    every = {
        (path, cls)
        for path, cls, hint in leaves(Config)
        if path != "model" and not (slot(hint) and len(slot(hint).words) == 1)
    }
    assert set().union(*(check.tried for check in checks)) == every


def test_a_field_whose_other_values_are_not_known_is_named(monkeypatch):
    monkeypatch.delitem(OTHER, "data.dir")
    check = of_run(lambda path: path in ("data.dir", "data.cutout"))
    assert check.problems == ["data.dir: no other value is known; give one in OTHER"]


def test_name_folder_and_split_of_a_data_set_are_read(tmp_path):
    asked = {"split": "1000/100", "test_split": "train[:20]"}
    found = open_splits("digits", directory=tmp_path, **asked)
    sizes = {split: len(source) for split, source in found.items()}
    assert sizes == {"train": 1000, "val": 100, "test": 20}
    assert (tmp_path / "digits").is_dir()
    with pytest.raises(DataError, match=r"data\.name='no_digits': not prepared"):
        open_splits("no_digits", directory=tmp_path)


# --- the check itself


@pytest.fixture
def afresh():
    """Nothing that was seen with other code is seen again."""
    for view in CACHED:
        view.cache_clear()
    yield
    for view in CACHED:
        view.cache_clear()


def test_equal_configs_are_not_told_apart(afresh):
    """Nothing else than a config is seen: no time, no address, no order of a set."""
    config = made({"model.name": "spec"} | SMALL["spec"])
    seen = [view(config) for view in VIEWS]
    for view in CACHED:
        view.cache_clear()
    assert [view(config) for view in VIEWS] == seen


# Where a field is read, its name there, the default that is read in its place, and the
# fields among which it is found.
DELETED = {
    "data.erasing": (
        (inputs, "augmentation"), "erasing", 0.0,
        {"data.erasing", "data.cutout"},
    ),
    "optim.beta2": (
        (optimizers.AdamW, "spec_fields"), "beta2", 0.999,
        {"optim", "optim.beta1", "optim.beta2", "optim.epsilon"},
    ),
    "train.max_nonfinite_updates": (
        (task, "make_program"), "config.train.max_nonfinite_updates", 0,
        {"train.max_nonfinite_updates", "train.ema"},
    ),
    "train.eval_every": (
        (experiment.Experiment, "loop"), "config.train.eval_every", 6,
        {"train.eval_every", "train.checkpoint_every"},
    ),
    "model.unit.branch.group_width": (
        (branches.Bottleneck, "build"), "group_width", 64.0,
        {f"model.unit.branch{name}" for name in ("", ".stride_at", ".group_width")},
    ),
    "model.depth_mode": (
        (family.Looped, "network"), "depth_mode", "scan",
        {"model.depth_mode", "model.levels"},
    ),
}  # fmt: skip


@pytest.mark.compile
@pytest.mark.parametrize("path", DELETED)
def test_a_deleted_read_is_told_by_the_name_of_its_field(path, monkeypatch, afresh):
    (owner, name), field, default, among = DELETED[path]
    read = vars(owner)[name]
    get = read.fget if isinstance(read, property) else read

    def without(own, *arguments, **keywords):
        return get(replaced(own, {field: default}), *arguments, **keywords)

    blind = property(without) if isinstance(read, property) else without
    monkeypatch.setattr(owner, name, blind)
    model = path.startswith("model.")
    check = (functools.partial(of_family, "cifar_resnet") if model else of_run)(
        wanted=among.__contains__
    )
    assert {tried for tried, _ in check.tried} == among
    assert [problem.partition("=")[0] for problem in check.problems] == [path]
