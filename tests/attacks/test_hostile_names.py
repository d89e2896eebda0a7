"""Names with escapes and markup: they reach no terminal, page or picture as they are, and break no drawing."""

import shutil
import unicodedata
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.testing import assert_array_equal

from dimple.data import load_images
from dimple.errors import DimpleError, RunError
from dimple.experiment import compare, export_run, pack, report
from dimple.experiment.run import Run
from dimple.views.charts.matplotlib_svg import render_svg
from tests.attacks.test_hostile_images import folder, image_file
from tests.attacks.test_hostile_runs import change_info

NAMES = ("\x1b[31mred\x1b[0m\u202egnp.exe\u2066\x07", "$\\frac$x", "$</script><script>alert(1)</script>")


def require_clean(page: Path, *paths: Path) -> None:
    text = page.read_text(encoding="utf-8")
    # Spaces of other widths count as not printable.
    assert {character for character in text if unicodedata.category(character)[0] in "CZ"} <= set(
        "\n\t \u00a0\u2009\u202f"
    )
    assert "<script>alert" not in text
    assert not any(str(path) in text for path in paths)


@pytest.mark.parametrize("name", NAMES)
def test_names_in_a_run_are_harmless_in_every_page(name: str, originals: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / name.replace("/", "")
    shutil.copytree(originals["simulation"], path)
    change_info(path, ("name",), name)
    change_info(path, ("device",), name)
    change_info(path, ("samples", "classes"), [name, "other"])
    table = pq.read_table(path / "metrics.parquet")
    names = [name if column == "train_accuracy" else column for column in table.column_names]
    schema = pa.schema([pa.field(n, f.type, metadata={"unit": name}) for n, f in zip(names, table.schema, strict=True)])
    pq.write_table(pa.table(table.columns, schema=schema), path / "metrics.parquet")
    for write in (
        lambda page: report(path, page),
        lambda page: compare([path, path], page),
        lambda page: export_run(path, [page]),
    ):
        write(tmp_path / "page.html")
        require_clean(tmp_path / "page.html", tmp_path)
    assert repr(Run.open(path).info["name"]).isprintable()


def test_names_of_classes_are_harmless_once_they_are_read(tmp_path: Path) -> None:
    spec = folder(tmp_path, **{"\x1b[31mc/0.png": image_file()})
    assert load_images(spec, "test").classes == ("?[31mc", "a", "b")


@pytest.mark.parametrize("name", NAMES)
def test_an_error_about_a_name_is_harmless(name: str) -> None:
    assert str(DimpleError(f"{name}: is wrong")).isprintable()


@pytest.mark.parametrize("name", [name for name in NAMES if name.isprintable()])
def test_a_chart_shows_names_as_they_are(name: str) -> None:
    svg = render_svg(lambda axes: (axes.plot([0, 1], label=name), axes.set_title(name), axes.legend()))
    assert "<script>" not in svg


def test_pages_and_packed_runs_name_no_folders_of_the_machine(originals: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(originals["measurement"], tmp_path / "run")
    (tmp_path / "run" / "config.yaml").write_text(
        (tmp_path / "run" / "config.yaml").read_text() + f"data: npz:{tmp_path}/mine.npz\n"
    )
    change_info(tmp_path / "run", ("facts",), [["data", f"npz:{tmp_path}/mine.npz"], ["weights", f"{tmp_path}/w.pt"]])
    report(tmp_path / "run")
    page = tmp_path / "run" / "report.html"
    require_clean(page, tmp_path)
    assert "npz:.../mine.npz" in page.read_text(encoding="utf-8")
    whole = pack(tmp_path / "run", tmp_path / "whole.dimple")
    bare = pack(tmp_path / "run", tmp_path / "bare.dimple", images=False)
    for path in (whole, bare):
        assert str(tmp_path).encode() not in path.read_bytes()
        assert "npz:mine.npz" in Run.open(path).settings_text
    left_out = set(zipfile.ZipFile(whole).namelist()) - set(zipfile.ZipFile(bare).namelist())
    assert left_out == {"images.safetensors", "report.html"}
    assert_array_equal(Run.open(bare).measurements["margin"], Run.open(whole).measurements["margin"])


def test_a_slice_is_not_packed_without_its_images(tmp_path: Path, originals: dict[str, Path]) -> None:
    path = tmp_path / "run"
    shutil.copytree(originals["simulation"], path)
    change_info(path, ("kind",), "slice")
    with pytest.raises(RunError, match="shows its images"):
        pack(path, tmp_path / "run.dimple", images=False)
