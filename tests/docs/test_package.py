"""The archives of the package carry the built documentation, although git ignores it."""

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
PAGE = "dimple/site/index.html"


def build(kind: str, folder: Path, out: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(out)]
    subprocess.run(command, cwd=folder, capture_output=True, check=True)
    (archive,) = out.iterdir()
    return archive


def small_checkout(folder: Path, page: str = "") -> Path:
    """Make a checkout with little more than what a build reads."""
    (folder / "dimple").mkdir(parents=True)
    for name in ("pyproject.toml", "README.md", "LICENSE", ".gitignore", "dimple/__init__.py"):
        shutil.copy(CHECKOUT / name, folder / name)
    shutil.copytree(CHECKOUT / "scenes", folder / "scenes")
    if page:
        (folder / PAGE).parent.mkdir()
        (folder / PAGE).write_text(page)
    return folder


def test_a_wheel_from_the_source_archive_carries_the_pages(tmp_path: Path) -> None:
    checkout = small_checkout(tmp_path / "checkout", "the first page")
    with tarfile.open(build("sdist", checkout, tmp_path / "sdist")) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    with zipfile.ZipFile(build("wheel", unpacked, tmp_path / "wheel")) as wheel:
        assert wheel.read(PAGE) == b"the first page"
        assert "dimple/scenes/sphere_in_3d.yaml" in wheel.namelist()


def test_a_wheel_without_pages_can_be_built(tmp_path: Path) -> None:
    wheel = build("wheel", small_checkout(tmp_path / "checkout"), tmp_path / "wheel")
    assert PAGE not in zipfile.ZipFile(wheel).namelist()
