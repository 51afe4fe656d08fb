"""Converted networks equal PyTorch's in float64 (golden/make_torch.py).

One net per family here; `python tests/released.py` compares all.
"""

import pytest
import released

BOUND = 1e-10
CASES = (
    "torchvision/resnet50", "torchvision/vgg11_bn", "torchvision/densenet121",
    "torchvision/regnet_x_3_2gf", "timm/legacy_seresnet18", "timm/ghostnet_100",
    "kenshohara/resnet-18",
)  # fmt: skip


@pytest.mark.compile
@pytest.mark.parametrize("name", CASES)
def test_logits_and_all_layers_equal_those_of_pytorch(name, float64):
    logits, layers = released.differences(name)
    assert logits < BOUND
    worst = max(layers, key=layers.__getitem__)
    assert layers[worst] < BOUND, worst
