"""Signals of a batch system: the run is left to be continued, and the exit code says so."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dimple.experiment import check

WORDS = ["simulate", "line_in_2d", "--no-film", "--jobs", "1", "--set", "training.steps=1000000"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs the signals of POSIX")
def test_a_batch_system_stops_a_run_that_is_to_be_continued(tmp_path: Path) -> None:
    out = tmp_path / "run"
    for name in ("SIGTERM", "SIGUSR1"):
        command = [sys.executable, "-m", "dimple", *WORDS, "--out", str(out)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            deadline = time.monotonic() + 120
            # The snapshots of the first steps are written at once, also by a training that is continued.
            (out / "snapshots" / "00000001.safetensors").unlink(missing_ok=True)
            while not (out / "snapshots" / "00000001.safetensors").exists() and time.monotonic() < deadline:
                time.sleep(0.05)
            process.send_signal(getattr(signal, name))
            _, stderr = process.communicate(timeout=60)
        sentence = f"dimple: stopped by {name}; the same command continues an unfinished run"
        assert (process.returncode, stderr.splitlines()[-1]) == (75, sentence)
        assert json.loads((out / "run.json").read_text())["status"] == "interrupted"
        assert check(out).problems == {} and not (out / ".dimple-lock").exists()


STOPPED_IN_AN_IMPORT = """
import os, signal, sys
from dimple.cli import app

def run():
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    except KeyboardInterrupt:
        raise RecursionError("a module that was half imported") from None

app.app = run
sys.argv = ["dimple"]
app.main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs the signals of POSIX")
def test_what_a_signal_breaks_counts_as_stopped() -> None:
    answer = subprocess.run([sys.executable, "-c", STOPPED_IN_AN_IMPORT], capture_output=True, text=True, check=False)
    sentence = "dimple: stopped by SIGTERM; the same command continues an unfinished run\n"
    assert (answer.returncode, answer.stderr) == (75, sentence)
