"""Metadata of the files of a run: name, seed, all settings and versions, in the form that each file format provides."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

from PIL.PngImagePlugin import PngInfo

from dimple.runs.run import RunFolder

if TYPE_CHECKING:
    import pyvista as pv

# Texts by keyword; the keywords are those that PNG predefines, where there is a suitable one.
Metadata: TypeAlias = Mapping[str, str]
NO_METADATA: Metadata = MappingProxyType({})


def run_metadata(run: RunFolder) -> Metadata:
    """Return the metadata of a run: `Title`, `Seed`, `Settings` (YAML with all defaults) and `Software`."""
    versions: dict[str, Any] = run.info.get("versions", {})
    return {
        "Title": str(run.info.get("name", run.path.name)),
        "Seed": str(run.info.get("seed", 0)),
        "Settings": run.settings_text,
        "Software": ", ".join(f"{name} {version}" for name, version in versions.items()),
    }


def png_metadata(metadata: Metadata) -> PngInfo:
    """Return the metadata for `PIL.Image.Image.save(pnginfo=...)`."""
    texts = PngInfo()
    for name, text in metadata.items():
        texts.add_itxt(name, text)
    return texts


def gif_comment(metadata: Metadata) -> bytes:
    r"""Return the metadata for `PIL.Image.Image.save(comment=...)`.

    Example:
        >>> gif_comment({"Title": "ball", "Seed": "3"})
        b'Title: ball\nSeed: 3'
    """
    return "\n".join(f"{name}: {text}" for name, text in metadata.items()).encode()


def ffmpeg_metadata_arguments(metadata: Metadata) -> list[str]:
    """Return the metadata as arguments for ffmpeg: the title, and all texts as the comment of the container."""
    if not metadata:
        return []
    return ["-metadata", f"title={metadata.get('Title', '')}", "-metadata", f"comment={gif_comment(metadata).decode()}"]


def add_vtk_metadata(metadata: Metadata, polydata: "pv.PolyData") -> None:
    """Add the metadata to a data set of VTK as text arrays of its field data, which ParaView shows as information."""
    for name, text in metadata.items():
        polydata.field_data[name] = [text]
