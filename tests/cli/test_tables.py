"""Tests of tables of statistics in the terminal."""

from rich.console import Console

from dimple.views.report.text_table import build_table


def print_table(row: dict[str, object], units: dict[str, str]) -> list[list[str]]:
    """Return the words of each printed line of the table."""
    console = Console(width=200, color_system=None)
    with console.capture() as capture:
        console.print(build_table("now", row, units))
    return [line.split() for line in capture.get().splitlines()]


def test_empty_columns_are_left_out() -> None:
    assert print_table({"loss": 0.5, "margin": 0.25}, {"loss": "nats"}) == [
        ["now", "value", "95", "%", "interval", "unit"],
        ["loss", "0.500", "–", "nats"],
        ["margin", "0.250", "not", "recorded"],
    ]  # fmt: skip


def test_a_comparison_that_is_not_a_null_is_printed() -> None:
    row = {"accuracy": 0.9, "accuracy_low": 0.7, "accuracy_high": 0.97, "accuracy_samples": 20}
    row |= {"majority_accuracy": 0.5, "margin": 2.0, "margin_test": 1.5}
    assert print_table(row, {}) == [  # type: ignore[arg-type]
        ["now", "value", "95", "%", "interval", "n", "comparison"],
        ["accuracy", "0.900", "0.700", "to", "0.970", "20", "largest", "class", "0.500"],
        ["margin", "2.00", "not", "recorded", "–", "test", "points", "1.50"],
    ]


def test_the_fraction_of_samples_found_is_printed() -> None:
    row = {"margin_on": 0.05, "margin_on_null": 0.02, "margin_on_found": 0.75, "margin_on_found_null": 0.9}
    row |= {"margin_on_ratio": 2.5, "margin_on_ratio_verdict": "above", "margin": 0.02, "margin_found": 1.0}  # type: ignore[dict-item]
    assert print_table(row, {}) == [  # type: ignore[arg-type]
        ["now", "value", "95", "%", "interval", "comparison", "verdict"],
        ["margin_on", "0.0500", "not", "recorded", "null", "0.0200", "–"],
        ["75%", "found", "90%", "found"],
        ["margin_on_ratio", "2.50", "not", "recorded", "–", "above"],
        ["75%", "found"],
        ["margin", "0.0200", "not", "recorded", "–", "–"],
    ]


def test_statistics_of_unreliable_tangents_have_a_star() -> None:
    row = {
        "margin": 1.0,
        "perturbation_on_manifold_fraction": 0.5,
        "margin_on_ratio": 2.0,
        "margin_on_ratio_verdict": "above",
        "tangent_reliable": 0.1,
    }
    assert print_table(row, {})[2:4] == [
        ["perturbation_on_manifold_fraction", "0.500", "not", "recorded", "–", "*"],
        ["margin_on_ratio", "2.00", "not", "recorded", "above", "*"],
    ]


def test_a_narrow_terminal_shows_every_number_whole() -> None:
    name = "gradient_off_manifold_fraction"
    row = {name: 0.8321, f"{name}_null": 0.3333, f"{name}_null_low": 0.3011, f"{name}_null_high": 0.3655}
    row |= {f"{name}_stderr": 0.008312, f"{name}_verdict": "above", "margin_on": 0.05, "margin_on_found": 0.75}  # type: ignore[dict-item]
    console = Console(width=80, color_system=None)
    with console.capture() as capture:
        console.print(
            build_table("at the last step", row, {name: "fraction", "margin_on": "l2, input units"}, width=80)
        )
    text = capture.get()
    assert "…" not in text
    assert {"0.832", "(0.301", "0.365)", "75%", "above", "[fraction]"} <= set(text.split())
