"""Weights files: what is read, and that nothing in a file is ever run."""
# ruff: noqa: TID251 - the files that must be refused are made here

import io
import json
import os
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from dimple.errors import ModelError
from dimple.networks import Normalised, build_model, load_weights, read_weights
from dimple.networks.convnet import convnet
from dimple.tensors import generator


def linear(seed: int = 0) -> dict[str, Tensor]:
    """The state of a small linear layer."""
    stream = generator(seed, "weights")
    return {"weight": torch.randn(2, 3, generator=stream), "bias": torch.randn(2, generator=stream)}


def saved(value: Any, *, zipped: bool = True) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


def rezipped(content: bytes, *, compression: int = zipfile.ZIP_STORED, rename: dict[str, str] | None = None) -> bytes:
    """The entries of a zip file written anew."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(buffer, "w", compression) as new:
        for name in old.namelist():
            new.writestr((rename or {}).get(name, name), old.read(name))
    return buffer.getvalue()


def entry(name: str, content: bytes = b"pt2") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


def flipped(content: bytes, at: bytes) -> bytes:
    """One bit of the first of the bytes `at` turned over."""
    place = content.index(at)
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def header(**fields: Any) -> bytes:
    text = json.dumps(fields).encode()
    return len(text).to_bytes(8, "little") + text


class Touch:
    """Unpickled carelessly, it runs a command."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.marker}",)


GOOD: dict[str, Callable[[], bytes]] = {
    "zip": lambda: saved(linear()),
    "legacy": lambda: saved(linear(), zipped=False),
    "safetensors": lambda: safetensors.torch.save(linear()),
    "ordered": lambda: saved(OrderedDict(linear())),
    "parameters": lambda: saved({name: nn.Parameter(tensor) for name, tensor in linear().items()}),
    "nested": lambda: saved({"epoch": 3, "model": {"state_dict": linear()}, "note": "x", "best": 0.5}),
    "listed": lambda: saved({"state_dict": [linear()], "order": list(range(200_000))}),
    "parallel": lambda: saved({f"module.{name}": tensor for name, tensor in linear().items()}),
    "compiled": lambda: saved({f"_orig_mod.module.{name}": tensor for name, tensor in linear().items()}),
    "with optimiser": lambda: saved(
        {
            "model": linear(),
            "optimizer": {"state": {0: {"exp_avg": torch.ones(2, 3), "exp_avg_sq": torch.ones(2, 3)}}},
            "random": {"torch": torch.zeros(8, dtype=torch.uint8)},
        }
    ),
}


@pytest.mark.parametrize("kind", GOOD)
@pytest.mark.parametrize("name", ["weights.pt", "weights.safetensors", "weights"])
def test_the_same_tensors_come_back_from_every_form_whatever_the_name(kind: str, name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(GOOD[kind]())
    found = read_weights(path)
    assert found.keys() == linear().keys()
    assert all(torch.equal(found[key], tensor) for key, tensor in linear().items())
    assert not any(tensor.requires_grad for tensor in found.values())


@pytest.mark.parametrize(("key", "seed"), [("model", 0), ("ema.shadow", 1), ("old", 2)])
def test_a_key_chooses_among_several_state_dicts(key: str, seed: int, tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(saved({"model": linear(0), "ema": {"shadow": linear(1)}, "old": [linear(2)]}))
    assert torch.equal(read_weights(path, key)["weight"], linear(seed)["weight"])
    with pytest.raises(ModelError, match=r"3 state dicts; choose --state-key: model, ema\.shadow, old\[0\]"):
        read_weights(path)
    with pytest.raises(ModelError, match=r"'best' names no one state dict; choose one of model"):
        read_weights(path, "best")


@pytest.mark.parametrize("wrap", ["zip", "legacy", "raw", "nested"])
def test_a_pickle_with_code_in_it_is_refused_and_not_run(wrap: str, tmp_path: Path) -> None:
    marker, path = tmp_path / "marker", tmp_path / "weights.pt"
    evil = Touch(marker)
    content = {
        "zip": lambda: saved({"state_dict": evil}),
        "legacy": lambda: saved({"state_dict": evil}, zipped=False),
        "raw": lambda: pickle.dumps(evil),
        "nested": lambda: saved({"state_dict": {**linear(), "x": [evil]}}),
    }[wrap]()
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"asks for the Python object (posix|nt)\.system") as caught:
        read_weights(path)
    assert not marker.exists()
    assert "\n" not in str(caught.value)


def deep_list(depth: int) -> bytes:
    """What `torch.save` would write for a list inside a list inside a list: too deep for pickle to write itself."""
    plain = saved([1])
    with zipfile.ZipFile(io.BytesIO(plain)) as archive:
        root = archive.namelist()[0].split("/")[0]
        entries = {name: archive.read(name) for name in archive.namelist()}
    entries[f"{root}/data.pkl"] = b"\x80\x02" + b"]" * depth + b"a" * (depth - 1) + b"."
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def laughs() -> bytes:
    level: list[Any] = []
    for _ in range(8):
        level = [level] * 10
    return saved(level)


BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "whole module": (lambda: saved(nn.Linear(2, 2)), r"asks for the Python object torch\.nn\.modules"),
    "torchscript": (lambda: entry("net/code/__torch__.py"), "TorchScript or exported program"),
    "pt2": (lambda: entry("net/archive_format"), "TorchScript or exported program"),
    "npz": (lambda: entry("x.npy"), "zip file without torch weights"),
    "truncated zip": (lambda: saved(linear())[:-40], "truncated or damaged zip"),
    "truncated legacy": (lambda: saved(linear(), zipped=False)[:-5], "damaged or unsafe torch file"),
    "empty": (lambda: b"", "is empty"),
    "web page": (lambda: b"\n<!DOCTYPE html><html>", "web page"),
    "git lfs": (lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer"),
    "text": (lambda: b"hello, this is nothing", "begins with"),
    "flipped bit": (lambda: flipped(saved({"w": torch.full((100,), 1.0)}), b"\0\0\x80\x3f\0\0\x80\x3f"), "CRC"),
    "compressed": (lambda: rezipped(saved(linear()), compression=zipfile.ZIP_DEFLATED), "compressed entries"),
    "stride 0": (lambda: saved({"w": torch.zeros(1).expand(10**6, 10**6)}), "larger than its storage"),
    "deep": (lambda: deep_list(200_000), "too deep"),
    "laughs": (laughs, "too deep or too large"),
    "no tensors": (lambda: saved({"epoch": 3}), "holds no state dict"),
    "one tensor": (lambda: saved(torch.ones(3)), "holds no state dict"),
    "complex": (lambda: saved({"w": torch.zeros(2, dtype=torch.complex64)}), "is torch.complex64"),
    "sparse": (lambda: saved({"w": torch.eye(3).to_sparse()}), "sparse"),
    "meta": (lambda: saved({"w": torch.empty(3, device="meta")}), "empty of data"),
    "header too long": (lambda: (2**39).to_bytes(8, "little") + b"{}", "damaged safetensors"),
    "no data": (lambda: header(w={"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}), "damaged safetensors"),
    "trailing": (lambda: safetensors.torch.save(linear()) + b"xxxx", "damaged safetensors"),
    "truncated": (lambda: safetensors.torch.save(linear())[:-4], "damaged safetensors"),
    "negative": (lambda: header(w={"dtype": "F32", "shape": [-1], "data_offsets": [0, 0]}), "damaged safetensors"),
    "unknown": (lambda: header(w={"dtype": "F7", "shape": [0], "data_offsets": [0, 0]}), "damaged safetensors"),
}


@pytest.mark.filterwarnings("ignore:.*Sparse:UserWarning")
@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_is_refused_in_one_line_that_names_it(kind: str, tmp_path: Path) -> None:
    make, message = BAD[kind]
    path = tmp_path / "weights.safetensors"
    path.write_bytes(make())
    with pytest.raises(ModelError, match=message) as caught:
        read_weights(path)
    text = str(caught.value)
    assert str(path) in text
    assert "\n" not in text
    assert "\x1b" not in text


def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    link, pipe = tmp_path / "link.pt", tmp_path / "pipe.pt"
    link.symlink_to(tmp_path / "nowhere")
    os.mkfifo(pipe)
    for path, message in [
        (tmp_path, "is a folder"),
        (link, "does not exist"),
        (pipe, "no regular file"),
        (tmp_path / "none.pt", "does not exist"),
    ]:
        with pytest.raises(ModelError, match=message):
            read_weights(path)


def test_another_architecture_names_what_is_missing_and_surplus(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    safetensors.torch.save_file(build_model("resnet32").state_dict(), path)
    network = build_model("resnet20")
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(ModelError, match=r"does not fit ResNet: 72 surplus: layer1\.3\.bn1\.bias, .* and 62 more"):
        load_weights(network, path)
    # 31 convolutions, each with the five tensors of a batch norm, and the two of a linear layer.
    with pytest.raises(ModelError, match=r"does not fit Sequential: 8 missing: 0\.bias, .*; 188 surplus"):
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
def test_weights_that_fit_by_name_only_change_nothing(change: dict[str, Tensor], message: str, tmp_path: Path) -> None:
    network = convnet(1, 28)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    path = tmp_path / "weights.pt"
    path.write_bytes(saved({name: torch.zeros_like(tensor) for name, tensor in before.items()} | change))
    with pytest.raises(ModelError, match=message):
        load_weights(network, path)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_a_network_whose_own_names_begin_like_a_wrapper_gets_its_weights(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    for prefix in ("", "module.", "_orig_mod.module."):
        path.write_bytes(saved({f"{prefix}{name}": tensor for name, tensor in linear().items()}))
        network = nn.DataParallel(nn.Linear(3, 2))
        load_weights(network, path)
        assert torch.equal(network.module.weight, linear()["weight"])
        assert torch.equal(network.module.bias, linear()["bias"])


def test_half_precision_weights_and_absent_counters_load_into_a_wrapped_network(tmp_path: Path) -> None:
    stored = build_model("resnet20", generator(5, "stored")).state_dict()
    path = tmp_path / "weights.pt"
    path.write_bytes(saved({n: t.half() for n, t in stored.items() if not n.endswith("num_batches_tracked")}))
    network = build_model("resnet20")
    assert isinstance(network, Normalised)
    load_weights(network, path)
    assert torch.equal(network.state_dict()["module.conv1.weight"], stored["module.conv1.weight"].half().float())
