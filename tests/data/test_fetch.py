"""Published files from a server on this machine, their checksums, and a network that is not there."""

import functools
import gzip
import hashlib
import http.server
import shutil
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from dimple.data import load_images
from dimple.data.fetch import PUBLISHED, Published, PublishedFile, fetch
from dimple.errors import DataError, MissingDataError, UsageError
from dimple.locations import fetched_weights, has_own_weights
from dimple.names import FETCHED_DATASETS, FETCHED_MODELS, MODELS
from dimple.networks import build_model, load_model
from tests.cli.test_app import run
from tests.data.image_files import cifar, packed, record_members


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("DIMPLE_DATA", raising=False)
    (tmp_path / "served").mkdir()
    serve = functools.partial(Handler, directory=str(tmp_path / "served"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve) as local:
        threading.Thread(target=local.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{local.server_port}"
        local.shutdown()


def publish(monkeypatch: pytest.MonkeyPatch, name: str, address: str, files: dict[str, Path]) -> None:
    """Let the files of a name come from another address, with their own checksums."""
    known = {file.target: file for file in PUBLISHED[name].files}
    assert known.keys() == files.keys()
    moved = tuple(
        PublishedFile(f"{address}/{path.name}", target, f"md5:{hashlib.md5(path.read_bytes()).hexdigest()}")
        for target, path in files.items()
    )
    monkeypatch.setitem(PUBLISHED, name, Published("a copy", moved))


def test_mnist_needs_no_path_once_it_is_fetched(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.arange(2 * 9, dtype=np.uint8).reshape(2, 3, 3) * 10
    files = {}
    for prefix in ("train", "t10k"):
        for kind, content in [
            ("images-idx3", struct.pack(">4I", 0x803, 2, 3, 3) + pixels.tobytes()),
            ("labels-idx1", struct.pack(">2I", 0x801, 2) + bytes([7, 0])),
        ]:
            path = tmp_path / "served" / f"{prefix}-{kind}-ubyte.gz"
            path.write_bytes(gzip.compress(content))
            files[f"mnist/{path.name}"] = path
    publish(monkeypatch, "mnist", server, files)
    with pytest.raises(MissingDataError, match="or get it by dimple fetch mnist"):
        load_images("mnist", "test")
    paths = fetch("mnist")
    assert all(path.is_file() for path in paths) and len(paths) == 4
    assert torch.equal(load_images("mnist", "test").pixels[:, 0], torch.from_numpy(pixels))
    # A second call asks nobody.
    shutil.rmtree(tmp_path / "served")
    assert fetch("mnist") == paths


def test_cifar_and_weights_are_found_by_name(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = packed(
        tmp_path / "served" / "cifar-10-binary.tar.gz", record_members({"train": cifar(20, 0), "test": cifar(9, 1)})
    )
    publish(monkeypatch, "cifar10", server, {"cifar10/cifar-10-binary.tar.gz": archive})
    fetch("cifar10")
    assert len(load_images("cifar10", "test")) == 9
    weights = tmp_path / "served" / "resnet20-0123abcd.th"
    network = build_model("resnet20", torch.Generator().manual_seed(3))
    torch.save({"state_dict": {f"module.{k}": v for k, v in network.module.state_dict().items()}}, weights)  # noqa: TID251
    publish(monkeypatch, "resnet20", server, {"networks/resnet20.th": weights})
    assert not has_own_weights("resnet20")
    assert fetch("resnet20") == [fetched_weights("resnet20")]
    x = torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(load_model("resnet20")(x), network.eval()(x))


def test_another_content_and_a_silent_server_leave_nothing(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "served" / "x").write_bytes(b"other")
    wrong = PublishedFile(f"{server}/x", "mnist/x", "sha256:00112233")
    monkeypatch.setitem(PUBLISHED, "mnist", Published("a copy", (wrong,)))
    with pytest.raises(
        DataError, match=r"another content than the one that is known \(sha256:00112233\); get .* and put it at"
    ):
        fetch("mnist")
    gone = PublishedFile("http://127.0.0.1:9/x", "mnist/x", "sha256:00112233")
    monkeypatch.setitem(PUBLISHED, "mnist", Published("a copy", (gone,)))
    with pytest.raises(DataError, match=r"cannot be reached \(ConnectionError\); connect to the network, or get"):
        fetch("mnist")
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []


def test_the_command_lists_and_refuses(
    server: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    del server
    code, stdout, _ = run(monkeypatch, capsys, "fetch")
    assert code == 0 and "not tried" in stdout and all(name in stdout for name in PUBLISHED)
    code, stdout, stderr = run(monkeypatch, capsys, "fetch", "cifar", "minst")
    assert (code, stdout) == (2, "")
    assert "did you mean 'cifar10'?" in stderr and "did you mean 'mnist'?" in stderr


def test_the_names_that_are_known_without_torch_are_those_of_the_table() -> None:
    assert set(PUBLISHED) == {*FETCHED_DATASETS, *FETCHED_MODELS}
    assert set(FETCHED_MODELS) <= MODELS.keys()
    with pytest.raises(UsageError, match="choose from cifar10"):
        fetch("x")


def test_known_checksums_are_those_of_the_files(shared_data: Path) -> None:
    for name in ("resnet20", "resnet32"):
        file = PUBLISHED[name].files[0]
        content = (shared_data / "checkpoints" / file.address.rpartition("/")[2]).read_bytes()
        assert file.checksum == f"sha256:{hashlib.sha256(content).hexdigest()}"
        # The beginning of the checksum in a file name, which the other networks have alone.
        assert file.address.endswith(f"-{file.checksum[7:15]}.th")
