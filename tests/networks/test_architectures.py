"""Networks of scenes: published sizes and keys, independent forward passes, and weights that come from the seed."""

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from dimple.boundary import Boundary
from dimple.errors import SceneError
from dimple.networks import (
    ARCHITECTURES,
    MLP,
    MODELS,
    Architecture,
    AutoencoderClassifier,
    ConvNet,
    ModuleNetwork,
    PreActResNet,
    ResNet,
    TwoLayer,
    WideResNet,
    build_model,
    freeze,
    read_weights,
)
from dimple.networks.layers import SeededDropout, image_norm
from dimple.networks.resnet import BasicBlock
from dimple.probes import Margin, run_probes
from dimple.runs.run import RunFolder
from dimple.tensors import generator
from dimple.training import SGD, Adam, Stop, Training

IMAGE = (3, 16, 16)
EXAMPLES: dict[str, tuple[Architecture, tuple[int, ...]]] = {
    "mlp": (MLP(widths=(8, 6), norm="batch", dropout=0.25, activation="swish", frozen=(2,)), (5,)),
    "linear": (MLP(widths=()), (5,)),
    "mlp of images": (MLP(widths=(8,), bias=False, init_scale=(0.5, 2.0)), IMAGE),
    "convnet": (ConvNet(channels=(4, 8, 8), hidden=10, norm="group", init_scale=2.0), (1, 13, 9)),
    "resnet": (ResNet(depth=8), (1, 9, 9)),
    "preact_resnet": (PreActResNet(norm="group", activation="swish"), IMAGE),
    "wide_resnet": (WideResNet(depth=10, width=2, norm="group", activation="swish"), IMAGE),
    "two_layer": (TwoLayer(width=20), (5,)),
    "two_layer signs": (TwoLayer(width=20, bias=False, output="signs"), IMAGE),
    "autoencoder_classifier": (AutoencoderClassifier(units=12), (1, 6, 6)),
    "module": (ModuleNetwork(name="digits_convnet"), (1, 8, 8)),
}
every_example = pytest.mark.parametrize("name", EXAMPLES)


def build(name: str, seed: int = 0) -> tuple[nn.Module, Tensor, Tensor]:
    """The network of an example, and samples with labels."""
    architecture, shape = EXAMPLES[name]
    classes = 10 if name == "module" else 2
    network = architecture.build(shape, generator(seed, "network"), classes)
    stream = generator(1, "samples")
    return network, torch.rand(6, *shape, generator=stream), torch.arange(6) % 2


def size(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_every_kind_has_an_example() -> None:
    assert {type(architecture) for architecture, _ in EXAMPLES.values()} == set(ARCHITECTURES.values())


@every_example
def test_weights_come_from_the_generator_alone(name: str) -> None:
    before = torch.get_rng_state()
    first, again, other = (build(name, seed)[0].state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(values, again[key]) for key, values in first.items())
    assert any(not torch.equal(values, other[key]) for key, values in first.items())
    assert all(values.dtype in (torch.float32, torch.int64) and not values.is_meta for values in first.values())


@every_example
def test_a_trained_network_is_read_back_and_measured(name: str, tmp_path: Path) -> None:
    network, x, y = build(name)
    folder = RunFolder(tmp_path, {})

    def record(step: int, trained: nn.Module, loss: float) -> None:
        folder.write_snapshot(step, trained.state_dict(), loss)

    start = {key: values.clone() for key, values in network.state_dict().items()}
    Training(optimizer=SGD(lr=0.05), batch_size=3, stop=Stop(steps=4)).fit(network, x, y, [0], record)
    assert any(not torch.equal(values, start[key]) for key, values in network.state_dict().items())
    stored = build(name, seed=7)[0]
    stored.load_state_dict(folder.read_snapshot(4)[0])
    assert torch.equal(freeze(stored)(x), freeze(network)(x))
    # The running means of batch normalization have seen the first batch.
    first, _ = folder.read_snapshot(0)
    assert all(torch.equal(first[key], start[key]) for key, _ in network.named_parameters())
    boundary = Boundary(freeze(network).double())
    found = run_probes(boundary, x.double(), y, [Margin(max_passes=20)]).columns
    # The score difference of the samples, and nothing that depends on the other samples of the batch.
    alone = run_probes(boundary, x[:1].double(), y[:1], [Margin(max_passes=20)]).columns
    assert float(found["logit_margin"][0]) == pytest.approx(float(alone["logit_margin"][0]), rel=1e-9)


@every_example
def test_a_training_that_continues_ends_in_the_same_bits(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from dimple.training import loop

    class Store:
        arrays: dict[str, Any] | None = None

        def read_cache(self, name: str) -> dict[str, Any] | None:
            return self.arrays if name == loop.STATE else None

        def write_cache(self, name: str, arrays: dict[str, Any]) -> None:
            if arrays["step"] == 3:
                self.arrays = {key: np.array(array) for key, array in arrays.items()}

    monkeypatch.setattr(loop, "SECONDS_BETWEEN_STATES", 0.0)
    training = Training(batch_size=3, stop=Stop(steps=5))
    expected, x, y = build(name)
    store = Store()
    training.fit(expected, x, y, [], lambda *_: None, cache=store)
    continued = build(name)[0]
    training.fit(continued, x, y, [], lambda *_: None, cache=store)
    pairs = zip(expected.state_dict().values(), continued.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize(
    ("depth", "parameters"), [(20, 269_722), (32, 464_154), (44, 658_586), (56, 853_018), (110, 1_727_962)]
)
def test_residual_networks_have_their_published_sizes(depth: int, parameters: int) -> None:
    network = ResNet(depth).build((3, 32, 32), generator(0, "network"), 10)
    layers = sum(isinstance(module, nn.Conv2d | nn.Linear) for module in network.modules())
    assert size(network) == parameters
    assert layers == depth


def test_preact_resnet_and_wide_resnet_have_their_published_sizes() -> None:
    """11.17 M and 36.5 M parameters."""
    stream = generator(0, "network")
    assert size(PreActResNet().build((3, 32, 32), stream, 10)) == 11_172_170
    assert size(WideResNet(depth=28, width=10).build((3, 32, 32), stream, 10)) == 36_479_194
    assert size(WideResNet(depth=34, width=10).build((3, 32, 32), stream, 10)) == 46_160_474


def test_the_shortcut_takes_every_second_pixel_between_zeros() -> None:
    x = torch.rand(2, 16, 8, 8, generator=generator(0, "image"))
    short = BasicBlock(16, 32, 2).shortcut(x)
    assert torch.equal(short[:, 8:24], functional.max_pool2d(x, 1, stride=2))
    assert not short[:, :8].any()
    assert not short[:, 24:].any()


def test_the_keys_are_those_of_published_weights() -> None:
    """Keys as in the code of Wong and Kolter 2018, Rice et al. 2020, and Zhang et al. 2019."""
    conv = {f"{layer}.{kind}" for layer in (0, 2, 5, 7) for kind in ("weight", "bias")}
    assert set(build_model("mnist_convnet").state_dict()) == conv
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")

    def block(prefix: str, shortcut: str) -> set[str]:
        convolutions = {f"{prefix}.conv{i}.weight" for i in (1, 2)} | ({f"{prefix}.{shortcut}"} if shortcut else set())
        return convolutions | {f"{prefix}.bn{i}.{key}" for i in (1, 2) for key in norm}

    stream = generator(0, "network")
    expected = {"conv1.weight", "linear.weight", "linear.bias", *(f"bn.{key}" for key in norm)}
    for stage in range(1, 5):
        expected |= block(f"layer{stage}.0", "shortcut.0.weight" if stage > 1 else "") | block(f"layer{stage}.1", "")
    assert set(PreActResNet().build((3, 32, 32), stream, 10).state_dict()) == expected
    expected = {"conv1.weight", "fc.weight", "fc.bias", *(f"bn1.{key}" for key in norm)}
    for stage in range(1, 4):
        expected |= block(f"block{stage}.layer.0", "convShortcut.weight") | block(f"block{stage}.layer.1", "")
    assert set(WideResNet(depth=16, width=4).build((3, 32, 32), stream, 10).state_dict()) == expected


@pytest.mark.parametrize(
    ("name", "file"), [("resnet20", "resnet20-12fca82f.th"), ("mnist_convnet", "mnist_certified_linf01.pth")]
)
def test_the_keys_are_those_of_real_checkpoints(name: str, file: str, shared_data: Path) -> None:
    read = read_weights(shared_data / "checkpoints" / file)
    own = {key.removeprefix("module.") for key in build_model(name).state_dict() if "num_batches" not in key}
    assert {key.removeprefix("module.") for key in read if "num_batches" not in key} == own


def normalized(x: Tensor, state: dict[str, Tensor], prefix: str) -> Tensor:
    """Batch normalization in eval mode, by its formula."""
    mean, variance, weight, bias = (
        state[f"{prefix}.{key}"][:, None, None] for key in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / (variance + 1e-5).sqrt() * weight + bias


def preact_block(x: Tensor, state: dict[str, Tensor], prefix: str, shortcut: str, stride: int) -> Tensor:
    active = functional.relu(normalized(x, state, f"{prefix}.bn1"))
    out = functional.conv2d(active, state[f"{prefix}.conv1.weight"], stride=stride, padding=1)
    out = functional.relu(normalized(out, state, f"{prefix}.bn2"))
    out = functional.conv2d(out, state[f"{prefix}.conv2.weight"], padding=1)
    key = f"{prefix}.{shortcut}"
    return out + (functional.conv2d(active, state[key], stride=stride) if key in state else x)


def preact_scores(x: Tensor, state: dict[str, Tensor]) -> Tensor:
    x = functional.conv2d(x, state["conv1.weight"], padding=1)
    for stage in range(1, 5):
        for index in range(2):
            stride = 2 if stage > 1 and index == 0 else 1
            x = preact_block(x, state, f"layer{stage}.{index}", "shortcut.0.weight", stride)
    return functional.relu(normalized(x, state, "bn")).mean((2, 3)) @ state["linear.weight"].T + state["linear.bias"]


def wide_scores(x: Tensor, state: dict[str, Tensor]) -> Tensor:
    x = functional.conv2d(x, state["conv1.weight"], padding=1)
    for stage in range(1, 4):
        stride = 2 if stage > 1 else 1
        x = preact_block(x, state, f"block{stage}.layer.0", "convShortcut.weight", stride)
    return functional.relu(normalized(x, state, "bn1")).mean((2, 3)) @ state["fc.weight"].T + state["fc.bias"]


def convnet_scores(x: Tensor, state: dict[str, Tensor]) -> Tensor:
    for layer in (0, 3):
        x = functional.conv2d(x, state[f"{layer}.weight"], state[f"{layer}.bias"], stride=2, padding=1)
        x = functional.relu(normalized(x, state, f"{layer + 1}"))
    x = functional.relu(x.flatten(1) @ state["7.weight"].T + state["7.bias"])
    return x @ state["9.weight"].T + state["9.bias"]


@pytest.mark.parametrize(
    ("architecture", "scores"),
    [
        (PreActResNet(), preact_scores),
        (WideResNet(depth=10, width=2), wide_scores),
        (ConvNet(channels=(4, 6), hidden=8, norm="batch"), convnet_scores),
    ],
    ids=["preact_resnet", "wide_resnet", "convnet"],
)
def test_forward_passes_equal_an_independent_one(
    architecture: Architecture, scores: Callable[[Tensor, dict[str, Tensor]], Tensor]
) -> None:
    """In eval mode, after the running statistics have moved."""
    network = architecture.build(IMAGE, generator(0, "network"), 3).double()
    stream = generator(1, "images")
    for _ in range(2):
        network(torch.rand(8, *IMAGE, generator=stream, dtype=torch.float64))
    x = torch.rand(4, *IMAGE, generator=stream, dtype=torch.float64)
    frozen = freeze(network)
    torch.testing.assert_close(frozen(x), scores(x, dict(frozen.state_dict())), rtol=1e-10, atol=1e-10)


def test_an_mlp_in_eval_mode_equals_an_independent_one() -> None:
    network = MLP(widths=(7,), activation="sigmoid", norm="batch", dropout=0.5).build(4, generator(0, "network"))
    x = torch.rand(9, 4, generator=generator(1, "x"))
    network(x)
    state = network.state_dict()
    hidden = x @ state["0.weight"].T + state["0.bias"]
    hidden = (hidden - state["1.running_mean"]) / (state["1.running_var"] + 1e-5).sqrt()
    hidden = torch.sigmoid(hidden * state["1.weight"] + state["1.bias"])
    torch.testing.assert_close(freeze(network)(x), hidden @ state["4.weight"].T + state["4.bias"])


def test_groups_normalize_each_image_over_groups_of_sixteen_channels() -> None:
    x = torch.randn(3, 32, 4, 4, generator=generator(0, "x"))
    out = image_norm("group", 32)(x).reshape(3, 2, -1)
    torch.testing.assert_close(out.mean(2), torch.zeros(3, 2), atol=1e-6, rtol=0)
    torch.testing.assert_close(out.var(2, unbiased=False), torch.ones(3, 2), atol=1e-4, rtol=0)


def test_dropout_leaves_out_its_fraction_and_repeats_with_the_seed() -> None:
    x = torch.ones(1000, 40)
    first, second = SeededDropout(0.25, seed=3)(x), SeededDropout(0.25, seed=3)(x)
    assert torch.equal(first, second)
    assert float((first == 0).double().mean()) == pytest.approx(0.25, abs=0.01)
    assert float(first.mean()) == pytest.approx(1.0, abs=0.02)
    layer = SeededDropout(0.25, seed=3)
    assert not torch.equal(layer(x), layer(x))
    assert torch.equal(layer.eval()(x), x)


@pytest.mark.parametrize("frozen", [(1,), (2, 3), (3,)])
def test_frozen_layers_do_not_move(frozen: tuple[int, ...]) -> None:
    network = MLP(widths=(8, 6), frozen=frozen).build(3, generator(0, "network"))
    before = {key: values.clone() for key, values in network.state_dict().items()}
    x = torch.randn(20, 3, generator=generator(1, "x"))
    training = Training(optimizer=Adam(lr=0.01, weight_decay=0.1), stop=Stop(steps=20))
    training.fit(network, x, (x[:, 0] > 0).long(), [], lambda *_: None)
    for number, layer in enumerate((0, 2, 4), start=1):
        for key in (f"{layer}.weight", f"{layer}.bias"):
            assert torch.equal(network.state_dict()[key], before[key]) == (number in frozen)


def test_a_linear_network_without_bias_is_a_matrix() -> None:
    network = MLP(widths=(), bias=False).build((2, 2), generator(0, "network"), 3)
    x = torch.rand(5, 2, 2, generator=generator(1, "x"))
    (weight,) = network.parameters()
    torch.testing.assert_close(network(x), x.flatten(1) @ weight.T)


@pytest.mark.parametrize("architecture", [MLP(widths=(8, 8)), ConvNet(channels=(4,), hidden=8)], ids=["mlp", "convnet"])
def test_scales_multiply_weights_and_biases_of_their_layers(architecture: Any) -> None:
    factors = (0.5, 2.0, 3.0)
    plain = architecture.build((1, 4, 4), generator(0, "network"))
    scaled = dataclasses.replace(architecture, init_scale=factors).build((1, 4, 4), generator(0, "network"))
    for index, (key, values) in enumerate(plain.state_dict().items()):
        torch.testing.assert_close(scaled.state_dict()[key], factors[index // 2] * values)
    same = dataclasses.replace(architecture, init_scale=0.5).build((1, 4, 4), generator(0, "network"))
    assert all(torch.equal(values, 0.5 * plain.state_dict()[key]) for key, values in same.state_dict().items())


def test_a_two_layer_network_has_the_distribution_of_its_theory() -> None:
    network = TwoLayer(width=4000, bias=False, output="signs", init_scale=0.5).build(50, generator(0, "network"))
    hidden, signs = network.state_dict().values()
    assert float(hidden.std()) == pytest.approx(0.5 * 50**-0.5, rel=0.01)
    assert float(hidden.mean()) == pytest.approx(0.0, abs=1e-3)
    torch.testing.assert_close(signs.abs(), torch.full((1, 4000), 4000**-0.5))
    assert float((signs > 0).double().mean()) == pytest.approx(0.5, abs=0.03)
    x = torch.randn(6, 50, generator=generator(1, "x"))
    logit = (x @ hidden.T).relu() @ signs[0]
    torch.testing.assert_close(network(x), torch.stack([torch.zeros(6), logit], dim=1))
    uniform = TwoLayer(width=4000, init="uniform").build(50, generator(0, "network")).state_dict()
    assert float(uniform["module.0.weight"].abs().max()) == pytest.approx(50**-0.5, rel=0.01)


def test_the_code_of_an_autoencoder_is_fitted_without_labels_and_not_trained_with_them() -> None:
    """Two patterns and their negatives: a code of few units rebuilds them, and a linear layer separates them."""
    patterns = torch.randint(2, (2, 1, 5, 5), generator=generator(0, "patterns")).float()
    x = torch.cat([patterns, 1 - patterns]).repeat(8, 1, 1, 1)
    y = torch.arange(4).repeat(8) // 2
    architecture = AutoencoderClassifier(units=10, steps=400, lr=0.02)
    network = architecture.build((1, 5, 5), generator(0, "network"))
    start = network.state_dict()["1.weight"].clone()
    architecture.fit_features(network, x, generator(0, "features"))
    code = {key: values.clone() for key, values in network.state_dict().items() if key.startswith("1.")}
    assert not torch.equal(code["1.weight"], start)
    activity = torch.sigmoid(x.flatten(1) @ code["1.weight"].T + code["1.bias"])
    assert float(activity.mean()) < 0.25
    assert int(torch.linalg.matrix_rank(activity - activity.mean(0), tol=0.1)) >= 2
    Training(optimizer=Adam(lr=0.05), stop=Stop(steps=300)).fit(network, x, y, [], lambda *_: None)
    assert all(torch.equal(values, network.state_dict()[key]) for key, values in code.items())
    assert bool((network(x).argmax(1) == y).all())


@pytest.mark.parametrize("name", MODELS)
def test_a_built_in_model_is_the_network_of_its_settings(name: str) -> None:
    model = MODELS[name]
    built = model.architecture.build(model.shape, generator(3, "network"), model.classes).state_dict()
    named = ModuleNetwork(name=name).build(model.shape, generator(3, "network"), model.classes)
    assert {key.removeprefix("module.") for key in named.state_dict()} == set(built)
    assert all(torch.equal(values, built[key.removeprefix("module.")]) for key, values in named.state_dict().items())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ConvNet().build(5, torch.Generator()), "'convnet', which takes images .* has 5 values: choose mlp"),
        (lambda: ResNet().build((3, 8), torch.Generator()), "'resnet', which takes images .* has 3 x 8 values"),
        (lambda: WideResNet().build((3,), torch.Generator()), "'wide_resnet', which takes images"),
        (lambda: PreActResNet().build((3,), torch.Generator()), "'preact_resnet', which takes images"),
        (lambda: ConvNet().build((1, 3, 8), torch.Generator()), "channels has 2 convolutions, .* 3 x 8 pixels are too"),
        (lambda: ConvNet(init_scale=(1.0,)), r"^init_scale has 1 factors; the network has 4 layers"),
        (lambda: MLP(init_scale=(1.0,)), r"^init_scale has 1 factors; the network has 3 layers"),
        (lambda: MLP(widths=(3,), frozen=(3,)), r"^frozen names layer 3; the network has 2 layers, counted from 1"),
        (lambda: MLP(widths=(3,), frozen=(2, 1)), r"^frozen names all 2 layers"),
        (lambda: MLP(bias=False, initial_logit_bias=2.0), r"^bias is false; then leave out initial_logit_bias"),
        (lambda: MLP(dropout=1.0), r"dropout is 1\.0"),
        (lambda: ResNet(depth=21), r"^depth is 21; the family has depth 6k \+ 2"),
        (lambda: ResNet(depth=2), r"^depth is 2; the family"),
        (lambda: WideResNet(depth=20), r"^depth is 20; the family has depth 6k \+ 4"),
        (lambda: PreActResNet(depth=20), "depth is 20"),  # type: ignore[arg-type]
        (lambda: TwoLayer().build(3, torch.Generator(), 3), "has two classes; the data have 3: choose mlp"),
        (lambda: ModuleNetwork(name="mnist_convnet").build((1, 8, 8), torch.Generator(), 10), r"network\.name: .*28"),
        (lambda: ModuleNetwork(name="digits_convnet").build((1, 8, 8), torch.Generator()), r"network\.name: .* 2 clas"),
    ],
)
def test_what_does_not_fit_is_answered_with_a_sentence(make: Callable[[], object], message: str) -> None:
    with pytest.raises(SceneError, match=message) as raised:
        make()
    assert "\n" not in str(raised.value)


def test_a_network_loads_no_compiler() -> None:
    """The seconds of a first training go into training."""
    program = "from dimple.networks import MLP; import sys, torch; MLP().build(3, torch.Generator()); "
    answer = subprocess.run(
        [sys.executable, "-c", program + "print('sympy' in sys.modules)"], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "False"
