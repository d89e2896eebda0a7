"""Tests of the command `dimple slice`."""

import json
import sys
from pathlib import Path

import pytest

from dimple.cli import main
from tests.experiment.linear_network import NAME, write_images


def run_command(words: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["dimple", *words])
    with pytest.raises(SystemExit) as stop:
        main()
    return int(stop.value.code or 0)


def test_a_slice_prints_its_statistics_and_other_commands_take_its_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = [
        "slice",
        "--model",
        f"{NAME}:linear",
        "--weights",
        "none",
        "--data",
        write_images(tmp_path),
        "--images",
        "0, 1,2",
    ]
    words += ["--resolution", "16", "--null-draws", "1"]
    assert run_command(words, monkeypatch) == 0
    stdout = capsys.readouterr().out
    folder = tmp_path / "runs" / f"slice-{NAME}.linear-0-1-2"
    assert stdout.startswith("the plane through images 0, 1 and 2\n")
    assert "margin in the slice" in stdout and "report.html" in stdout
    # A single network has no last step, and the band of a single random slice holds nothing.
    assert "step" not in stdout
    text = " ".join(stdout.split())
    assert "margins are medians over 3 samples; comparison: a random slice" in text
    assert "whose band holds 0% of further ones (95% with --null-draws 39)" in text
    assert run_command(words, monkeypatch) == 5
    assert "already holds a finished run" in capsys.readouterr().err
    assert run_command([*words, "--force", "--json"], monkeypatch) == 0
    line = json.loads(capsys.readouterr().out)
    assert line["final"]["margin_unbounded"] <= line["final"]["margin_in_slice"]
    for command, file in (("export", "a.png"), ("report", "a.html")):
        assert run_command([command, str(folder), "-o", file], monkeypatch) == 0
        assert (tmp_path / file).is_file()


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["--images", "3;4"], 2, "dimple: --images is '3;4'; write numbers and ranges with commas between them"),
        (["--images", "-1,2"], 2, "dimple: --images is '-1,2'"),
        (["--images", "3,3"], 2, "dimple: --images names 3 twice"),
        (["--images", "1,2,9999"], 2, "dimple: digits test: image 9999 does not exist"),
        (["--dim", "4"], 2, "dimple: --dim is 4"),
        (["--radius", "-1"], 2, "dimple: --radius is -1.0"),
        (["--axes", "up"], 2, "dimple: --axes is 'up'"),
        (["--levelset", "exact"], 2, "dimple: --levelset is 'exact'"),
        (["--null-draws", "0"], 2, "dimple: --null-draws is 0"),
        (["--weights", "absent.pt"], 4, "dimple: absent.pt"),
        (["--run", "absent"], 5, "dimple: absent: no such run folder"),
        (["--model", "resnet20"], 4, "dimple: resnet20 takes 3 x 32 x 32 images, digits has 1 x 8 x 8"),
        (["--device", "gpu"], 7, "dimple: device 'gpu' is unknown"),
    ],
)
def test_a_mistake_gives_one_line_and_writes_nothing(
    words: list[str], code: int, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert run_command(["slice", *words], monkeypatch) == code
    output = capsys.readouterr()
    assert output.out == "" and output.err.startswith(sentence) and output.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
