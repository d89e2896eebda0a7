"""The start of a measurement: no package is loaded that it does not need, and the digits network is trained once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dimple.experiment.probing import models
from dimple.networks import build_model
from dimple.progress import silent_progress

CHECKOUT = Path(__file__).parents[3]
PROGRAM = """
import sys
from dimple.cli import main
sys.argv = ["dimple", "probe", "--samples", "2", "--probe", "margin", "--out", "run", "--force"]
try:
    main()
except SystemExit as stop:
    assert not stop.code
print(*({"torch._dynamo", "pandas", "sklearn", "numba", "vtkmodules", "pyvista"} & set(sys.modules)), file=sys.stderr)
"""


def test_a_measurement_loads_neither_the_compiler_nor_data_frames(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    for _ in range(2):
        answer = subprocess.run(
            [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, cwd=tmp_path, env=environment
        )
    # The first call trains, for which torch loads its compiler.
    assert answer.stderr.splitlines()[-1] == ""
    assert len(list((tmp_path / "cache" / "dimple" / "networks").iterdir())) == 1


def test_the_digits_network_is_trained_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first, second = build_model("digits_convnet"), build_model("digits_convnet")
    models.load_digits_network(first, silent_progress)
    monkeypatch.setattr(models, "train_digits", lambda *_: pytest.fail("it was trained again"))
    models.load_digits_network(second, silent_progress)
    assert all((one == other).all() for one, other in zip(first.parameters(), second.parameters(), strict=True))


def test_a_damaged_or_forbidden_cache_costs_only_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    models.load_digits_network(build_model("digits_convnet"), silent_progress)
    (file,) = (tmp_path / "dimple" / "networks").iterdir()
    file.write_bytes(b"no weights")
    trained = []
    monkeypatch.setattr(models, "train_digits", lambda *_: trained.append(1))
    models.load_digits_network(build_model("digits_convnet"), silent_progress)
    (tmp_path / "a_file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "a_file"))
    models.load_digits_network(build_model("digits_convnet"), silent_progress)
    assert len(trained) == 2
