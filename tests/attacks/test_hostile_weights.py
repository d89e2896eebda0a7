"""Weights files of strangers: what they may cost, and what a user is told."""
# ruff: noqa: TID251 - these tests write the pickles that must be refused

import io
import json
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import strategies as st

from dimple.networks import build_model, load_weights, read_weights
from tests.attacks.hostile import attempt, changed_bytes, require_answer, try_many

HEADER = b"\x80\x02"


def saved(value: Any, *, zipped: bool = True) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


def state() -> dict[str, torch.Tensor]:
    return {"weight": torch.arange(6.0).reshape(2, 3), "bias": torch.ones(2)}


def zip_file(pickled: bytes, **storages: bytes) -> bytes:
    """Return a torch file with a given pickle."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("net/data.pkl", pickled)
        for key, content in storages.items():
            archive.writestr(f"net/data/{key}", content)
    return buffer.getvalue()


def text(word: str) -> bytes:
    return b"X" + struct.pack("<I", len(word.encode())) + word.encode()


def name(module: str, attribute: str) -> bytes:
    return f"c{module}\n{attribute}\n".encode()


def integer(value: int) -> bytes:
    return b"\x8a" + bytes([12]) + value.to_bytes(12, "little", signed=True)


def tensor(shape: tuple[int, ...], stride: tuple[int, ...], *, offset: int = 0, count: int = 4) -> bytes:
    """Return the opcodes of a tensor of floats in the storage `0`."""
    storage = b"(" + text("storage") + name("torch", "FloatStorage") + text("0") + text("cpu") + integer(count) + b"tQ"
    numbers = b"".join(b"(" + b"".join(map(integer, values)) + b"t" for values in (shape, stride))
    rebuild = name("torch._utils", "_rebuild_tensor_v2")
    return rebuild + b"(" + storage + integer(offset) + numbers + b"\x89}tR"


def dictionary(*items: tuple[str, bytes]) -> bytes:
    return HEADER + b"}(" + b"".join(text(key) + value for key, value in items) + b"u."


def one_tensor(shape: tuple[int, ...], stride: tuple[int, ...], **values: int) -> bytes:
    return zip_file(dictionary(("w", tensor(shape, stride, **values))), **{"0": bytes(16)})


def many_encodings() -> bytes:
    # A text of 64 kB that each of 100,000 calls would copy.
    start = HEADER + text("a" * 65_536) + b"q\x000" + name("_codecs", "encode") + b"q\x010]("
    return zip_file(start + (b"h\x01h\x00" + text("latin1") + b"\x86R") * 100_000 + b"e.")


def doubled_lists() -> bytes:
    # Each list holds the one before it a hundred times; written out, they hold 10^80 entries.
    pickled = b"]q\x00"
    for _ in range(40):
        pickled += b"0]q\x01(" + b"h\x00" * 100 + b"eq\x00"
    return zip_file(HEADER + pickled + b".")


def slow_key() -> bytes:
    # The hash of a tuple in a tuple of itself, forty times, takes 2^40 steps.
    pickled = b"K\x01" + b"q\x00" + b"0h\x00h\x00\x86q\x00" * 40
    return zip_file(HEADER + b"}" + pickled + b"K\x01s.")


def colliding_keys() -> bytes:
    modulus = 2**61 - 1
    items = b"".join(integer(number * modulus) + b"K\x01" for number in range(50_000))
    return zip_file(HEADER + b"}(" + items + b"u.")


def shared_copies(count: int) -> bytes:
    # Transposed views of one storage of 1 MB: each would become a copy.
    base = torch.zeros(512, 512)
    return saved({f"w{number}": base.T for number in range(count)})


def two_directories() -> bytes:
    first = saved(state())
    return first + saved({"weight": torch.zeros(2, 3), "bias": torch.zeros(2)})


def hidden_entry() -> bytes:
    """Return a zip whose last directory names other entries than one that lies before it."""
    first = saved(state())
    second = io.BytesIO(first)
    with zipfile.ZipFile(second, "a") as archive:
        archive.writestr("other/data.pkl", b"x")
    return second.getvalue()[:-22] + first[-22:]


def safetensors_file(header: bytes, content: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header)) + header + content


def many_names(count: int) -> bytes:
    entries = {f"w{n}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for n in range(count)}
    return safetensors_file(json.dumps(entries).encode())


def many_entries(count: int) -> bytes:
    buffer = io.BytesIO(zip_file(dictionary(("w", tensor((2,), (1,)))), **{"0": bytes(16)}))
    with zipfile.ZipFile(buffer, "a") as archive:
        for number in range(count):
            archive.writestr(f"net/data/x{number}", b"")
    return buffer.getvalue()


def many_tensors(count: int) -> bytes:
    return saved({f"a.b.c{number}": torch.ones(1) for number in range(count)})


def nested() -> bytes:
    with pytest.warns(UserWarning, match="nested"):
        return saved({"w": torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])})


GIGABYTES = integer(2 * 10**9)
# Each file, and a part of the sentence that a user sees; empty where the file is sound.
ATTACKS: dict[str, tuple[Callable[[], bytes], str]] = {
    "bytearray of 2 GB": (lambda: zip_file(HEADER + name("builtins", "bytearray") + GIGABYTES + b"\x85R."), "no state"),
    "bytes repeated": (many_encodings, "no state dict"),
    "lists in lists": (doubled_lists, "nested too deep"),
    "a key that is slow to hash": (slow_key, "no state dict"),
    "keys that collide": (colliding_keys, "no state dict"),
    "memo of 2^31": (lambda: zip_file(HEADER + b"]r\xff\xff\xff\x7f."), "no state dict"),
    "two archives in one": (two_directories, "overlap, or bytes between"),
    "a hidden directory": (hidden_entry, "zip file|overlap, or bytes"),
    "200,000 tensors": (
        lambda: saved(dict.fromkeys((f"w{n}" for n in range(200_000)), torch.ones(1))),
        "at most 20000",
    ),
    "20,000 tensors": (lambda: many_tensors(20_000), ""),
    "200,000 names": (lambda: many_names(200_000), "has a header of"),
    "30,000 names": (lambda: many_names(30_000), "at most 20000"),
    "200,000 entries of a zip": (lambda: many_entries(200_000), "its directory has"),
    "nested tensor": (nested, "sparse, nested, quantized"),
    "float64 that is inf in float32": (lambda: saved({"w": torch.full((2,), 1e300, dtype=torch.float64)}), ""),
    "tuples 200,000 deep": (lambda: zip_file(HEADER + b")" + b"\x85" * 200_000 + b"."), "nested too deep"),
    "dicts 200,000 deep": (
        lambda: zip_file(HEADER + b"}" + b"X\x01\x00\x00\x00a}" * 200_000 + b"s" * 200_000 + b"."),
        "nested too deep",
    ),
    "a name of 100,000 dots": (lambda: saved({"a." * 100_000 + "w": torch.ones(2)}), "names of more than"),
    "views that would be copied": (lambda: shared_copies(5000), "bytes together, and the file"),
    "stride of zero": (lambda: one_tensor((10**6, 10**6), (0, 0)), "larger than its storage"),
    "negative stride": (lambda: one_tensor((2, 2), (-2, -1), offset=3), "larger than its storage"),
    "negative offset": (lambda: one_tensor((2,), (1,), offset=-1), "larger than its storage"),
    "negative side": (lambda: one_tensor((-2, -2), (1, 1)), "larger than its storage"),
    "sides that overflow": (lambda: one_tensor((2**62, 2**62), (1, 1)), "larger than its storage"),
    "sides that overflow beside 0": (lambda: one_tensor((0, 2**62, 2**62), (1, 1, 1)), "damaged or unsafe"),
    "a storage that claims more": (lambda: one_tensor((2**40,), (1,), count=2**40), "cut short|together"),
    "a storage that is not there": (lambda: zip_file(dictionary(("w", tensor((2,), (1,))))), "'0' is missing"),
    "text of 2^62": (lambda: zip_file(HEADER + b"\x8d" + struct.pack("<Q", 2**62) + b"a."), "damaged or unsafe"),
    "bytes of 2^62": (lambda: zip_file(HEADER + b"\x8e" + struct.pack("<Q", 2**62) + b"a."), "damaged or unsafe"),
    "bytearray of 2^62": (lambda: zip_file(HEADER + b"\x96" + struct.pack("<Q", 2**62) + b"a."), "damaged or unsafe"),
    "frame of 2^62": (lambda: zip_file(b"\x80\x04\x95" + struct.pack("<Q", 2**62) + b"N."), "no state dict"),
    "number of 100,000 digits": (lambda: zip_file(HEADER + b"I" + b"9" * 100_000 + b"\n."), "damaged or unsafe"),
    "number of a million bytes": (
        lambda: zip_file(HEADER + b"\x8b" + struct.pack("<i", 10**6) + b"9" * 10**6 + b"."),
        "",
    ),
    "opcode that imports by number": (lambda: zip_file(HEADER + b"\x82\x01."), "opcode EXT1"),
    "opcode that makes objects": (lambda: zip_file(HEADER + b"(i" + b"os\nsystem\n."), "opcode INST|os.system"),
    "attributes of constructors": (
        lambda: zip_file(HEADER + name("torch._utils", "_rebuild_tensor_v2") + b"}" + text("x") + b"K\x01sb."),
        "no state dict",
    ),
    "getattr": (
        lambda: zip_file(HEADER + name("builtins", "getattr") + name("os", "system") + text("x") + b"\x86R."),
        "imports the Python object",
    ),
    "eval": (lambda: zip_file(HEADER + name("builtins", "eval") + text("1") + b"\x85R."), "imports the Python object"),
    "a name with escapes": (lambda: zip_file(HEADER + name("os\x1b[31m", "system\x07") + b"."), "imports the Python"),
    "a name that is no text": (lambda: zip_file(b"\x80\x04K\x01K\x02\x93."), "damaged or unsafe"),
    "storage of unknown kind": (lambda: zip_file(HEADER + b"K\x01Q."), "damaged or unsafe"),
    "an endless pickle": (lambda: zip_file(HEADER + b"]" + b"N0" * 3_000_000), "entries"),
    "header of 20 MB": (lambda: safetensors_file(b"{" + b" " * 20_000_000 + b"}"), "has a header of"),
    "header of 2^63": (lambda: struct.pack("<Q", 2**63) + b"{}", "begins with|damaged"),
    "header 100,000 deep": (lambda: safetensors_file(b'{"w":' + b"[" * 100_000), "damaged safetensors"),
    "a name twice": (
        lambda: safetensors_file(b'{"w":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},' * 2 + b'"x":1}'),
        "damaged safetensors",
    ),
}


@pytest.mark.parametrize("kind", ATTACKS)
def test_weights_of_strangers_are_answered_in_bounded_memory_and_time(kind: str, tmp_path: Path) -> None:
    make, message = ATTACKS[kind]
    path = tmp_path / "weights.pt"
    path.write_bytes(make())
    found = attempt(read_weights, path)
    found.require_bounded()
    if message:
        assert any(part in found.answer for part in message.split("|")), found


def test_a_number_that_the_network_cannot_hold_is_refused(tmp_path: Path) -> None:
    network = build_model("mnist_convnet")
    weights = {name: value.double() for name, value in network.state_dict().items()}
    weights["7.bias"][3] = 1e300
    path = tmp_path / "weights.pt"
    path.write_bytes(saved(weights))
    answer = attempt(load_weights, network, path).answer
    assert "7.bias holds 1e+300, more than torch.float32 can" in answer


def seeds() -> dict[str, bytes]:
    """Return sound files, of which the pickle of the first is changed within its archive."""
    with zipfile.ZipFile(io.BytesIO(saved({"model": state(), "epoch": 3, "lr": 0.1}))) as archive:
        pickled = archive.read(next(entry for entry in archive.namelist() if entry.endswith("data.pkl")))
    return {
        "pickle": pickled,
        "zip": saved(state()),
        "legacy": saved({"model": state(), "epoch": 3}, zipped=False),
        "plain pickle": pickle.dumps({"weight": [1.0, 2.0]}),
        "safetensors": safetensors.torch.save(state()),
    }


def try_changed(kind: str, count: int, path: Path) -> None:
    def check(content: bytes) -> None:
        path.write_bytes(zip_file(content, **{"0": bytes(24), "1": bytes(8)}) if kind == "pickle" else content)
        require_answer(read_weights, path)

    try_many(check, changed_bytes(seeds()[kind]) if kind != "anything" else st.binary(), count)


@pytest.mark.parametrize("kind", seeds())
def test_changed_weights_are_read_or_refused_in_a_sentence(kind: str, tmp_path: Path) -> None:
    try_changed(kind, 60, tmp_path / "weights.pt")


@pytest.mark.slow
@pytest.mark.parametrize("kind", seeds())
def test_thousands_of_changed_weights_are_read_or_refused_in_a_sentence(kind: str, tmp_path: Path) -> None:
    try_changed(kind, 2000, tmp_path / "weights.pt")
