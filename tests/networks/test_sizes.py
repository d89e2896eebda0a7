"""Built-in architectures with the sizes of a weights file."""
# ruff: noqa: TID251 - these tests write the files of other programs

from pathlib import Path

import pytest
import torch
from torch import nn

from dimple.errors import ModelError, UsageError
from dimple.names import SIZED_ARCHITECTURES
from dimple.networks import (
    ARCHITECTURES,
    MLP,
    Architecture,
    ConvNet,
    PreActResNet,
    ResNet,
    TwoLayer,
    WideResNet,
    build_model,
    load_model,
    load_weights,
)
from dimple.tensors import generator

SHAPE = (3, 16, 16)
CASES: dict[str, tuple[str, Architecture, tuple[int, ...], int]] = {
    "mlp": ("mlp", MLP(widths=(7, 5)), (4,), 3),
    "mlp of images": ("mlp", MLP(widths=(7,)), SHAPE, 10),
    "mlp without biases": ("mlp", MLP(widths=(7, 5), bias=False), (4,), 2),
    "mlp with batch norm": ("mlp", MLP(widths=(7, 5), norm="batch"), (4,), 3),
    "linear": ("mlp", MLP(widths=()), (4,), 3),
    "convnet": ("convnet", ConvNet(channels=(4, 8, 6), hidden=9), SHAPE, 7),
    "convnet with group norm": ("convnet", ConvNet(channels=(4, 8), hidden=9, norm="group"), SHAPE, 7),
    "resnet": ("resnet", ResNet(depth=14), (1, 16, 16), 5),
    "preact_resnet": ("preact_resnet", PreActResNet(), SHAPE, 3),
    "wide_resnet": ("wide_resnet", WideResNet(depth=10, width=2, norm="group"), SHAPE, 100),
    "two_layer": ("two_layer", TwoLayer(width=6), (4,), 2),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("wrapper", ["", "module."])
def test_the_network_of_a_file_is_the_one_that_was_saved(case: str, wrapper: str, tmp_path: Path) -> None:
    kind, architecture, shape, classes = CASES[case]
    network = architecture.build(shape, generator(3, "saved"), classes).eval()
    state = (network.module if kind == "two_layer" else network).state_dict()
    torch.save({"model": {wrapper + name: value for name, value in state.items()}}, tmp_path / "w.pt")
    found = build_model(kind, shape=shape, weights=tmp_path / "w.pt").eval()
    load_weights(found, tmp_path / "w.pt")
    x = torch.rand(2, *shape, generator=generator(0, "x"))
    torch.testing.assert_close(found(x), network(x))


def test_layers_keep_the_names_of_the_file(tmp_path: Path) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc1, self.fc2, self.fc10 = nn.Linear(4, 6), nn.Linear(6, 5), nn.Linear(5, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            scores: torch.Tensor = self.fc10(self.fc2(self.fc1(x).tanh()).tanh())
            return scores

    network = Net()
    torch.save(network.state_dict(), tmp_path / "w.pt")
    found = load_model("mlp(activation='tanh')", tmp_path / "w.pt")
    x = torch.rand(2, 4)
    torch.testing.assert_close(found(x), network(x))
    # With dropout between the layers the numbers have gaps.
    spaced = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Dropout(), nn.Linear(6, 2)).eval()
    torch.save(spaced.state_dict(), tmp_path / "w.pt")
    torch.testing.assert_close(load_model("mlp", tmp_path / "w.pt")(x), spaced(x))


def test_a_named_network_takes_its_number_of_classes_from_the_file(tmp_path: Path) -> None:
    network = ResNet(20).build((3, 32, 32), generator(0, "w"), 100)
    torch.save(
        {"state_dict": {f"module.{name}": value for name, value in network.state_dict().items()}}, tmp_path / "w.pt"
    )
    assert load_model("resnet20", tmp_path / "w.pt")(torch.zeros(1, 3, 32, 32)).shape == (1, 100)


def test_a_file_of_another_architecture_is_refused(tmp_path: Path) -> None:
    torch.save(ConvNet().build((1, 28, 28), generator(0, "w"), 10).state_dict(), tmp_path / "w.pt")
    for kind in ("mlp", "resnet", "preact_resnet", "wide_resnet", "two_layer"):
        with pytest.raises(ModelError, match=f"is not a file of the architecture {kind}.*name the code of the network"):
            build_model(kind, shape=(1, 28, 28), weights=tmp_path / "w.pt")
    with pytest.raises(ModelError, match="'depht'"):
        build_model("convnet(depht=3)", shape=(1, 28, 28), weights=tmp_path / "w.pt")
    with pytest.raises(UsageError, match="takes its sizes from a weights file"):
        build_model("mlp")


def test_all_architectures_whose_file_tells_their_sizes_are_known() -> None:
    assert set(SIZED_ARCHITECTURES) == ARCHITECTURES.keys() - {"autoencoder_classifier", "module"}
