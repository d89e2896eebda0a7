"""Networks of the user on the command line: prints, errors in their code, and paths as people write them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.test_app import run

NETWORKS = """
import ctypes
import os
import subprocess

import torch
from torch import nn

class Base(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

class Prints(Base):
    def forward(self, x):
        print("batch", tuple(x.shape))
        return self.layer(x)

class WritesNatively(Base):
    ctypes.CDLL(None).printf(b"printed while imported\\n")

    def forward(self, x):
        os.write(1, b"written to the descriptor\\n")
        subprocess.run(["echo", "printed by a child"], check=True)
        return self.layer(x)

class Fails(Base):
    def forward(self, x):
        raise AssertionError("wrong\\nshape")

class FailsLater(Base):
    def forward(self, x):
        if len(x) > 8:
            raise LookupError("large batch")
        return self.layer(x)

class Exits(Base):
    def forward(self, x):
        raise SystemExit(0)

def scripted():
    return torch.jit.script(Base().layer)

def compiled():
    return torch.compile(Base().layer)

class CompiledForward(Base):
    @torch.compile
    def forward(self, x):
        return self.layer(x)
"""
LINES = {name: number for number, line in enumerate(NETWORKS.splitlines(), 1) for name in [line.strip()]}
# torch.compile imports code that warns of its own age.
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
PROBE = (
    "probe",
    "--probe",
    "margin",
    "--samples",
    "12",
    "--null-draws",
    "1",
    "--device",
    "cpu",
    "--weights",
    "none",
    "--out",
    "run",
)


@pytest.fixture(autouse=True)
def networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dimple_cli_networks.py").write_text(NETWORKS)
    monkeypatch.chdir(tmp_path)


def test_what_a_network_prints_goes_to_stderr(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (
        PROBE,
        ("slice", "--images", "0", "--resolution", "8", "--null-draws", "1", "--weights", "none", "--out", "slice"),
    ):
        model = ("--model", "dimple_cli_networks:Prints", "--json")
        code, stdout, stderr = run(monkeypatch, capsys, *words, *model)
        assert (code, stdout.count("\n")) == (0, 1)
        assert json.loads(stdout)["run"] in ("run", "slice")
        assert "batch (1, 1, 8, 8)" in stderr


@pytest.mark.skipif(sys.platform == "win32", reason="the network calls the library of C by ctypes.CDLL(None)")
def test_what_native_code_writes_goes_to_stderr(tmp_path: Path) -> None:
    words = (*PROBE, "--model", "dimple_cli_networks:WritesNatively", "--json")
    command = [sys.executable, "-m", "dimple", *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.count("\n") == 1 and json.loads(done.stdout)["run"] == "run"
    for line in ("printed while imported", "written to the descriptor", "printed by a child"):
        assert line in done.stderr


@pytest.mark.parametrize(
    ("name", "error", "line"),
    [
        ("Fails", "AssertionError: wrong", 'raise AssertionError("wrong\\nshape")'),
        ("FailsLater", "LookupError: large batch", 'raise LookupError("large batch")'),
    ],
)
def test_an_error_in_a_network_names_its_file_and_line(
    name: str, error: str, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, stdout, stderr = run(monkeypatch, capsys, *PROBE, "--model", f"dimple_cli_networks:{name}")
    assert (code, stdout, stderr.count("\n")) == (4, "", 1)
    assert f"{error} (" in stderr and f"dimple_cli_networks.py, line {LINES[line]})" in stderr


def test_a_network_that_ends_the_program_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, stderr = run(monkeypatch, capsys, *PROBE, "--model", "dimple_cli_networks:Exits")
    assert (code, stderr) == (4, "dimple: the model ends the program, with exit code 0; let it raise an error\n")


# The compiler of torch warns when it is imported.
@pytest.mark.filterwarnings("ignore")
def test_a_compiled_network_is_measured(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("compiled", "CompiledForward"):
        words = (*PROBE, "--probe", "curvature", "--force", "--model", f"dimple_cli_networks:{name}", "--json")
        code, _, stderr = run(monkeypatch, capsys, *words)
        assert (code, stderr) == (0, "")
    code, _, stderr = run(monkeypatch, capsys, *PROBE, "--force", "--model", "dimple_cli_networks:scripted")
    assert code == 4 and "is a TorchScript program; give the nn.Module that it was made of" in stderr


def test_a_quoted_tilde_is_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    words = ("scenes", "new", "~/mine.yaml")
    assert run(monkeypatch, capsys, *words)[0] == 0
    assert (tmp_path / "home" / "mine.yaml").is_file()
    for word in ("~/none.pt", "~nobody-at-all/none.pt"):
        _, _, stderr = run(monkeypatch, capsys, *PROBE, f"--weights={word}")
        assert stderr.startswith(f"dimple: {Path(word).expanduser() if word[1] == '/' else word}: does not exist")
    assert not Path("~").exists()


@pytest.mark.parametrize(
    "words",
    [
        ("simulate", "NAME"),
        ("simulate", "line_in_2d", "--out", "NAME"),
        ("probe", "--out", "NAME"),
        ("probe", "--run", "NAME"),
        ("probe", "--weights", "NAME"),
        ("probe", "--data", "npz:NAME"),
        ("probe", "--checkpoints", "NAME"),
        ("slice", "--images", "0", "--out", "NAME"),
        ("view", "NAME"),
        ("export", "NAME"),
        ("report", "NAME"),
        ("pack", "NAME"),
        ("completeness", "NAME"),
        ("scenes", "tangents", "line_in_2d", "--out", "NAME.png"),
    ],
)
def test_a_name_that_is_too_long_is_refused_in_one_line(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    long = [word.replace("NAME", "x" * 300) for word in words]
    code, stdout, stderr = run(monkeypatch, capsys, *long)
    assert code in (3, 4, 5) and stdout == "" and stderr.count("\n") == 1
