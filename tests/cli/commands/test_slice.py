"""`dimple section` as a user types it."""

import json
import sys
from pathlib import Path

import pytest

from dimple.cli import main
from tests.experiment.linear_network import NAME, write_images


def typed(words: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["dimple", *words])
    with pytest.raises(SystemExit) as stop:
        main()
    return int(stop.value.code or 0)


def test_a_section_prints_its_figures_and_its_run_is_shown_by_the_other_verbs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    asked = ["section", "--model", f"{NAME}:linear", "--data", write_images(tmp_path), "--images", "0, 1,2"]
    asked += ["--cells", "16", "--draws", "1"]
    assert typed(asked, monkeypatch) == 0
    shown = capsys.readouterr().out
    folder = tmp_path / "runs" / f"section-{NAME}.linear-0-1-2"
    assert shown.startswith("the plane through images 0, 1 and 2\n")
    assert "margin in the section" in shown and "report.html" in shown
    # One network has no last step, and one random section no band that holds anything.
    assert "step" not in shown
    told = " ".join(shown.split())
    assert "margins are medians over 3 samples; nulls are those of one random section" in told
    assert "whose band holds 0% of further ones: --draws 39 makes it 95%" in told
    assert typed(asked, monkeypatch) == 5
    assert "already holds a finished run" in capsys.readouterr().err
    assert typed([*asked, "--force", "--json"], monkeypatch) == 0
    line = json.loads(capsys.readouterr().out)
    assert line["final"]["margin_any"] <= line["final"]["margin_section"]
    for words, written in ((["film", "-o", "a.png"], "a.png"), (["report", "-o", "a.html"], "a.html")):
        assert typed([words[0], str(folder), *words[1:]], monkeypatch) == 0
        assert (tmp_path / written).is_file()


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["--images", "3;4"], 2, "dimple: --images is '3;4'; write rows of the split with commas between them"),
        (["--images", "-1,2"], 2, "dimple: --images is '-1,2'"),
        (["--images", "3,3"], 2, "dimple: --images names 3 twice"),
        (["--images", "1,2,9999"], 2, "dimple: digits test: image 9999 does not exist"),
        (["--dim", "4"], 2, "dimple: --dim is 4"),
        (["--radius", "-1"], 2, "dimple: --radius is -1.0"),
        (["--axes", "up"], 2, "dimple: --axes is 'up'"),
        (["--levelset", "exact"], 2, "dimple: --levelset is 'exact'"),
        (["--draws", "0"], 2, "dimple: --draws is 0"),
        (["--weights", "absent.pt"], 4, "dimple: absent.pt"),
        (["--run", "absent"], 5, "dimple: absent: no such run folder"),
        (["--model", "resnet20"], 4, "dimple: resnet20 takes 3 x 32 x 32 images, digits has 1 x 8 x 8"),
        (["--device", "gpu"], 7, "dimple: device 'gpu' is unknown"),
    ],
)
def test_a_mistake_gets_one_line_and_leaves_nothing(
    words: list[str], code: int, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert typed(["section", *words], monkeypatch) == code
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err.startswith(sentence) and shown.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
