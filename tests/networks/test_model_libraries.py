"""Networks of other libraries, against stand-ins with the layout of their modules and of the cache of the hub."""
# ruff: noqa: TID251 - these tests write the files of other programs

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

from dimple.errors import DeviceError, ModelError, UsageError
from dimple.networks import build_model, load_model
from dimple.tensors import generator

Install = Callable[..., None]
TIMM = """
import torch
from torch import nn
MEAN = {mean}
def list_models():
    return ["tiny", "small"]
def is_model(name):
    return name in list_models()
def create_model(name, num_classes=1000, in_chans=3, width=4, pretrained=False):
    assert not pretrained
    pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    network = nn.Sequential(nn.Conv2d(in_chans, width, 1), pool, nn.Linear(width, num_classes))
    network.pretrained_cfg = {{"mean": MEAN, "std": (0.5, 0.25, 0.125)}}
    return network
"""
TORCHVISION = """
from torch import nn
def list_models():
    return ["little"]
def get_model(name, num_classes=1000):
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, num_classes))
"""
# Reads what the real package keeps in its cache.
HUB = """
import os
from pathlib import Path
class LocalEntryNotFoundError(FileNotFoundError): pass
def hf_hub_download(repo_id, filename, revision=None, local_files_only=False):
    folder = Path(os.environ["HF_HOME"]) / "hub" / ("models--" + repo_id.replace("/", "--"))
    name = revision or "main"
    commit = (folder / "refs" / name).read_text() if (folder / "refs" / name).exists() else name
    path = folder / "snapshots" / commit / filename
    if path.exists():
        return str(path)
    raise LocalEntryNotFoundError(filename) if local_files_only else ConnectionError("offline")
"""
ZOO = """
import enum
from collections import OrderedDict
import torch
from torch import nn
class Data(enum.Enum):
    cifar_10 = "cifar10"
class Threat(enum.Enum):
    Linf = "Linf"
    L2 = "L2"
class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.register_buffer("mu", torch.tensor([0.5, 0.4, 0.3]).view(1, 3, 1, 1))
        self.register_buffer("sigma", torch.tensor([0.2, 0.3, 0.4]).view(1, 3, 1, 1))
        self.conv = nn.Conv2d(3, width, 1)
        self.fc = nn.Linear(width, 10)
    def forward(self, x):
        return self.fc(self.conv((x - self.mu) / self.sigma).mean(dim=(2, 3)))
model_dicts = OrderedDict([(Data.cifar_10, OrderedDict([
    (Threat.Linf, OrderedDict([
        ("Plain2020", {"model": Net, "gdrive_id": "1"}),
        ("Andriushchenko2020Understanding", {"model": lambda: Net(5), "gdrive_id": "2"}),
        ("Several2021", {"model": Net, "gdrive_id": ["1", "2"]}),
    ])),
    (Threat.L2, OrderedDict([("Plain2020", {"model": lambda: Net(6), "gdrive_id": "3"})])),
]))])
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Put modules on the import path, for one test."""

    def write(**modules: str) -> None:
        for dotted, text in modules.items():
            parts = dotted.split("__")
            folder = tmp_path / "libraries" / Path(*parts[:-1])
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{parts[-1]}.py").write_text(text)
            for part in range(1, len(parts)):
                init = tmp_path / "libraries" / Path(*parts[:part]) / "__init__.py"
                init.touch()
            for part in range(len(parts)):
                monkeypatch.delitem(sys.modules, ".".join(parts[: part + 1]), raising=False)

    monkeypatch.syspath_prepend(tmp_path / "libraries")
    (tmp_path / "libraries").mkdir()
    monkeypatch.chdir(tmp_path)
    yield write
    for name in [*sys.modules]:
        if name.partition(".")[0] in ("timm", "torchvision", "huggingface_hub", "robustbench"):
            del sys.modules[name]


def test_timm_builds_networks_of_the_size_of_the_data(install: Install, tmp_path: Path) -> None:
    install(timm=TIMM.format(mean="None"))
    network = build_model("timm:tiny(width=6)", shape=(1, 5, 5), classes=3)
    assert network(torch.zeros(2, 1, 5, 5)).shape == (2, 3)
    torch.save({"state_dict": network.state_dict(), "arch": "tiny"}, tmp_path / "w.pth.tar")
    found = load_model("timm:tiny(width=6, num_classes=3, in_chans=1)", tmp_path / "w.pth.tar")
    x = torch.rand(2, 1, 5, 5)
    torch.testing.assert_close(found(x), network(x))
    with pytest.raises(UsageError, match="timm has no network 'tin'; did you mean 'tiny'"):
        build_model("timm:tin")
    with pytest.raises(ModelError, match=r"cannot be built: TypeError.*'depth'"):
        build_model("timm:tiny(depth=3)")


@pytest.mark.parametrize("argument", ["pretrained=True", "checkpoint_path='x.pth'", "cache_dir='x'"])
def test_no_library_reads_weights_past_the_checks(argument: str, install: Install) -> None:
    install(timm=TIMM.format(mean="None"))
    with pytest.raises(UsageError, match="would read weights past the checks"):
        build_model(f"timm:tiny({argument})")


def test_the_normalization_of_published_weights_is_told_and_not_applied(install: Install) -> None:
    install(timm=TIMM.format(mean="(0.5, 0.4, 0.3)"))
    with pytest.warns(UserWarning, match=r"--mean 0\.5,0\.4,0\.3 --std 0\.5,0\.25,0\.125"):
        network = build_model("timm:tiny", classes=3)
    assert isinstance(network, nn.Sequential)


@pytest.mark.filterwarnings("ignore:torchvision.little takes images as they are")
def test_torchvision_builds_networks_by_name(install: Install) -> None:
    install(torchvision__models=TORCHVISION)
    assert build_model("torchvision:little", shape=(3, 4, 4), classes=7)(torch.zeros(1, 3, 4, 4)).shape == (1, 7)
    with pytest.raises(UsageError, match="torchvision has no network 'vit'; it has little"):
        build_model("torchvision:vit")


def repository(home: Path, name: str, config: object, tensors: dict[str, torch.Tensor] | None) -> None:
    """Write a repository as the cache of the hub has it."""
    folder = home / "hub" / f"models--{name.replace('/', '--')}"
    snapshot = folder / "snapshots" / "0123abcd"
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("0123abcd")
    (snapshot / "config.json").write_text(json.dumps(config))
    if tensors is not None:
        safetensors.torch.save_file(tensors, snapshot / "model.safetensors")


def test_a_network_of_the_hub_comes_from_the_cache_with_its_normalization(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(timm=TIMM.format(mean="None"), huggingface_hub=HUB)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    network = build_model("timm:tiny", classes=3)
    config = {
        "architecture": "tiny",
        "num_classes": 3,
        "pretrained_cfg": {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4]},
    }
    repository(tmp_path / "hf", "me/tiny", config, network.state_dict())
    x = torch.rand(2, 3, 4, 4, generator=generator(0, "x"))
    mean, std = torch.tensor([0.5, 0.4, 0.3]).view(3, 1, 1), torch.tensor([0.2, 0.3, 0.4]).view(3, 1, 1)
    with pytest.warns(UserWarning, match=r"hf:me/tiny: images are normalized by mean \(0\.5, 0\.4, 0\.3\)"):
        found = load_model("hf:me/tiny")
    torch.testing.assert_close(found(x), network((x - mean) / std))
    plain = load_model("timm:tiny(num_classes=3)", "hf:me/tiny")
    torch.testing.assert_close(plain(x), network(x))
    with pytest.raises(
        ModelError, match=r"^hf:me/other: config\.json is not in the cache and the hub cannot be reached"
    ):
        load_model("hf:me/other")
    repository(tmp_path / "hf", "me/text", {"architectures": ["Bert"], "model_type": "bert"}, None)
    install(transformers="")
    with pytest.raises(ModelError, match="is a Bert; dimple measures networks of the kind ForImageClassification"):
        load_model("hf:me/text")
    repository(tmp_path / "hf", "me/odd", {"size": 3}, None)
    with pytest.raises(ModelError, match=r"names no architecture.*--weights hf:me/odd"):
        load_model("hf:me/odd")


def zoo_file(folder: Path, threat: str, name: str, content: object) -> None:
    path = folder / "cifar10" / threat / f"{name}.pt"
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path)


def test_robustbench_reads_the_files_of_a_local_folder(install: Install, tmp_path: Path) -> None:
    install(robustbench__model_zoo__models=ZOO)
    # The package itself needs more than its architectures do.
    (tmp_path / "libraries" / "robustbench" / "__init__.py").write_text("import no_such_attack_library\n")
    stream = generator(1, "weights")
    weights = {
        "conv.weight": torch.randn(4, 3, 1, 1, generator=stream),
        "conv.bias": torch.randn(4, generator=stream),
        "fc.weight": torch.randn(10, 4, generator=stream),
        "fc.bias": torch.randn(10, generator=stream),
    }
    mean, std = torch.tensor([0.5, 0.4, 0.3]).view(1, 3, 1, 1), torch.tensor([0.2, 0.3, 0.4]).view(1, 3, 1, 1)
    full = weights | {"mu": mean, "sigma": std}
    zoo_file(tmp_path / "models", "Linf", "Plain2020", {"state_dict": {f"module.{k}": v for k, v in full.items()}})
    x = torch.rand(2, 3, 4, 4, generator=stream)
    normalized = torch.nn.functional.conv2d((x - mean) / std, weights["conv.weight"], weights["conv.bias"])
    expected = normalized.mean(dim=(2, 3)) @ weights["fc.weight"].T + weights["fc.bias"]
    torch.testing.assert_close(load_model("robustbench:Plain2020")(x), expected)

    # Some files lack the normalization, which the architecture has.
    zoo_file(tmp_path / "models", "Linf", "Plain2020", weights)
    torch.testing.assert_close(load_model("robustbench:Plain2020")(x), expected)
    with pytest.raises(ModelError, match="models has no such file; did you mean 'Plain2020'"):
        load_model("robustbench:Plain202")
    zoo_file(tmp_path / "models", "L2", "Plain2020", {})
    with pytest.raises(ModelError, match=r"is there 2 times \(cifar10/L2, cifar10/Linf\)"):
        load_model("robustbench:Plain2020")
    torch.testing.assert_close(load_model("robustbench:Plain2020(threat_model='Linf')")(x), expected)
    zoo_file(tmp_path / "models", "Linf", "Several2021", {})
    with pytest.raises(ModelError, match="is an ensemble of several files"):
        load_model("robustbench:Several2021")
    with pytest.raises(ModelError, match=r"there is no .*elsewhere/DATASET/THREAT_MODEL/Plain2020\.pt"):
        load_model(f"robustbench:Plain2020(folder='{tmp_path / 'elsewhere'}')")


def test_a_library_that_is_missing_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    for name in ("timm", "huggingface_hub", "robustbench"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    for name, extra in (("timm:tiny", "vision"), ("hf:a/b", "hub"), ("robustbench:X", "robustbench")):
        with pytest.raises(DeviceError, match=rf"which is not installed; pip install 'dimple-lab\[{extra}\]'"):
            build_model(name)
