"""Tables for the terminal: what stays readable where there is little space."""

import io

from rich.console import Console

from dimple.views.report.text_table import build_table


def test_a_narrow_terminal_cuts_no_heading_and_no_number() -> None:
    row = {
        "boundary_distance": 0.0155, "boundary_distance_low": 0.000186, "boundary_distance_high": 0.00462,
        "boundary_distance_samples": 30000, "boundary_distance_null": 0.056, "boundary_distance_found": 1.0,
        "boundary_distance_found_null": 0.924,
        "boundary_distance_null_low": 0.00000464, "boundary_distance_null_high": 0.00000602,
        "boundary_distance_verdict": "below",
    }  # fmt: skip
    screen = io.StringIO()
    Console(file=screen, width=80).print(build_table("at the last step", row, {}, width=80))
    for text in ("verdict", "comparison", "0.000186 to 0.00462", "4.64e-06", "6.02e-06"):
        assert text in screen.getvalue()
