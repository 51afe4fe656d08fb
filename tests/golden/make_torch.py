"""Makes torch_shapes.json.gz and torch_values.json: released networks in PyTorch.

python tests/golden/make_torch.py [NET ...] (with PyTorch, torchvision and timm; the
tests read the files only). NET: nets to make again, as "torchvision/resnet50"; all
others stay.

    torch_shapes.json.gz  {net: {name: shape}} of all floating arrays of a state_dict
    torch_values.json     {"made": versions, "nets": {net: values}}, in float64:
        image   shape of the image [h w c], or of the clip [t h w c]
        logits  of the image drawn for the net, with the weights drawn for it
        layers  {module: digest} of the output, channels last, of every convolution,
                norm and fully connected layer; of one net a family

Nets of kenshohara/3D-ResNets-PyTorch are written here from the paper (Hara et al.
2018), with that code's names.
"""

import gzip
import json
import pathlib
import sys

import drawn
import timm
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

FOLDER = pathlib.Path(__file__).parent
SHAPES, VALUES = FOLDER / "torch_shapes.json.gz", FOLDER / "torch_values.json"
CLASSES = 10
FAMILIES = (  # with digests of all layers
    "torchvision/resnet50", "torchvision/vgg11", "torchvision/vgg11_bn",
    "torchvision/densenet121", "torchvision/regnet_x_3_2gf", "timm/regnetx_032",
    "timm/seresnet50", "timm/legacy_seresnet18", "timm/ghostnet_100",
    "kenshohara/resnet-18", "kenshohara/resnet-50",
)  # fmt: skip


class Unit3d(nn.Module):
    """Residual unit of 3D convolutions, basic or bottleneck; shortcut A or B."""

    def __init__(self, c_in, inner, c_out, stride, *, groups, basic, kind):
        super().__init__()
        self.conv1 = nn.Conv3d(
            c_in, inner, 3 if basic else 1, stride if basic else 1, int(basic),
            bias=False,
        )  # fmt: skip
        self.bn1 = nn.BatchNorm3d(inner)
        self.conv2 = nn.Conv3d(
            inner, inner, 3, 1 if basic else stride, 1, groups=groups, bias=False
        )
        self.bn2 = nn.BatchNorm3d(inner)
        if not basic:
            self.conv3 = nn.Conv3d(inner, c_out, 1, bias=False)
            self.bn3 = nn.BatchNorm3d(c_out)
        self.kind = kind if stride > 1 or c_in != c_out else None
        self.stride, self.c_out = stride, c_out
        if self.kind == "B":
            projection = nn.Conv3d(c_in, c_out, 1, stride, bias=False)
            self.downsample = nn.Sequential(projection, nn.BatchNorm3d(c_out))

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if hasattr(self, "conv3"):
            y = self.bn3(self.conv3(F.relu(y)))
        if self.kind == "A":
            s = self.stride
            x = x[:, :, ::s, ::s, ::s]
            x = F.pad(x, (0, 0) * 3 + (0, self.c_out - x.shape[1]))
        elif self.kind == "B":
            x = self.downsample(x)
        return F.relu(x + y)


class ResNet3d(nn.Module):
    """3D ResNet (Hara et al. 2018, Table 1)."""

    def __init__(self, depths, *, basic=False, kind="B", inner=1.0, groups=1):
        super().__init__()
        self.conv1 = nn.Conv3d(3, 64, 7, (1, 2, 2), 3, bias=False)
        self.bn1 = nn.BatchNorm3d(64)
        self.pool = nn.MaxPool3d(3, 2, 1)
        c_in = 64
        for stage, units in enumerate(depths, 1):
            width = 64 * 2 ** (stage - 1)
            c_out, made = width * (1 if basic else 4), []
            for i in range(units):
                stride = 2 if stage > 1 and i == 0 else 1
                made.append(
                    Unit3d(c_in, int(inner * width), c_out, stride, groups=groups,
                           basic=basic, kind=kind)
                )  # fmt: skip
                c_in = c_out
            setattr(self, f"layer{stage}", nn.Sequential(*made))
        self.fc = nn.Linear(c_in, CLASSES)

    def forward(self, x):
        x = self.pool(F.relu(self.bn1(self.conv1(x))))
        for stage in range(1, 5):
            x = getattr(self, f"layer{stage}")(x)
        return self.fc(x.mean((2, 3, 4)))


DEPTHS = {
    18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3),
    152: (3, 8, 36, 3), 200: (3, 24, 36, 3),
}  # fmt: skip
CLIP_NETS = {
    **{
        f"resnet-{depth}": {"basic": depth < 50, "kind": "A" if depth < 50 else "B"}
        for depth in DEPTHS
    },
    "r3d18": {"basic": True},
    "r3d34": {"basic": True},
    "wideresnet-50": {"inner": 2.0},
    "resnext-101": {"inner": 2.0, "groups": 32},
}


def build(net: str) -> nn.Module:
    """The network of a name, for ten classes."""
    library, name = net.split("/")
    if library == "torchvision":
        return torchvision.models.get_model(name, weights=None, num_classes=CLASSES)
    if library == "timm":
        return timm.create_model(name, num_classes=CLASSES)
    depth = int("".join(c for c in name.removeprefix("r3d") if c.isdecimal()))
    return ResNet3d(DEPTHS[depth], **CLIP_NETS[name])


def image_shape(net: str) -> list[int]:
    """A small image; 224 pixels where the map is flattened."""
    if net.startswith("kenshohara"):
        return [10, 34, 34, 3]
    side = 224 if "vgg" in net else 75 if net in FAMILIES else 64
    return [side, side, 3]


def last(x: torch.Tensor):
    """Array with channels last."""
    return x.detach().movedim(1, -1).numpy()


def values(net: str, module: nn.Module, shapes: dict) -> dict:
    """Logits, and digests of layers, with the drawn weights."""
    arrays = drawn.weights(net, shapes)
    module.double().eval()
    module.load_state_dict({k: torch.from_numpy(v) for k, v in arrays.items()})
    layers = {}

    def record(name):
        def hook(module, inputs, output):
            if hasattr(module, "act"):  # timm's norms that end with their rectifier
                output = nn.BatchNorm2d.forward(module, inputs[0])
            layers[name] = drawn.digest(name, last(output).squeeze()).tolist()

        return hook

    if net in FAMILIES:
        for name, layer in module.named_modules():
            if f"{name}.weight" in shapes:
                layer.register_forward_hook(record(name))
    shape = image_shape(net)
    image = torch.from_numpy(drawn.images(net, shape)).movedim(-1, 1)
    with torch.no_grad():
        logits = module(image)[0]
    return {"image": shape, "logits": logits.tolist(), "layers": layers}


def main(nets: list[str]) -> None:
    shapes = json.loads(gzip.decompress(SHAPES.read_bytes())) if SHAPES.exists() else {}
    found = json.loads(VALUES.read_text())["nets"] if VALUES.exists() else {}
    for net in nets:
        module = build(net)
        state = module.state_dict()
        shapes[net] = {
            k: list(v.shape) for k, v in state.items() if v.is_floating_point()
        }
        found[net] = values(net, module, shapes[net])
        print(net, len(shapes[net]), found[net]["logits"][:2], flush=True)
        made = {each.__name__: each.__version__ for each in (torch, torchvision, timm)}
        text = json.dumps(shapes, separators=(",", ":"))
        SHAPES.write_bytes(gzip.compress(text.encode(), mtime=0))
        rows = [f"{json.dumps(name)}: {json.dumps(row)}" for name, row in found.items()]
        VALUES.write_text(
            f'{{"made": {json.dumps(made)}, "nets": {{\n' + ",\n".join(rows) + "\n}}\n"
        )


def every_net() -> list[str]:
    """Names of all released networks that the package knows."""
    from resnet_jax.interop.nets import NETS

    return [*NETS]


if __name__ == "__main__":
    main(sys.argv[1:] or every_net())
