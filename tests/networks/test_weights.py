"""Weights files: formats that are read, files that are refused, and code that is never executed."""
# ruff: noqa: TID251 - these tests write the pickles that must be refused

import argparse
import dataclasses
import datetime
import enum
import io
import json
import os
import pickle
import shlex
import subprocess
import sys
import types
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from dimple.errors import ModelError
from dimple.networks import NormalizedModel, build_model, load_weights, read_weights
from dimple.tensors import generator


def linear_state(seed: int = 0) -> dict[str, Tensor]:
    """Return the state dict of a small linear layer."""
    stream = generator(seed, "weights")
    return {"weight": torch.randn(2, 3, generator=stream), "bias": torch.randn(2, generator=stream)}


def torch_file(value: Any, *, zipped: bool = True) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


def rewrite_zip(
    content: bytes, *, compression: int = zipfile.ZIP_STORED, rename: dict[str, str] | None = None
) -> bytes:
    """Return a new zip file with the same entries."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(buffer, "w", compression) as new:
        for name in old.namelist():
            new.writestr((rename or {}).get(name, name), old.read(name))
    return buffer.getvalue()


def zip_of_entry(name: str, content: bytes = b"pt2") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


def flip_bit(content: bytes, pattern: bytes) -> bytes:
    """Return the content with one bit inverted in the first byte of `pattern`."""
    index = content.index(pattern)
    return content[:index] + bytes([content[index] ^ 1]) + content[index + 1 :]


def safetensors_header(**fields: Any) -> bytes:
    text = json.dumps(fields).encode()
    return len(text).to_bytes(8, "little") + text


class RunsCommand:
    """An object whose unpickling runs a command."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.marker}",)


def with_attribute(kind: type[Tensor]) -> dict[str, Tensor]:
    """Return a state dict of tensors to which a program has given an attribute."""
    tensors = {name: nn.Parameter(value) if kind is nn.Parameter else value for name, value in linear_state().items()}
    for tensor in tensors.values():
        tensor.note = "mine"  # type: ignore[attr-defined]
    return tensors


READABLE: dict[str, Callable[[], bytes]] = {
    "zip": lambda: torch_file(linear_state()),
    "legacy": lambda: torch_file(linear_state(), zipped=False),
    "safetensors": lambda: safetensors.torch.save(linear_state()),
    "ordered": lambda: torch_file(OrderedDict(linear_state())),
    "parameters": lambda: torch_file({name: nn.Parameter(tensor) for name, tensor in linear_state().items()}),
    "tensors with attributes": lambda: torch_file(with_attribute(Tensor)),
    "parameters with attributes": lambda: torch_file(with_attribute(nn.Parameter)),
    "views of one storage": lambda: torch_file(
        {"weight": linear_state()["weight"].T.contiguous().T, "bias": linear_state()["bias"].repeat(2)[2:]}
    ),
    "nested": lambda: torch_file({"epoch": 3, "model": {"state_dict": linear_state()}, "note": "x", "best": 0.5}),
    "listed": lambda: torch_file({"state_dict": [linear_state()], "order": list(range(200_000))}),
    "parallel": lambda: torch_file({f"module.{name}": tensor for name, tensor in linear_state().items()}),
    "compiled": lambda: torch_file({f"_orig_mod.module.{name}": tensor for name, tensor in linear_state().items()}),
    "with settings": lambda: torch_file(
        {
            "args": argparse.Namespace(lr=0.1, out=Path("runs")),
            "best": np.float64(0.5),
            "history": np.zeros(3),
            "started": datetime.datetime(2020, 1, 1),  # noqa: DTZ001
            "model": linear_state(),
        }
    ),
    "with optimizer": lambda: torch_file(
        {
            "model": linear_state(),
            "optimizer": {"state": {0: {"exp_avg": torch.ones(2, 3), "exp_avg_sq": torch.ones(2, 3)}}},
            "random": {"torch": torch.zeros(8, dtype=torch.uint8)},
        }
    ),
}


@pytest.mark.parametrize("kind", READABLE)
@pytest.mark.parametrize("name", ["weights.pt", "weights.safetensors", "weights"])
def test_every_format_returns_the_same_tensors_under_any_file_name(kind: str, name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(READABLE[kind]())
    found = read_weights(path)
    assert found.keys() == linear_state().keys()
    assert all(torch.equal(found[key], tensor) for key, tensor in linear_state().items())
    assert not any(tensor.requires_grad for tensor in found.values())


@pytest.mark.filterwarnings("ignore:Couldn't retrieve source code")
@pytest.mark.parametrize("is_zip", [True, False])
def test_objects_of_the_script_that_saved_a_file_are_left_out_and_not_made(
    is_zip: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    main = sys.modules["__main__"]
    mode = enum.Enum("Mode", {"FAST": 1}, module="__main__")
    config = dataclasses.make_dataclass("Config", [("mode", mode)], namespace={"__module__": "__main__"})
    network = type("Net", (nn.Linear,), {"__module__": "__main__"})
    for cls in (mode, config, network):
        monkeypatch.setattr(main, cls.__name__, cls, raising=False)
    path = tmp_path / "weights.pt"
    path.write_bytes(torch_file({"config": config(mode["FAST"]), "model": linear_state()}, zipped=is_zip))
    path_of_network = tmp_path / "network.pt"
    path_of_network.write_bytes(torch_file(network(3, 2), zipped=is_zip))
    # A file that would make them now fails.
    for cls in (mode, config, network):
        monkeypatch.delattr(main, cls.__name__)
    assert torch.equal(read_weights(path)["weight"], linear_state()["weight"])
    with pytest.raises(ModelError, match=r"imports the Python object __main__\.Net, .* convert it"):
        read_weights(path_of_network)


@pytest.mark.parametrize(("key", "seed"), [("model", 0), ("ema.shadow", 1), ("old", 2)])
def test_a_key_selects_one_of_several_state_dicts(key: str, seed: int, tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(
        torch_file({"model": linear_state(0), "ema": {"shadow": linear_state(1)}, "old": [linear_state(2)]})
    )
    assert torch.equal(read_weights(path, key)["weight"], linear_state(seed)["weight"])
    with pytest.raises(ModelError, match=r"3 state dicts; choose --state-dict-key: model, ema\.shadow, old\[0\]"):
        read_weights(path)
    with pytest.raises(ModelError, match=r"'best' does not name one state dict; choose one of model"):
        read_weights(path, "best")


@pytest.mark.parametrize("wrap", ["zip", "legacy", "raw", "nested"])
def test_a_pickle_with_code_in_it_is_refused_and_not_executed(wrap: str, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    path = tmp_path / "weights.pt"
    malicious = RunsCommand(marker)
    content = {
        "zip": lambda: torch_file({"state_dict": malicious}),
        "legacy": lambda: torch_file({"state_dict": malicious}, zipped=False),
        "raw": lambda: pickle.dumps(malicious),
        "nested": lambda: torch_file({"state_dict": {**linear_state(), "x": [malicious]}}),
    }[wrap]()
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"imports the Python object (posix|nt)\.system") as caught:
        read_weights(path)
    assert not marker.exists()
    assert "\n" not in str(caught.value)


def deep_list(depth: int) -> bytes:
    """Return the file of `torch.save` for nested lists, at a depth that pickle cannot write itself."""
    with zipfile.ZipFile(io.BytesIO(torch_file([1]))) as archive:
        root = archive.namelist()[0].split("/")[0]
        entries = {name: archive.read(name) for name in archive.namelist()}
    entries[f"{root}/data.pkl"] = b"\x80\x02" + b"]" * depth + b"a" * (depth - 1) + b"."
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def billion_laughs() -> bytes:
    """Return a small file that expands to 10^8 references."""
    level: list[Any] = []
    for _ in range(8):
        level = [level] * 10
    return torch_file(level)


UNREADABLE: dict[str, tuple[Callable[[], bytes], str]] = {
    "pickled module": (lambda: torch_file(nn.Linear(2, 2)), r"imports the Python object torch\.nn\.modules"),
    "torchscript": (lambda: zip_of_entry("net/code/__torch__.py"), "TorchScript or exported program"),
    "pt2": (lambda: zip_of_entry("net/archive_format"), "TorchScript or exported program"),
    "npz": (lambda: zip_of_entry("x.npy"), "zip file without torch weights"),
    "truncated zip": (lambda: torch_file(linear_state())[:-40], "truncated or damaged zip"),
    "truncated legacy": (lambda: torch_file(linear_state(), zipped=False)[:-5], "damaged or unsafe torch file"),
    "empty": (lambda: b"", "is empty"),
    "web page": (lambda: b"\n<!DOCTYPE html><html>", "web page"),
    "git lfs": (lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer"),
    "text": (lambda: b"hello, this is nothing", "begins with"),
    "flipped bit": (lambda: flip_bit(torch_file({"w": torch.full((100,), 1.0)}), b"\0\0\x80\x3f\0\0\x80\x3f"), "CRC"),
    "compressed": (
        lambda: rewrite_zip(torch_file(linear_state()), compression=zipfile.ZIP_DEFLATED),
        "compressed entries",
    ),
    "stride 0": (lambda: torch_file({"w": torch.zeros(1).expand(10**6, 10**6)}), "larger than its storage"),
    "deep": (lambda: deep_list(200_000), "too deep"),
    "billion laughs": (billion_laughs, "holds no state dict"),
    "no tensors": (lambda: torch_file({"epoch": 3}), "holds no state dict"),
    "one tensor": (lambda: torch_file(torch.ones(3)), "holds no state dict"),
    "complex": (lambda: torch_file({"w": torch.zeros(2, dtype=torch.complex64)}), "is torch.complex64"),
    "sparse": (lambda: torch_file({"w": torch.eye(3).to_sparse()}), "sparse"),
    "meta": (lambda: torch_file({"w": torch.empty(3, device="meta")}), "without data"),
    "header too long": (lambda: (2**39).to_bytes(8, "little") + b"{}", "damaged safetensors"),
    "no data": (
        lambda: safetensors_header(w={"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}),
        "damaged safetensors",
    ),
    "trailing": (lambda: safetensors.torch.save(linear_state()) + b"xxxx", "damaged safetensors"),
    "truncated": (lambda: safetensors.torch.save(linear_state())[:-4], "damaged safetensors"),
    "negative": (
        lambda: safetensors_header(w={"dtype": "F32", "shape": [-1], "data_offsets": [0, 0]}),
        "damaged safetensors",
    ),
    "unknown": (
        lambda: safetensors_header(w={"dtype": "F7", "shape": [0], "data_offsets": [0, 0]}),
        "damaged safetensors",
    ),
}


@pytest.mark.filterwarnings("ignore:.*Sparse:UserWarning")
@pytest.mark.parametrize("kind", UNREADABLE)
def test_an_unreadable_file_is_refused_in_one_line_that_names_it(kind: str, tmp_path: Path) -> None:
    make, message = UNREADABLE[kind]
    path = tmp_path / "weights.safetensors"
    path.write_bytes(make())
    with pytest.raises(ModelError, match=message) as caught:
        read_weights(path)
    text = str(caught.value)
    assert str(path) in text
    assert "\n" not in text
    assert "\x1b" not in text


def test_paths_that_are_not_regular_files_are_refused(tmp_path: Path) -> None:
    link = tmp_path / "link.pt"
    pipe = tmp_path / "pipe.pt"
    link.symlink_to(tmp_path / "nowhere")
    os.mkfifo(pipe)
    for path, message in [
        (tmp_path, "is a folder"),
        (link, "does not exist"),
        (pipe, "is not a regular file"),
        (tmp_path / "none.pt", "does not exist"),
    ]:
        with pytest.raises(ModelError, match=message):
            read_weights(path)


def test_missing_and_surplus_tensors_of_another_architecture_are_named(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    safetensors.torch.save_file(build_model("resnet32").state_dict(), path)
    network = build_model("resnet20")
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(ModelError, match=r"does not fit Residual.*: 60 surplus: layer1\.3\.bn1\.bias, .* and 50 more"):
        load_weights(network, path)
    # 31 convolutions, each with the four tensors of a batch norm, and the two tensors of a linear layer.
    with pytest.raises(ModelError, match=r"does not fit Sequential: 8 missing: 0\.bias, .*; 157 surplus"):
        load_weights(build_model("mnist_convnet"), path)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"7.weight": torch.zeros(9, 100)}, r"1 of another shape: 7\.weight \(9, 100\) for \(10, 100\)"),
        ({"7.bias": torch.zeros(10, dtype=torch.long)}, r"7\.bias is torch\.int64; the network has torch\.float32"),
        ({"7.bias": torch.tensor([float("nan")] * 10)}, r"7\.bias holds nan or inf"),
        ({"7.bias": torch.tensor([float("inf")] * 10)}, r"7\.bias holds nan or inf"),
    ],
)
def test_weights_that_fit_only_by_name_change_nothing(change: dict[str, Tensor], message: str, tmp_path: Path) -> None:
    network = build_model("mnist_convnet")
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    path = tmp_path / "weights.pt"
    path.write_bytes(torch_file({name: torch.zeros_like(tensor) for name, tensor in before.items()} | change))
    with pytest.raises(ModelError, match=message):
        load_weights(network, path)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_a_network_whose_own_names_have_a_wrapper_prefix_gets_its_weights(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    for prefix in ("", "module.", "_orig_mod.module."):
        path.write_bytes(torch_file({f"{prefix}{name}": tensor for name, tensor in linear_state().items()}))
        network = nn.DataParallel(nn.Linear(3, 2))
        load_weights(network, path)
        assert torch.equal(network.module.weight, linear_state()["weight"])
        assert torch.equal(network.module.bias, linear_state()["bias"])


def test_half_precision_weights_without_counters_load_into_a_wrapped_network(tmp_path: Path) -> None:
    stored = build_model("resnet20", generator(5, "stored")).state_dict()
    path = tmp_path / "weights.pt"
    path.write_bytes(torch_file({n: t.half() for n, t in stored.items() if not n.endswith("num_batches_tracked")}))
    network = build_model("resnet20")
    assert isinstance(network, NormalizedModel)
    load_weights(network, path)
    assert torch.equal(network.state_dict()["module.conv1.weight"], stored["module.conv1.weight"].half().float())


def test_of_several_state_dicts_the_one_of_the_network_is_taken(tmp_path: Path) -> None:
    network, other = nn.Linear(3, 2), nn.Conv2d(1, 2, 3)
    path = tmp_path / "weights.pt"
    path.write_bytes(torch_file({"encoder": other.state_dict(), "probe": linear_state(0)}))
    with pytest.warns(UserWarning, match="'probe' is taken; --state-dict-key chooses from the others: encoder"):
        load_weights(network, path)
    assert torch.equal(network.weight, linear_state(0)["weight"])


@pytest.mark.parametrize(
    ("usual", "average"),
    [("state_dict", "state_dict_ema"), ("model", "model_ema"), ("model", "ema.shadow"), ("net", "swa_model")],
)
def test_averages_of_the_weights_are_taken_when_they_are_named(usual: str, average: str, tmp_path: Path) -> None:
    averaged: dict[str, Any] = linear_state(1)
    for part in reversed(average.split(".")[1:]):
        averaged = {part: averaged}
    path = tmp_path / "weights.pt"
    path.write_bytes(torch_file({average.partition(".")[0]: averaged, usual: linear_state(0)}))
    with pytest.warns(UserWarning, match=f"{usual!r} is taken; --state-dict-key chooses from the others: {average}"):
        assert torch.equal(read_weights(path)["weight"], linear_state(0)["weight"])
    assert torch.equal(read_weights(path, average)["weight"], linear_state(1)["weight"])


def whole_module(path: Path) -> None:
    torch.save({"epoch": 3, "model": nn.Linear(3, 2), "optimizer": torch.optim.SGD}, path)


def script(path: Path) -> None:
    torch.jit.save(torch.jit.script(nn.Linear(3, 2)), path)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("write", [whole_module, script])
def test_a_file_that_is_not_read_says_how_to_convert_it(write: Callable[[Path], None], tmp_path: Path) -> None:
    # A shell would run a part of this name.
    path = tmp_path / "$(touch ran) 'it\".pt"
    write(path)
    with pytest.raises(ModelError, match="if you trust") as caught:
        read_weights(path)
    line = str(caught.value).partition("convert it: python")[2]
    subprocess.run(f"{shlex.quote(sys.executable)} -W ignore{line}", shell=True, check=True, cwd=tmp_path)
    assert not (tmp_path / "ran").exists()
    assert read_weights(tmp_path / f"{path.stem}-weights.pt").keys() == {"weight", "bias"}


class StandIn:
    """An object that is pickled under the name of another class, with settings as its state."""


@pytest.mark.parametrize(
    "name",
    [
        "lightning.fabric.utilities.data.AttributeDict",
        "omegaconf.dictconfig.DictConfig",
        "omegaconf.nodes.AnyNode",
        "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint",
        "torchvision.transforms.functional.InterpolationMode",
        "transformers.trainer_utils.IntervalStrategy",
        "yacs.config.CfgNode",
    ],
)
def test_companions_of_weights_are_known_by_their_names(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, _, leaf = name.rpartition(".")
    parts = module.split(".")
    packages = [".".join(parts[:end]) for end in range(1, len(parts) + 1)]
    for package in packages:
        monkeypatch.setitem(sys.modules, package, types.ModuleType(package))
    cls = type(leaf, (StandIn,), {"__module__": module})
    setattr(sys.modules[module], leaf, cls)
    settings = cls()
    settings.__dict__.update(lr=0.1, path=Path("x"), sizes=[1, 2])
    (tmp_path / "w.ckpt").write_bytes(torch_file({"hyper_parameters": settings, cls: 3, "state_dict": linear_state()}))
    for package in packages:
        monkeypatch.delitem(sys.modules, package)
    assert read_weights(tmp_path / "w.ckpt").keys() == {"weight", "bias"}
