"""Residual network in PyTorch, channels_last, eager or compiled."""

import os

import torch
import torch.nn.functional as F
from cases import Case, Net
from torch import nn
from work import Training

LEARNING_RATE, MOMENTUM, WEIGHT_DECAY = 0.1, 0.9, 1e-4


class Unit(nn.Module):
    """Residual unit; before the `first` the stem has already applied the activation."""

    def __init__(self, net: Net, c: int, features: int, strides: int, first: bool):
        super().__init__()
        layers, width = [], c
        for kernel, wanted, s in net.branch(features, strides):
            if layers:
                layers += norm_relu(width)
            layers.append(conv(width, wanted, kernel, s))
            width = wanted
        if not net.preact:
            layers.append(nn.BatchNorm2d(features))
        self.branch = nn.Sequential(*layers)
        self.before = nn.Sequential(*norm_relu(c) if net.preact and not first else [])
        self.preact, self.strides, self.more = net.preact, strides, features - c
        self.project = None
        if self.more and not net.pads:
            norm = [] if net.preact else [nn.BatchNorm2d(features)]
            self.project = nn.Sequential(conv(c, features, 1, strides), *norm)

    def forward(self, x):
        activated = self.before(x)
        y = self.shortcut(x, activated) + self.branch(activated)
        return y if self.preact else F.relu(y, inplace=True)

    def shortcut(self, x, activated):
        if not self.more:
            return x
        if self.project:
            return self.project(activated)
        s = self.strides
        return F.pad(x[:, :, ::s, ::s], (0, 0, 0, 0, 0, self.more))


class ResNet(nn.Module):
    """Stem, units and classifier."""

    def __init__(self, net: Net):
        super().__init__()
        c, units = net.stem_width, []
        if net.stem == "imagenet":
            stem = [conv(3, c, 7, 2), *norm_relu(c), nn.MaxPool2d(3, 2, 1)]
        else:
            stem = [conv(3, c, 3, 1), *norm_relu(c)]
        for stage, (count, features) in enumerate(
            zip(net.units, net.widths, strict=True)
        ):
            for i in range(count):
                strides = 2 if stage > 0 and i == 0 else 1
                units.append(Unit(net, c, features, strides, stage == i == 0))
                c = features
        head = norm_relu(c) if net.preact else []
        self.features = nn.Sequential(*stem, *units, *head)
        self.fc = nn.Linear(c, net.classes)

    def forward(self, x):
        return self.fc(self.features(x).mean((2, 3)))


def norm_relu(c: int) -> list[nn.Module]:
    return [nn.BatchNorm2d(c), nn.ReLU(inplace=True)]


def conv(c: int, features: int, kernel: int, strides: int) -> nn.Conv2d:
    return nn.Conv2d(c, features, kernel, strides, kernel // 2, bias=False)


def num_params(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def training(case: Case, *, compiled: bool) -> Training:
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    torch.backends.cudnn.benchmark = True
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = ResNet(case.net).to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(
        model.parameters(), LEARNING_RATE, MOMENTUM, weight_decay=WEIGHT_DECAY
    )
    h, w, c = case.net.image
    images = torch.rand(case.batch, c, h, w, device=device)
    images = images.to(memory_format=torch.channels_last)
    labels = torch.randint(case.net.classes, (case.batch,), device=device)
    forward = torch.compile(model) if compiled else model
    half = torch.autocast(device, torch.bfloat16, enabled=case.dtype == "bfloat16")

    def run(steps):
        for _ in range(steps):
            optimizer.zero_grad()
            with half:
                loss = F.cross_entropy(forward(images), labels)
            loss.backward()
            optimizer.step()
        if device == "cuda":
            torch.cuda.synchronize()

    def device_peak():
        return torch.cuda.max_memory_allocated() if device == "cuda" else None

    return Training(run, params=num_params(model), device_peak=device_peak)
