"""Cases to measure: networks and batches, and the ways to run each of them.

A case has one network, batch and dtype. Its ways are the alternatives of a user:
frameworks, and modes of ours. Imports no framework, so that each process imports only
the one that it measures.
"""

import pathlib
from dataclasses import dataclass, replace
from typing import Literal

EXPERIMENTS = pathlib.Path(__file__).parents[1] / "experiments"


@dataclass(frozen=True, kw_only=True)
class Net:
    """A residual network, described so that every framework can build it."""

    units: tuple[int, ...]  # per stage
    widths: tuple[int, ...]  # output channels per stage
    params: int  # as published
    bottleneck: bool = False
    preact: bool = False
    pads: bool = False  # shortcut A: subsample, pad with zeros; False: B, project
    stem: Literal["cifar", "imagenet"] = "cifar"
    classes: int = 10

    @property
    def stem_width(self) -> int:
        return {"cifar": 16, "imagenet": 64}[self.stem]

    @property
    def image(self) -> tuple[int, int, int]:
        return {"cifar": (32, 32, 3), "imagenet": (224, 224, 3)}[self.stem]

    def branch(self, features: int, strides: int) -> list[tuple[int, int, int]]:
        """(kernel, channels, strides) of the convolutions of a unit.

        A bottleneck subsamples as in the released code: in the 3x3 for ImageNet
        (fb.resnet.torch), in the first 1x1 for CIFAR (resnet-1k-layers).
        """
        if not self.bottleneck:
            return [(3, features, strides), (3, features, 1)]
        inner, first = features // 4, self.stem == "cifar"
        strided = (strides, 1) if first else (1, strides)
        return [(1, inner, strided[0]), (3, inner, strided[1]), (1, features, 1)]


@dataclass(frozen=True)
class Way:
    """One way to run a case: a framework, and the config fields that it changes.

    A network in PyTorch has one field, "compile"; an input pipeline "processes".
    """

    label: str
    by: Literal["ours", "flax", "haiku", "keras", "torch"]
    fields: tuple[str, ...] = ()
    seeds: int = 1  # networks trained by one step
    cores: Literal["one device", "one device each"] = "one device"  # JAX on a CPU
    biases: int = 0  # parameters that this implementation has in addition
    note: str = ""


WAYS = {
    "ours": Way(
        "ours",
        "ours",
        note="Ours: as many steps a call as our loop makes, 8 on a CPU, 1 on a GPU.",
    ),
    "single": Way("ours, a step a call", "ours", ("train.steps_per_call=1",)),
    "unrolled": Way("ours, unrolled", "ours", ("model.depth_mode=unroll",)),
    "cores": Way(
        "ours, a device a core",
        "ours",
        cores="one device each",
        note="A device a core: under JAX_NUM_CPU_DEVICES, the batch shared out.",
    ),
    "remat": Way("ours, rematerialised", "ours", ("model.depth_mode=remat",)),
    "prelu": Way("ours, PReLU", "ours", ("model.act=prelu",)),
    "seeds": Way("ours, 5 seeds", "ours", ("train.seeds=(0, 1, 2, 3, 4)",), seeds=5),
    "164": Way("ours, 164 layers", "ours"),
    "1001": Way("ours, 1001 layers", "ours", ("model.depth=1001",)),
    "1001-remat": Way(
        "ours, 1001 layers, rematerialised",
        "ours",
        ("model.depth=1001", "model.depth_mode=remat"),
    ),
    "1001-sqrt": Way(
        "ours, 1001 layers, rematerialised in segments",
        "ours",
        ("model.depth=1001", "model.depth_mode=sqrt"),
    ),
    "threads": Way("ours, on threads", "ours"),
    "processes": Way("ours, a process a core", "ours", ("processes",)),
    "torchvision": Way("torchvision, a process a core", "torch", ("processes",)),
    "flax": Way("Flax, Python loop", "flax"),
    "haiku": Way("dm-haiku", "haiku"),
    "keras": Way(
        "Keras on JAX",
        "keras",
        biases=26_560,
        note="Keras: strides in the first 1x1 and biases on convolutions, as in its "
        "applications; its first step traces and compiles.",
    ),
    "torch": Way("PyTorch, eager", "torch"),
    "torch-compile": Way(
        "PyTorch, torch.compile",
        "torch",
        ("compile",),
        note="PyTorch: channels_last; the first step of torch.compile compiles.",
    ),
}
JAX_PEERS = ("flax", "haiku", "keras")


@dataclass(frozen=True, kw_only=True)
class Case:
    """One comparison.

    train    steps on one batch in device memory
    compile  compilation of the train step for shapes; no step is run
    parts    a train step under a profiler, by kind of operation (parts.py)
    loop     the training loop against the bare step, on data from disk (loop.py)
    launch   from the start of the command to the first finished step (launch.py)
    feed     the input pipeline alone: read, decode and crop photographs (feed.py)
    """

    name: str
    kind: Literal["train", "compile", "parts", "loop", "launch", "feed"] = "train"
    ways: tuple[str, ...] = ("ours",)
    row: str = ""  # FILE:ROW under experiments/
    fields: tuple[str, ...] = ()
    net: Net | None = None  # network of the row, for the peers
    batch: int = 128
    dtype: Literal["float32", "bfloat16"] = "float32"
    steps: int = 1  # per turn
    turns: int = 5


BASIC_WIDTHS = (16, 32, 64)
BOTTLENECK_WIDTHS = (64, 128, 256)
RESNET_20 = Net(units=(3,) * 3, widths=BASIC_WIDTHS, pads=True, params=269_722)
RESNET_110 = Net(units=(18,) * 3, widths=BASIC_WIDTHS, pads=True, params=1_727_962)
PREACT_164 = Net(
    units=(18,) * 3,
    widths=BOTTLENECK_WIDTHS,
    bottleneck=True,
    preact=True,
    params=1_703_258,
)
PREACT_1001 = Net(
    units=(111,) * 3,
    widths=BOTTLENECK_WIDTHS,
    bottleneck=True,
    preact=True,
    params=10_327_706,
)
WRN_28_10 = Net(units=(4,) * 3, widths=(160, 320, 640), preact=True, params=36_479_194)
RESNET_50 = Net(
    units=(3, 4, 6, 3),
    widths=(256, 512, 1024, 2048),
    bottleneck=True,
    stem="imagenet",
    classes=1000,
    params=25_557_032,
)

ONE_CALL = {"steps": 8, "turns": 3}  # the steps of one call of our loop on a CPU
OURS = ("ours", "unrolled")
ALL_OURS = (*OURS, "remat")
TORCH = ("torch", "torch-compile")
CIFAR_PEERS = ("flax", *TORCH)
SEEDS = Case(
    name="Five seeds of ResNet-20",
    ways=("ours", "seeds"),
    row="cifar_resnet.py:ResNet-20",
    net=RESNET_20,
    **ONE_CALL,
)

CPU = (
    Case(
        name="ResNet-50",
        ways=("ours", "cores", *JAX_PEERS, *TORCH),
        row="imagenet_resnet.py:ResNet-50-3x3",
        net=RESNET_50,
        batch=8,
        **ONE_CALL,
    ),
    Case(
        name="ResNet-20",
        ways=(*OURS, "single", "cores", *CIFAR_PEERS),
        row="cifar_resnet.py:ResNet-20",
        net=RESNET_20,
        **ONE_CALL,
    ),
    Case(
        name="ResNet-110",
        ways=(*OURS, "prelu", "cores", *CIFAR_PEERS),
        row="cifar_resnet.py:ResNet-110",
        net=RESNET_110,
        batch=32,
        **ONE_CALL,
    ),
    Case(
        name="PreAct-164",
        ways=(*ALL_OURS, "cores", "flax", "torch"),
        row="cifar_preact.py:PreAct-164",
        net=PREACT_164,
        batch=16,
        **ONE_CALL | {"turns": 7},
    ),
    Case(
        name="ResNeXt-29 8x64d",
        ways=OURS,
        row="resnext.py:ResNeXt-29-8x64d",
        batch=4,
        **ONE_CALL,
    ),
    SEEDS,
    Case(
        name="Depth of PreAct",
        kind="compile",
        ways=("164", "1001", "1001-remat", "1001-sqrt"),
        row="cifar_preact.py:PreAct-164",
        turns=9,
    ),
    Case(
        name="Launch of PreAct-1001",
        kind="launch",
        row="cifar_preact.py:PreAct-1001",
        fields=("model.norm.group=global",),
        batch=4,  # 128 take 32 GB
        turns=3,
    ),
    Case(name="Loop, digits", kind="loop", row="digits", steps=336),
    Case(name="Loop, CIFAR-shaped", kind="loop", row="cifar", steps=40, turns=3),
    Case(
        name="Streaming of photographs",
        kind="feed",
        ways=("threads", "processes", "torchvision"),
        batch=32,
        steps=48,
    ),
)

# Time per kind of operation, of the cases that PyTorch runs as well.
CPU += tuple(
    replace(
        case,
        name=f"Parts of {case.name}",
        kind="parts",
        ways=("ours", "torch"),
        turns=3,
    )
    for case in CPU
    if "torch" in case.ways
)

BF16 = {"dtype": "bfloat16", "steps": 50}
GPU = (
    Case(
        name="ResNet-50",
        ways=(*ALL_OURS, *JAX_PEERS, *TORCH),
        row="imagenet_resnet.py:ResNet-50-3x3",
        net=RESNET_50,
        batch=256,
        dtype="bfloat16",
        steps=20,
    ),
    Case(
        name="ResNet-20",
        ways=(*ALL_OURS, *CIFAR_PEERS),
        row="cifar_resnet.py:ResNet-20",
        net=RESNET_20,
        **BF16,
    ),
    Case(
        name="ResNet-110",
        ways=(*ALL_OURS, "prelu", *CIFAR_PEERS),
        row="cifar_resnet.py:ResNet-110",
        net=RESNET_110,
        **BF16,
    ),
    Case(
        name="PreAct-164",
        ways=(*ALL_OURS, *CIFAR_PEERS),
        row="cifar_preact.py:PreAct-164",
        net=PREACT_164,
        **BF16,
    ),
    Case(
        name="PreAct-1001",
        ways=("ours", "remat", *TORCH),
        row="cifar_preact.py:PreAct-1001",
        net=PREACT_1001,
        dtype="bfloat16",
        steps=10,
    ),
    Case(
        name="WRN-28-10",
        ways=(*ALL_OURS, *CIFAR_PEERS),
        row="wide_resnet.py:WRN-28-10",
        net=WRN_28_10,
        dtype="bfloat16",
        steps=20,
    ),
    replace(SEEDS, **BF16),
)
CASES = {"cpu": CPU, "gpu": GPU}


def find(device: str, name: str) -> Case:
    """The case of this name."""
    return next(case for case in CASES[device] if case.name == name)
