"""`dimple doctor` tells what works and what to install, and its exit code whether something needed is missing."""

import json

import pytest
import typer

from dimple.cli.commands.doctor import doctor
from dimple.experiment import doctor as module
from dimple.experiment.doctor import Diagnosis, examine


def test_this_installation_passes(capsys: pytest.CaptureFixture[str]) -> None:
    findings = {finding.name: finding for finding in examine()}
    for name in ("versions", "device", "threads", "ffmpeg", "compiled code", "self-test"):
        assert findings[name].works, findings[name]
    assert all(finding.works or finding.remedy for finding in findings.values())
    assert "margins 2.0000, 2.0000 of 2" in findings["self-test"].detail


@pytest.mark.parametrize(("is_needed", "code"), [(True, 7), (False, 0)])
def test_what_is_missing_has_its_remedy(
    is_needed: bool, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = Diagnosis("OpenGL", False, "no library draws", "apt-get install libegl1", is_needed)
    monkeypatch.setattr(module, "examine", lambda: [Diagnosis("system", True, "Linux"), missing])
    found = 0
    try:
        doctor(as_json=False)
    except typer.Exit as stop:
        found = stop.exit_code
    assert found == code
    mark = "!!" if is_needed else "--"
    assert f"{mark}  OpenGL  no library draws; apt-get install libegl1" in capsys.readouterr().out


def test_a_check_that_fails_is_a_finding_and_json_holds_all(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(name: str) -> Diagnosis:
        raise OSError("libGL.so.1: cannot open shared object file")

    monkeypatch.setattr(module, "CHECKS", {"OpenGL": broken})
    with pytest.raises(typer.Exit):
        doctor(as_json=True)
    findings = json.loads(capsys.readouterr().out)["findings"]
    (found,) = [finding for finding in findings if finding["name"] == "OpenGL"]
    assert not found["works"] and "libGL.so.1" in found["detail"]
