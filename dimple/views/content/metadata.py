"""What every file of a run says of itself, where its kind has a place for it: name, seed, all settings, versions."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

from PIL.PngImagePlugin import PngInfo

from dimple.runs.run import Run

if TYPE_CHECKING:
    import pyvista as pv

# What a file says, by the names that PNG reserves for such texts where it has one.
Imprint: TypeAlias = Mapping[str, str]
NO_IMPRINT: Imprint = MappingProxyType({})


def imprint_of(run: Run) -> Imprint:
    """The imprint of a run.

    Returns:
        `Title`, `Seed`, `Settings` (YAML, every default filled in) and `Software`.
    """
    versions: dict[str, Any] = run.info.get("versions", {})
    return {
        "Title": str(run.info.get("name", run.path.name)),
        "Seed": str(run.info.get("seed", 0)),
        "Settings": run.scene_text,
        "Software": ", ".join(f"{name} {version}" for name, version in versions.items()),
    }


def in_png(imprint: Imprint) -> PngInfo:
    """For `Image.save(pnginfo=...)`."""
    texts = PngInfo()
    for name, text in imprint.items():
        texts.add_itxt(name, text)
    return texts


def in_gif(imprint: Imprint) -> bytes:
    r"""For `Image.save(comment=...)`.

    Example:
        >>> in_gif({"Title": "ball", "Seed": "3"})
        b'Title: ball\nSeed: 3'
    """
    return "\n".join(f"{name}: {text}" for name, text in imprint.items()).encode()


def in_mp4(imprint: Imprint) -> list[str]:
    """For the command line of ffmpeg; the container knows a title and a comment."""
    if not imprint:
        return []
    return ["-metadata", f"title={imprint.get('Title', '')}", "-metadata", f"comment={in_gif(imprint).decode()}"]


def in_vtk(imprint: Imprint, shape: "pv.PolyData") -> None:
    """As text arrays of the data's fields, which ParaView shows among its information."""
    for name, text in imprint.items():
        shape.field_data[name] = [text]
