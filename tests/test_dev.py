"""The setup script: the choice of torch, the conditions for an installation, and releases. Nothing is installed."""

import os
import re
import sys
from pathlib import Path

import pytest

import dev


@pytest.fixture
def install_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """The installations that a setup in an empty folder requests, which are recorded and not executed."""
    calls: list[tuple[str, ...]] = []
    venv = tmp_path / ".venv"

    def record(*arguments: str) -> None:
        calls.append(arguments)

    def make_environment() -> None:
        venv.mkdir(exist_ok=True)

    monkeypatch.delenv("DIMPLE_TORCH", raising=False)
    monkeypatch.setattr(dev, "VENV", venv)
    monkeypatch.setattr(dev, "STAMP", venv / "dimple-setup.json")
    monkeypatch.setattr(dev, "PYTHON", Path(sys.executable))
    monkeypatch.setattr(dev, "install", record)
    monkeypatch.setattr(dev, "make_environment", make_environment)
    monkeypatch.setattr(dev, "installed_torch", lambda: "")
    monkeypatch.setattr(dev, "has_gpu", lambda: False)
    monkeypatch.setattr(dev, "starts", lambda: "")
    monkeypatch.setattr(sys, "platform", "linux")
    return calls


def test_without_a_gpu_the_cpu_build_of_torch_is_requested(install_calls: list[tuple[str, ...]]) -> None:
    dev.set_up([])
    assert install_calls[0] == ("--no-deps", f"torch=={dev.pinned('torch')}+cpu")


def test_with_a_gpu_the_default_build_of_torch_is_requested(
    install_calls: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dev, "has_gpu", lambda: True)
    dev.set_up([])
    assert install_calls[0] == ("--no-deps", f"torch=={dev.pinned('torch')}")


def test_the_environment_variable_decides(
    install_calls: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIMPLE_TORCH", "torch==2.12.0 --index-url https://example.org/simple")
    dev.set_up([])
    assert install_calls[0] == ("--no-deps", "torch==2.12.0", "--index-url", "https://example.org/simple")


def test_the_index_of_pytorch_is_used_for_torch_only(
    install_calls: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def out_of_reach(*arguments: str) -> str | None:
        install_calls.append(arguments)
        return None if "--index-url" in arguments or "--no-deps" not in arguments else "no such version"

    monkeypatch.setattr(dev, "install", out_of_reach)
    dev.set_up(["test"])
    assert [dev.CPU_INDEX in call for call in install_calls] == [False, True, False, False]


def test_uv_uses_the_package_indexes_of_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
    flags = dict(zip(options[1::2], options[::2], strict=True))
    assert flags["https://a.example/simple"] == "--index-url" and flags["/wheels"] == "--find-links"
    assert flags["https://b.example"] == flags["https://c.example"] == "--extra-index-url"
    assert "https://a.example/simple" not in dev.sources(("--index-url", "https://d.example"))


@pytest.mark.parametrize("broken", [(), ("uv",), ("uv", "pip")])
def test_pip_installs_if_uv_fails(broken: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_an_installed_extra_is_not_installed_again(install_calls: list[tuple[str, ...]]) -> None:
    dev.set_up(["test"])
    first = len(install_calls)
    dev.set_up([])
    dev.set_up(["test"])
    assert len(install_calls) == first
    dev.set_up(["dev"])
    assert install_calls[-1][-1] == ".[dev,test]"


def test_a_failed_setup_is_repeated(install_calls: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(dev, "starts", lambda: "ImportError")
        with pytest.raises(dev.SetupError, match="does not start"):
            dev.set_up([])
    before = len(install_calls)
    dev.set_up([])
    assert len(install_calls) > before


def test_every_install_goes_through_the_pins(
    install_calls: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    dev.set_up(["test"])
    assert all("--constraint" in call for call in install_calls[1:])
    pins = (dev.VENV / "constraints.txt").read_text()
    assert f"\nnumpy=={dev.pinned('numpy')}\n" in pins


def test_an_unknown_extra_is_refused(install_calls: list[tuple[str, ...]]) -> None:
    with pytest.raises(dev.SetupError, match="napari"):
        dev.set_up(["naprai"])
    assert install_calls == []


def test_the_documentation_is_built_into_the_package_with_warnings_as_errors(
    install_calls: list[tuple[str, ...]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[list[str]] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(dev.subprocess, "call", lambda command: commands.append(command) or 1)
    assert dev.docs([]) == 1
    assert install_calls[-1][-1] == ".[docs]"
    ((_, *options),) = commands
    assert options[:3] == ["-m", "sphinx", "-W"] and options[-2:] == ["docs", "build/docs/site"]


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that a release changes."""
    unreleased = "## [Unreleased]\n\n- A new probe.\n\n"
    (tmp_path / "CHANGELOG.md").write_text(f"# Changes\n\n{unreleased}## [0.1.0] - 2026-01-01\n\n- Old.\n")
    (tmp_path / "CITATION.cff").write_text("version: 0.1.0\ndate-released: 2026-01-01\ntitle: version\n")
    (tmp_path / "__init__.py").write_text('__version__ = "0.1.0"\n')
    monkeypatch.setattr(dev, "ROOT", tmp_path)
    for name, file in (("CHANGES", "CHANGELOG.md"), ("CITATION", "CITATION.cff"), ("VERSION_FILE", "__init__.py")):
        monkeypatch.setattr(dev, name, tmp_path / file)
    return tmp_path


def test_a_release_changes_all_files(checkout: Path) -> None:
    assert dev.release(["0.2.0"]) == 0
    assert (checkout / "__init__.py").read_text() == '__version__ = "0.2.0"\n'
    assert re.fullmatch(
        r"version: 0\.2\.0\ndate-released: \d{4}-\d\d-\d\d\ntitle: version\n", (checkout / "CITATION.cff").read_text()
    )
    changes = (checkout / "CHANGELOG.md").read_text()
    assert re.search(r"## \[Unreleased\]\n\n## \[0\.2\.0\] - \d{4}-\d\d-\d\d\n\n- A new probe\.", changes)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [([], "one version"), (["1"], "one version"), (["0.1.0"], "give a later one"), (["0.0.9"], "give a later one")],
)
def test_a_release_needs_a_later_version(checkout: Path, words: list[str], complaint: str) -> None:
    with pytest.raises(dev.SetupError, match=complaint):
        dev.release(words)
    assert (checkout / "__init__.py").read_text() == '__version__ = "0.1.0"\n'


def test_a_release_needs_a_change(checkout: Path) -> None:
    dev.release(["0.2.0"])
    with pytest.raises(dev.SetupError, match=r"nothing below \[Unreleased\]"):
        dev.release(["0.3.0"])
    assert "0.3.0" not in (checkout / "__init__.py").read_text()


def test_version_citation_and_change_log_agree() -> None:
    version = re.search(r'^__version__ = "(.*)"$', dev.VERSION_FILE.read_text(), re.MULTILINE)
    assert version is not None
    assert f"\nversion: {version[1]}\n" in dev.CITATION.read_text()
    assert f"\n## [{version[1]}] - " in dev.CHANGES.read_text()
