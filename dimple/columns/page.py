"""The generator of docs/columns.md, the page that lists every column.

Write the page again after a change of the tables:

    python -c "from dimple.columns.page import columns_page; print(columns_page(), end='')" > docs/columns.md
"""

from collections.abc import Mapping

from dimple.columns import COMPANIONS, FAMILIES, ColumnMeaning
from dimple.columns.manifold import MANIFOLD_COLUMNS
from dimple.columns.margins import MARGIN_COLUMNS
from dimple.columns.network import NETWORK_COLUMNS
from dimple.columns.samples import SAMPLE_COLUMNS
from dimple.columns.terms import TERMS

HEAD = """# Every column

The columns of all tables, with their unit, their meaning, how to read them, and their source. `dimple explain NAME`
prints the same text; it stands in the tooltips and below the tables of every page, and in `attrs` of the data frames.

A statistic `x` has `x_low` and `x_high`, the ends of its 95 % interval, and `x_samples`, the number of samples under
it. The interval is exact by order statistics for a median (five samples or fewer have none), exact binomial for a
fraction of samples, and by Student's t for a mean.
"""


def columns_page() -> str:
    """Return the page in Markdown.

    Example:
        >>> columns_page().splitlines()[0]
        '# Every column'
    """
    groups = {
        "Samples, accuracy and confidence": SAMPLE_COLUMNS,
        "Distances to the boundary": MARGIN_COLUMNS,
        "The boundary and the data manifold": MANIFOLD_COLUMNS,
        "Shape and motion of the boundary, slices, layers": NETWORK_COLUMNS,
        "Families of columns": {name: entry for _, name, entry in FAMILIES},
        "Ends of names": {f"..{end}": ColumnMeaning(end, "", *text[1:]) for end, text in COMPANIONS.items()},
    }
    words = ["## Words of tables and charts", "", "| word | meaning |", "|---|---|"]
    words += [f"| {word} | {meaning} |" for word, meaning in TERMS.items()]
    return "\n".join([HEAD, *(_group(title, entries) for title, entries in groups.items()), *words, ""])


def _group(title: str, entries: Mapping[str, ColumnMeaning]) -> str:
    lines = [f"## {title}", "", "| column | unit | meaning and how to read it | source |", "|---|---|---|---|"]
    lines += [f"| `{name}` | {entry.unit} | {_text(entry)} | {entry.source} |" for name, entry in entries.items()]
    return "\n".join(lines) + "\n"


def _text(entry: ColumnMeaning) -> str:
    comparison = f" Compared with {entry.comparison_label}: `{entry.comparison}`." if entry.comparison else ""
    return (entry.text + comparison).replace("|", "\\|").replace("{0}", "N")
