"""Mistakes are answered before torch is loaded and before data are read, all mistakes of a call at once."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
# A package that stands for torch, and fails when it is loaded.
BLOCKED = "raise ImportError('torch was loaded')\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "blocked").mkdir()
    (tmp_path / "blocked" / "torch.py").write_text(BLOCKED)
    (tmp_path / "finished").mkdir()
    (tmp_path / "finished" / "run.json").write_text(json.dumps({"format": 2, "status": "complete"}))
    (tmp_path / "a_file").write_text("")
    (tmp_path / "weights.pt").write_text("")
    (tmp_path / "bad.yaml").write_text("manifold: {kind: sphere, raduis: 1}\ntraining:\n  stepz: 3\n")
    return tmp_path


def refuse(folder: Path, *words: str) -> tuple[int, list[str]]:
    """Return the exit code and the lines of a command that must not load torch."""
    path = f"{folder / 'blocked'}:{CHECKOUT}"
    command = [sys.executable, "-m", "dimple", *words]
    answer = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=folder, env={"PYTHONPATH": path, "HOME": str(folder)}
    )
    assert answer.stdout == ""
    return answer.returncode, answer.stderr.splitlines()


PROBE = ("probe", "--model", "resnet20")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["simulate", "sphere_in_4d"], 3, "did you mean 'sphere_in_3d'?"),
        (["simulate", "sphere_in_3d", "--set", "training.stepz=3"], 3, "unknown key training.stepz; did you mean"),
        (["train", "sphere_in_3d", "--device", "gpu"], 7, "device 'gpu' is unknown; choose auto, cpu"),
        (["probe", "--norm", "l3"], 2, "--norm is 'l3'; it must be 'l0', 'l1', 'l2' or 'linf'"),
        (["probe", "--probe", "margn"], 2, "--probe is margn; did you mean 'margin'? (choose from"),
        (["probe", "--data", "digts"], 2, "data 'digts' names no data set; did you mean 'digits'?"),
        (["probe", "--model", "resnet21"], 2, "(choose cifar_convnet, digits_convnet"),
        (["probe", "--model", "resnet20", "--weights", "none"], 4, "resnet20 takes 3 x 32 x 32 images, digits has 1"),
        (["probe", "--model", "mine:net"], 2, "No module named 'mine'; install it, or run in the folder"),
        (["probe", "--data", "npz:a_file"], 2, "has no weights of its own; name a file with --weights"),
        ([*PROBE, "--data", "npz:a_file", "--weights", "w.pt"], 4, "w.pt: does not exist; name a readable weights"),
        ([*PROBE, "--data", "npz:a_file", "no*.pt"], 4, "no file matches the pattern 'no*.pt'"),
        (["probe", "--out", "finished"], 5, "finished: already holds a finished run; choose another --out, such as"),
        (["probe", "--engine", "dask"], 2, "--engine is dask; choose from local, ray"),
        (["probe", "--jobs", "0"], 2, "--jobs is 0; give at least 1"),
        (["probe", "--address", "auto"], 2, "--address names a Ray cluster; add --engine ray, or leave it out"),
        (["probe", "--shard", "0/2"], 2, "--shard needs --out, the folder of all parts"),
        (["probe", "--shard", "2/2", "--out", "new"], 2, "--shard is '2/2'; write I/N with I from 0 to N-1"),
        (["probe", "--shard", "0/2", "--out", "new", "--force"], 2, "--force would remove what other parts have"),
        (["gather", "nowhere"], 5, "nowhere: no such run folder"),
        (["status", "nowhere"], 5, "nowhere: no such run folder"),
        (["slice", "--out", "a_file"], 5, "a_file: is a file, but a run is a folder; choose another --out"),
        (["simulate", "sphere_in_3d", "--out", "a_file"], 5, "a_file: is a file, but a run is a folder"),
        (["simulate", "sphere_in_3d", "--out", "a_file/run"], 5, "a_file/run: cannot be made (Not a directory)"),
        (["simulate", "mnist_standard"], 4, "needs mnist, which is not on this machine; give --data mnist:PATH"),
        (["simulate", "mnist_standard", "--data", "mnist:nowhere"], 4, "nowhere: no such file or folder"),
        (["simulate", "sphere_in_3d", "--data", "mnist:x"], 2, "the scene sphere_in_3d makes its data itself"),
        (["probe", "--run", "nowhere"], 5, "nowhere: no such run folder"),
        (["view", "a_folder"], 5, "a_folder: no such run folder"),
        (["export", "finished", "nowhere"], 5, "nowhere: no such run folder"),
    ],
)
def test_a_mistake_is_answered_without_torch(words: list[str], code: int, message: str, folder: Path) -> None:
    exit_code, lines = refuse(folder, *words)
    assert (exit_code, len(lines)) == (code, 1), lines
    assert message in lines[0]


@pytest.mark.parametrize(
    ("words", "code", "messages"),
    [
        (
            ["probe", "--norm", "l3", "--probe", "margn", "--probe", "onof", "--eps", "a", "--samples", "0"],
            2,
            ["--eps is 'a'", "--norm is 'l3'", "--samples is 0", "--probe is margn", "--probe is onof"],
        ),
        (
            ["probe", "--model", "resnet21", "--data", "digts", "--weights", "w.pt", "--out", "a_file"],
            2,
            ["model 'resnet21'", "data 'digts'", "w.pt: does not exist", "a_file: is a file"],
        ),
        (
            ["slice", "--images", "3,3", "--dim", "5", "--seed", "-1"],
            2,
            ["--dim is 5", "--seed is -1", "names 3 twice"],
        ),
        (
            ["simulate", "bad.yaml", "--out", "finished", "--device", "gpu"],
            3,
            ["unknown key manifold.raduis", "unknown key training.stepz", "device 'gpu'", "finished: already holds"],
        ),
        (["compare", "here", "there"], 5, ["here: no such run folder", "there: no such run folder"]),
    ],
)
def test_all_mistakes_of_a_call_are_reported_at_once(
    words: list[str], code: int, messages: list[str], folder: Path
) -> None:
    exit_code, lines = refuse(folder, *words)
    assert exit_code == code
    assert len(lines) == len(messages), lines
    assert all(message in line for message, line in zip(messages, lines, strict=True)), lines
