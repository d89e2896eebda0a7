"""Tables of figures in the terminal."""

from rich.console import Console

from dimple.cli.tables import table_of


def printed(row: dict[str, object], units: dict[str, str]) -> list[list[str]]:
    """The table's lines as words, two spaces or more between columns."""
    console = Console(width=200, color_system=None)
    with console.capture() as capture:
        console.print(table_of("now", row, units))
    return [line.split() for line in capture.get().splitlines()]


def test_columns_that_no_figure_fills_are_left_out() -> None:
    assert printed({"loss": 0.5, "margin": 0.25}, {"loss": "nats"}) == [
        ["now", "value", "unit"], ["loss", "0.5", "nats"], ["margin", "0.25"]
    ]  # fmt: skip


def test_a_figure_says_on_how_many_samples_it_rests() -> None:
    row = {"margin_on": 0.05, "margin_on_null": 0.02, "margin_on_found": 0.75, "margin_on_found_null": 0.9}
    row |= {"on_ratio": 2.5, "on_ratio_verdict": "above", "margin": 0.02, "margin_found": 1.0}  # type: ignore[dict-item]
    assert printed(row, {}) == [  # type: ignore[arg-type]
        ["now", "value", "found", "null", "verdict"],
        ["margin_on", "0.05", "75%", "0.02"],
        ["on_ratio", "2.5", "75%", "above"],
        ["margin", "0.02"],
    ]


def test_figures_whose_tangents_are_unreliable_have_a_star() -> None:
    row = {"margin": 1.0, "on_share": 0.5, "on_ratio": 2.0, "on_ratio_verdict": "above", "tangent_reliable": 0.1}
    assert printed(row, {})[2:4] == [["on_share", "0.5", "*"], ["on_ratio", "2", "above", "*"]]
