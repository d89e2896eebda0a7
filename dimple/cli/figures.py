"""Figures as the terminal prints them: four digits, and the null beside."""

from collections.abc import Mapping
from typing import Any


def number(value: float | None) -> str:
    """Four significant digits; None and infinity by name."""
    return "none" if value is None else f"{value:.4g}"


def null(row: Mapping[str, Any], name: str) -> str:
    """The null of a figure, with its band where there is one."""
    if f"{name}_null" not in row:
        return ""
    text = number(row[f"{name}_null"])
    if f"{name}_null_low" in row:
        text += f" ({number(row[f'{name}_null_low'])} to {number(row[f'{name}_null_high'])})"
    return text
