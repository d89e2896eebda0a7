"""The setup script: which torch it asks for, and what makes it install again. Nothing is installed here."""

import os
import sys
from pathlib import Path

import pytest

import dev


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """Every install that a setup in an empty folder makes, none of which is carried out."""
    calls: list[tuple[str, ...]] = []
    venv = tmp_path / ".venv"

    def record(*arguments: str) -> None:
        calls.append(arguments)

    def make() -> None:
        venv.mkdir(exist_ok=True)

    monkeypatch.delenv("DIMPLE_TORCH", raising=False)
    monkeypatch.setattr(dev, "VENV", venv)
    monkeypatch.setattr(dev, "STAMP", venv / "dimple-setup.json")
    monkeypatch.setattr(dev, "PYTHON", Path(sys.executable))
    monkeypatch.setattr(dev, "install", record)
    monkeypatch.setattr(dev, "make_environment", make)
    monkeypatch.setattr(dev, "installed_torch", lambda: "")
    monkeypatch.setattr(dev, "has_gpu", lambda: False)
    monkeypatch.setattr(dev, "starts", lambda: "")
    monkeypatch.setattr(sys, "platform", "linux")
    return calls


def test_without_a_gpu_torch_is_a_name_that_no_cuda_build_has(asked: list[tuple[str, ...]]) -> None:
    dev.set_up([])
    assert asked[0] == ("--no-deps", f"torch=={dev.pinned('torch')}+cpu")


def test_with_a_gpu_torch_is_the_plain_name(asked: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dev, "has_gpu", lambda: True)
    dev.set_up([])
    assert asked[0] == ("--no-deps", f"torch=={dev.pinned('torch')}")


def test_the_environment_variable_decides(asked: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIMPLE_TORCH", "torch==2.12.0 --index-url https://example.org/simple")
    dev.set_up([])
    assert asked[0] == ("--no-deps", "torch==2.12.0", "--index-url", "https://example.org/simple")


def test_pytorchs_own_index_serves_torch_alone(asked: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch) -> None:
    def out_of_reach(*arguments: str) -> str | None:
        asked.append(arguments)
        return None if "--index-url" in arguments or "--no-deps" not in arguments else "no such version"

    monkeypatch.setattr(dev, "install", out_of_reach)
    dev.set_up(["test"])
    assert [dev.CPU_INDEX in call for call in asked] == [False, True, False, False]


def test_uv_looks_where_pip_has_been_told_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = tmp_path / "pip.conf"
    settings.write_text(
        "[global]\nindex-url = https://a.example/simple\nextra-index-url = https://b.example https://c.example\n"
    )
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(settings))
    monkeypatch.setenv("PIP_FIND_LINKS", "/wheels")
    monkeypatch.setattr(dev, "PYTHON", Path(sys.executable))
    options = dev.sources(())
    places = dict(zip(options[1::2], options[::2], strict=True))
    assert places["https://a.example/simple"] == "--index-url" and places["/wheels"] == "--find-links"
    assert places["https://b.example"] == places["https://c.example"] == "--extra-index-url"
    assert "https://a.example/simple" not in dev.sources(("--index-url", "https://d.example"))


@pytest.mark.parametrize("broken", [(), ("uv",), ("uv", "pip")])
def test_where_uv_cannot_pip_installs(broken: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []

    def run(command: list[str]) -> str | None:
        tool = "uv" if command[0] == str(tmp_path / "uv") else "pip"
        ran.append(tool)
        return "no such version" if tool in broken else None

    (tmp_path / "uv").touch()
    monkeypatch.setattr(dev, "sources", lambda _: [])
    monkeypatch.setattr(dev, "program", lambda name: tmp_path / name)
    monkeypatch.setattr(dev, "run", run)
    assert dev.install("torch") == ("no such version" if "pip" in broken else None)
    assert ran == ["uv", "pip"][: 1 + bool(broken)]


def test_what_is_there_is_not_installed_again(asked: list[tuple[str, ...]]) -> None:
    dev.set_up(["test"])
    first = len(asked)
    dev.set_up([])
    dev.set_up(["test"])
    assert len(asked) == first
    dev.set_up(["dev"])
    assert asked[-1][-1] == ".[dev,test]"


def test_a_failed_setup_is_repeated(asked: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(dev, "starts", lambda: "ImportError")
        with pytest.raises(dev.SetupError, match="does not start"):
            dev.set_up([])
    before = len(asked)
    dev.set_up([])
    assert len(asked) > before


def test_every_install_goes_through_the_pins(asked: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch) -> None:
    dev.set_up(["test"])
    assert all("--constraint" in call for call in asked[1:])
    pins = (dev.VENV / "constraints.txt").read_text()
    assert f"\nnumpy=={dev.pinned('numpy')}\n" in pins


def test_an_unknown_extra_is_refused(asked: list[tuple[str, ...]]) -> None:
    with pytest.raises(dev.SetupError, match="napari"):
        dev.set_up(["naprai"])
    assert asked == []
