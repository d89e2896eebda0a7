"""Tests of tables of statistics in the terminal."""

from collections.abc import Mapping

from rich.console import Console

from dimple.views.report.text_table import build_table


def print_table(row: Mapping[str, object], units: dict[str, str]) -> list[list[str]]:
    """Return the words of each printed line of the table."""
    console = Console(width=200, color_system=None)
    with console.capture() as capture:
        console.print(build_table("now", row, units))
    return [line.split() for line in capture.get().splitlines()]


# A ratio whose interval lies above the band of its null.
JUDGED = {
    "margin_on_ratio": 2.5,
    "margin_on_ratio_low": 2.2,
    "margin_on_ratio_high": 2.8,
    "margin_on_ratio_samples": 20,
    "margin_on_ratio_null": 1.5,
    "margin_on_ratio_null_low": 1.2,
    "margin_on_ratio_null_high": 1.9,
}


def test_empty_columns_are_left_out() -> None:
    assert print_table({"loss": 0.5, "margin": 0.25}, {"loss": "nats"}) == [
        ["now", "value", "95", "%", "interval", "unit"],
        ["loss", "0.500", "–", "nats"],
        ["margin", "0.250", "not", "recorded"],
    ]  # fmt: skip


def test_a_comparison_that_is_not_a_null_is_printed() -> None:
    row = {"accuracy": 0.9, "accuracy_low": 0.7, "accuracy_high": 0.97, "accuracy_samples": 20}
    row |= {"majority_accuracy": 0.5, "margin": 2.0, "margin_test": 1.5}
    assert print_table(row, {}) == [
        ["now", "value", "95", "%", "interval", "n", "comparison"],
        ["accuracy", "0.900", "0.700", "to", "0.970", "20", "largest", "class", "0.500"],
        ["margin", "2.00", "not", "recorded", "–", "test", "points", "1.50"],
    ]


def test_the_fraction_of_samples_found_is_printed() -> None:
    row = {"margin_on": 0.05, "margin_on_null": 0.02, "margin_on_found": 0.75, "margin_on_found_null": 0.9}
    row |= JUDGED | {"margin": 0.02, "margin_found": 1.0}
    assert print_table(row, {}) == [
        ["now", "value", "95", "%", "interval", "n", "comparison", "verdict"],
        ["margin_on", "0.0500", "not", "recorded", "–", "null", "0.0200", "–"],
        ["75%", "found", "90%", "found"],
        ["margin_on_ratio", "2.50", "2.20", "to", "2.80", "20", "null", "1.50", "above"],
        ["75%", "found", "(1.20", "to", "1.90)"],
        ["90%", "found"],
        ["margin", "0.0200", "not", "recorded", "–", "–", "–"],
    ]


def test_statistics_of_unreliable_tangents_have_a_star() -> None:
    row = {
        "margin": 1.0,
        "perturbation_on_manifold_fraction": 0.5,
        **JUDGED,
        "tangent_reliable": 0.1,
    }
    assert print_table(row, {})[2:4] == [
        ["perturbation_on_manifold_fraction", "0.500", "not", "recorded", "–", "–", "–", "*"],
        ["margin_on_ratio", "2.50", "2.20", "to", "2.80", "20", "null", "1.50", "above", "*"],
    ]


def test_a_band_says_what_it_holds_where_that_is_not_95_percent() -> None:
    assert print_table(JUDGED | {"margin_on_ratio_null_draws": 39}, {})[2] == ["(1.20", "to", "1.90)"]
    few = print_table(JUDGED | {"margin_on_ratio_null_draws": 3}, {})
    assert few[2:4] == [["(1.20", "to", "1.90,"], ["a", "50", "%", "band)"]]
    # Two ends that differ look different.
    narrow = JUDGED | {"margin_on_ratio_null_low": 1.0008, "margin_on_ratio_null_high": 1.0014}
    assert print_table(narrow, {})[2] == ["(1.0008", "to", "1.0014)"]


def test_the_verdict_is_that_of_the_row_and_not_of_an_earlier_version() -> None:
    """Words that earlier versions wrote compared the value alone, and knew nothing of the search."""
    row = JUDGED | {"margin_on_ratio_verdict": "above", "margin_on_ratio_change": -0.69}
    assert print_table(row, {})[1][-1] == "unsettled"
    row = JUDGED | {"margin_on_ratio_verdict": "above", "margin_on_ratio_low": 1.8}
    assert print_table(row, {})[1][-2:] == ["not", "decided"]


def test_a_narrow_terminal_shows_every_number_whole() -> None:
    name = "gradient_off_manifold_fraction"
    row = {name: 0.8321, f"{name}_null": 0.3333, f"{name}_null_low": 0.3011, f"{name}_null_high": 0.3655}
    row |= {f"{name}_low": 0.8158, f"{name}_high": 0.8484, f"{name}_samples": 300}
    row |= {f"{name}_stderr": 0.008312, "margin_on": 0.05, "margin_on_found": 0.75}
    console = Console(width=80, color_system=None)
    with console.capture() as capture:
        console.print(
            build_table("at the last step", row, {name: "fraction", "margin_on": "l2, input units"}, width=80)
        )
    text = capture.get()
    assert "…" not in text
    assert {"0.832", "(0.301", "0.365)", "75%", "above", "[fraction]"} <= set(text.split())


def test_a_narrow_terminal_shows_the_star_of_the_longest_verdict() -> None:
    row = JUDGED | {"margin_on_ratio_low": 1.8, "margin_on_ratio_null_draws": 3, "tangent_reliable": 0.1}
    row |= {"margin_on_ratio_analytic": 1.75, "margin_on_found": 0.75, "margin_on_found_null": 0.333}
    console = Console(width=80, color_system=None)
    with console.capture() as capture:
        console.print(build_table("samples of the test split", row, {"margin_on_ratio": "x free margin"}, width=80))
    words = capture.get().split()
    assert "decided" in words and "*" in words and not any("…" in word for word in words)
