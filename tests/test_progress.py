"""Progress: lines in the log of a long job, nothing of short ones, nothing from Python where there is no terminal."""

import pytest

from dimple import progress


def test_the_log_of_a_job_has_a_line_after_a_while(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter(float(second) for second in (0, *(value for step in range(1, 40) for value in [5 * step] * 3)))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(progress, "_writes_lines", True)
    with progress.show_progress("probe", 20) as advance:
        for _ in range(20):
            advance()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("dimple: probe ") and "about" in lines[0]
    assert 1 <= len(lines) <= 3


def test_short_jobs_and_calls_from_python_write_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for writes in (True, False):
        monkeypatch.setattr(progress, "_writes_lines", writes)
        with progress.show_progress("probe", 3) as advance:
            advance()
    assert capsys.readouterr().err == ""
