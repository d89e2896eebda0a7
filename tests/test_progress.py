"""Progress: lines in the log of a long job, nothing of short ones, nothing from Python where there is no terminal."""

import pytest

from dimple import progress


def test_the_log_of_a_job_begins_with_an_estimate_and_goes_on_once_a_minute(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    monkeypatch.setattr(progress, "_writes_lines", True)
    with progress.show_progress("probe", 200) as advance:
        for _ in range(200):
            now += 1.0
            advance()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "dimple: probe 2 of 200, 2 s, about 198 s left"
    assert [line.split()[2] for line in lines] == ["2", "62", "122", "182"]


def test_a_sentence_before_a_stage_is_written_where_progress_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for writes, expected in ((True, "dimple: probe: about 3 min\n"), (False, "")):
        monkeypatch.setattr(progress, "_writes_lines", writes)
        progress.announce("probe", "about 3 min")
        assert capsys.readouterr().err == expected


def test_short_jobs_and_calls_from_python_write_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for writes in (True, False):
        monkeypatch.setattr(progress, "_writes_lines", writes)
        with progress.show_progress("probe", 3) as advance:
            advance()
    assert capsys.readouterr().err == ""


def test_no_time_follows_from_the_first_part_of_a_stage(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    monkeypatch.setattr(progress, "_writes_lines", True)
    with progress.show_progress("measure", 82) as advance:
        now = 23.0
        advance()
    assert capsys.readouterr().err == "dimple: measure 1 of 82, 23 s\n"
