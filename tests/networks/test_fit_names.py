"""Weights files of other programs: prefixes, copies, normalization layers, weight normalization and shared weights."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_model
from torch import Tensor, nn

from dimple.errors import ModelError
from dimple.networks import NormalizedModel, check_compatible, load_weights, read_weights
from dimple.tensors import generator
from tests.networks.test_weights import torch_file

State = dict[str, Tensor]


def make_network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.Linear(3, 2))


def random_state(network: nn.Module, seed: int = 0) -> State:
    stream = generator(seed, "state")
    return {
        name: torch.rand(tensor.shape, generator=stream) if tensor.is_floating_point() else tensor
        for name, tensor in network.state_dict().items()
    }


def behind(prefix: str, state: State) -> State:
    return {prefix + name: tensor for name, tensor in state.items()}


def saved(folder: Path, content: object) -> Path:
    path = folder / "weights.pt"
    path.write_bytes(torch_file(content))
    return path


def assert_loaded(network: nn.Module, state: State) -> None:
    found = network.state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in state.items())


@pytest.mark.parametrize("prefix", ["model.", "net.", "backbone.", "student.", "encoder_q.base."])
def test_any_one_prefix_of_all_names_is_removed_and_said(prefix: str, tmp_path: Path) -> None:
    state = random_state(make_network())
    network = make_network()
    content = {"state_dict": behind(prefix, state) | {"accuracy.total": torch.tensor(0.5)}, "epoch": 3}
    with pytest.warns(UserWarning, match=f"Sequential: '{prefix}' is removed .*; left out: accuracy.total"):
        load_weights(network, saved(tmp_path, content))
    assert_loaded(network, state)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_fsdp_wrapped_module."])
def test_what_wrappers_of_torch_insert_is_removed_anywhere(prefix: str, tmp_path: Path) -> None:
    state = random_state(make_network())
    network = make_network()
    inside = {name.replace(".", f".{prefix}", 1): tensor for name, tensor in state.items()}
    for content in (behind(prefix, state), inside, behind(prefix, inside)):
        load_weights(network, saved(tmp_path, content))
        assert_loaded(network, state)
        assert read_weights(tmp_path / "weights.pt").keys() == state.keys()


def test_counters_of_wrappers_are_left_out(tmp_path: Path) -> None:
    state = random_state(make_network())
    content = torch.optim.swa_utils.AveragedModel(make_network()).state_dict() | behind("module.", state)
    content |= {"module.0.total_ops": torch.zeros(1), "module._extra_state": {"version": 2}}
    network = make_network()
    load_weights(network, saved(tmp_path, content))
    assert_loaded(network, state)


def test_one_of_several_copies_is_chosen_by_its_prefix(tmp_path: Path) -> None:
    state = random_state(make_network())
    teacher = random_state(make_network(), 1)
    path = saved(tmp_path, {"state_dict": behind("student.", state) | behind("module.teacher.", teacher)})
    network = make_network()
    with pytest.raises(
        ModelError, match=r"different weights under 2 prefixes; choose --state-dict-key: student, teacher$"
    ):
        load_weights(network, path)
    for key, expected in [("state_dict.student", state), ("state_dict.teacher", teacher)]:
        with pytest.warns(UserWarning, match="is removed"):
            load_weights(network, path, key)
        assert_loaded(network, expected)
        assert read_weights(path, key).keys() == expected.keys()
    with pytest.raises(ModelError, match=r"'state_dict.ema' does not name one state dict"):
        load_weights(network, path, "state_dict.ema")


def test_equal_copies_are_one(tmp_path: Path) -> None:
    state = random_state(make_network())
    network = make_network()
    with pytest.warns(UserWarning, match=r"'model\.' is removed"):
        load_weights(network, saved(tmp_path, behind("module.model.", state) | behind("module.attacker.model.", state)))
    assert_loaded(network, state)


def test_tensors_of_another_network_behind_the_prefix_are_named(tmp_path: Path) -> None:
    state = behind("model.", random_state(make_network()))
    surplus = saved(tmp_path, state | {"model.4.weight": torch.ones(2, 2)})
    with pytest.raises(ModelError, match=r"1 surplus: model\.4\.weight"):
        load_weights(make_network(), surplus)
    other_shape = saved(tmp_path, state | {"model.3.weight": torch.ones(10, 3)})
    with pytest.raises(ModelError, match=r"1 of another shape: 3\.weight \(10, 3\) for \(2, 3\)"):
        load_weights(make_network(), other_shape)


class Normalize(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.5]))
        self.register_buffer("std", torch.tensor([0.25]))


def test_a_prefix_that_only_the_network_has_is_added(tmp_path: Path) -> None:
    state = random_state(make_network())
    network = nn.Sequential(Normalize(), make_network())
    with pytest.warns(UserWarning, match=r"'1\.' is added to the names"):
        load_weights(network, saved(tmp_path, state))
    assert_loaded(network, behind("1.", state) | {"0.mean": torch.tensor([0.5])})


@pytest.mark.filterwarnings("ignore:.*is removed from the names:UserWarning")
def test_the_network_and_the_file_may_have_different_prefixes(tmp_path: Path) -> None:
    state = random_state(make_network())
    network = nn.Sequential(Normalize(), make_network())
    with pytest.warns(UserWarning, match=r"'1\.' is added to the names"):
        load_weights(network, saved(tmp_path, behind("model.", state)))
    assert_loaded(network, behind("1.", state))
    with pytest.raises(ModelError, match=r"10 missing: 0\.mean, .*; 6 surplus: features\.0\.bias"):
        load_weights(network, saved(tmp_path, {f"features.{name}": state[name] for name in list(state)[:6]}))


@pytest.mark.filterwarnings("ignore:.*is removed from the names:UserWarning")
@pytest.mark.parametrize("key", ["state_dict.module.model", "state_dict.model.", "model", "module.model"])
def test_a_key_may_be_written_as_the_names_begin(key: str, tmp_path: Path) -> None:
    state = random_state(make_network())
    network = make_network()
    copies = behind("module.model.", state) | behind("module.ema.", random_state(network, 1))
    load_weights(network, saved(tmp_path, {"state_dict": copies, "callbacks": {"best": torch.tensor(0.5)}}), key)
    assert_loaded(network, state)


@pytest.mark.filterwarnings("ignore:.*is removed from the names:UserWarning")
def test_a_normalization_in_front_of_the_network_is_applied_or_refused(tmp_path: Path) -> None:
    state = random_state(make_network())
    mean = torch.tensor([0.1, 0.2, 0.3])
    constants = {"normalize.mean": mean.reshape(1, 3, 1, 1), "normalize.std": mean.reshape(1, 3, 1, 1) + 1}
    path = saved(tmp_path, behind("model.", state) | constants)
    network = NormalizedModel((0.5,) * 3, (1.0,) * 3, make_network())
    with pytest.warns(UserWarning, match=r"normalized by mean \(0\.1, 0\.2, 0\.3\) and std \(1\.1, 1\.2, 1\.3\)"):
        load_weights(network, path)
    assert_loaded(network, behind("module.", state))
    torch.testing.assert_close(network.mean.flatten(), mean)
    torch.testing.assert_close(network.std.flatten(), mean + 1)
    bare = saved(tmp_path, state | {"new_mean": torch.tensor([0.5]), "new_std": torch.tensor([0.25])})
    with pytest.raises(
        ModelError, match=r"contains it, such as dimple\.networks\.NormalizedModel\(\(0\.5,\), \(0\.25,\)"
    ):
        load_weights(make_network(), bare)


@pytest.mark.filterwarnings("ignore:.*is removed from the names:UserWarning")
@pytest.mark.parametrize(
    ("constants", "message"),
    [
        ({"norm.mean": torch.tensor([120.0]), "norm.std": torch.tensor([60.0])}, "none of images in"),
        ({"norm.mean": torch.tensor([0.5])}, "outside the network, norm.mean; name a model that contains it"),
        ({"0.running_mean": torch.zeros(3), "0.running_var": torch.ones(3)}, "outside the network, 0.running_mean"),
        ({"0.scale": torch.ones(1, 3, 1, 1), "0.shift": torch.zeros(1, 3, 1, 1)}, "the network, 0.scale, 0.shift"),
        ({"0.weight": torch.ones(1, 1, 1, 1), "0.bias": torch.zeros(1)}, "the network, 0.weight, 0.bias"),
        ({"0.scale": torch.tensor(2.0)}, "the network, 0.scale"),
        ({"scale": torch.ones(3, 1, 1)}, "the network, scale"),
    ],
)
def test_a_normalization_that_cannot_be_applied_is_refused(constants: State, message: str, tmp_path: Path) -> None:
    state = random_state(make_network())
    network = NormalizedModel((0.5,), (1.0,), make_network())
    with pytest.raises(ModelError, match=message):
        load_weights(network, saved(tmp_path, behind("1.", state) | constants))


@pytest.mark.parametrize(
    ("content", "places"),
    [
        ({"mean": torch.full((3,), 0.5), "std": torch.full((3,), 0.25)}, "'mean' and 'std'"),
        ({"mean": [0.5] * 3, "std": (0.25,) * 3}, "'mean' and 'std'"),
        ({"args": {"data": {"pixel_mean": 0.13, "pixel_std": 0.31}}}, r"'args\.data\.pixel_mean' and"),
    ],
)
def test_a_normalization_beside_the_state_dict_is_named(
    content: dict[str, object], places: str, tmp_path: Path
) -> None:
    state = random_state(make_network())
    path = saved(tmp_path, {"state_dict": state} | content)
    network = make_network()
    with pytest.warns(UserWarning, match=f"holds {places}.* beside the weights, which are not applied; if"):
        load_weights(network, path)
    assert all(torch.equal(tensor, state[name]) for name, tensor in network.state_dict().items())
    # Who gives the constants is not asked for them.
    load_weights(NormalizedModel((0.5,), (0.25,), network), path)


@pytest.mark.filterwarnings("ignore:.*is removed from the names:UserWarning")
@pytest.mark.parametrize("name", ["criterion.weight", "criterion.pos_weight", "loss_fn.weight", "bce_loss.pos_weight"])
@pytest.mark.parametrize("classes", [1, 3])
def test_class_weights_of_a_loss_are_no_normalization(name: str, classes: int, tmp_path: Path) -> None:
    network = make_network()
    state = random_state(make_network())
    load_weights(network, saved(tmp_path, behind("model.", state) | {name: torch.ones(classes)}))
    assert all(torch.equal(tensor, state[name]) for name, tensor in network.state_dict().items())


@pytest.mark.filterwarnings("ignore:.*is removed from the names:UserWarning")
def test_a_temperature_and_a_head_of_another_network_are_left_out(tmp_path: Path) -> None:
    network = make_network()
    others = {"temperature": torch.tensor(2.0), "head.weight": torch.ones(2, 9), "head.bias": torch.zeros(2)}
    state = random_state(make_network())
    load_weights(network, saved(tmp_path, behind("1.", state) | others))
    assert all(torch.equal(tensor, state[name]) for name, tensor in network.state_dict().items())


def plain(layer: nn.Module) -> nn.Module:
    return layer


@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
@pytest.mark.parametrize("stored", [plain, nn.utils.weight_norm, nn.utils.parametrizations.weight_norm])
@pytest.mark.parametrize("expected", [plain, nn.utils.weight_norm, nn.utils.parametrizations.weight_norm])
def test_all_forms_of_weight_normalization_fit_each_other(
    stored: Callable[[nn.Module], nn.Module], expected: Callable[[nn.Module], nn.Module], tmp_path: Path
) -> None:
    source = nn.Sequential(stored(nn.Conv2d(2, 3, 2)), nn.Flatten(), stored(nn.Linear(12, 2)))
    network = nn.Sequential(expected(nn.Conv2d(2, 3, 2)), nn.Flatten(), expected(nn.Linear(12, 2)))
    load_weights(network, saved(tmp_path, source.state_dict()))
    x = torch.rand(5, 2, 3, 3, generator=generator(0, "images"))
    torch.testing.assert_close(network(x), source(x))


class Shared(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(4, 4, bias=False)
        self.b = nn.Linear(4, 4, bias=False)
        self.b.weight = self.a.weight


def test_a_shared_weight_may_have_one_of_its_names(tmp_path: Path) -> None:
    network = Shared()
    save_model(network, str(tmp_path / "shared.safetensors"))
    other = Shared()
    load_weights(other, tmp_path / "shared.safetensors")
    assert torch.equal(other.b.weight, network.a.weight)
    assert other.a.weight is other.b.weight
    different = saved(tmp_path, {"a.weight": torch.ones(4, 4), "b.weight": torch.zeros(4, 4)})
    with pytest.raises(ModelError, match=r"a\.weight and b\.weight are different, and one weight in the network"):
        load_weights(other, different)


def test_lazy_layers_take_their_shapes_from_the_file_or_from_a_sample(tmp_path: Path) -> None:
    state = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 10)).state_dict()
    for tried_first in (False, True):
        network = nn.Sequential(nn.Flatten(), nn.LazyLinear(8), nn.ReLU(), nn.LazyLinear(10))
        if tried_first:
            assert check_compatible(network, (1, 8, 8), 10, "own", "digits") is network
            assert network.training
        load_weights(network, saved(tmp_path, state))
        assert_loaded(network, state)
        assert network(torch.zeros(1, 1, 8, 8)).shape == (1, 10)


def test_the_infinite_numbers_of_a_mask_are_no_divergence(tmp_path: Path) -> None:
    network = nn.Linear(2, 2)
    network.register_buffer("mask", torch.tensor([0.0, -torch.inf]))
    state = network.state_dict()
    load_weights(network, saved(tmp_path, state))
    with pytest.raises(ModelError, match="mask holds nan or inf"):
        load_weights(network, saved(tmp_path, state | {"mask": torch.tensor([torch.inf, 0.0])}))
