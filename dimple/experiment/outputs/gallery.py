"""The verb `gallery`: a static site with a page for each scene."""

import functools
import math
import shlex
from collections.abc import Sequence
from pathlib import Path

from dimple.errors import MissingDataError, RunError, UsageError
from dimple.experiment.outputs.export import is_drawable
from dimple.experiment.provenance import describe_device, versions
from dimple.experiment.run import Run
from dimple.experiment.simulation.simulate_scene import simulate
from dimple.locations import locate_dataset
from dimple.progress import show_progress
from dimple.protocols import Progress
from dimple.scene import Scene, find_scene, load_scene, scene_text, shipped_scenes
from dimple.settings import expand_home
from dimple.tensors import resolve_device
from dimple.views.content.from_run import frames_from_run
from dimple.views.film.thumbnail import STILL_FILE, write_thumbnails
from dimple.views.site.gallery import GalleryScene, sort_scenes, write_index_page, write_scene_page
from dimple.views.site.lesson import LESSON_SCENES, lesson_entries
from dimple.workers import Advance, Workers

# Everything that a gallery writes into its folder.
INDEX_FILE = "index.html"
# The runs from which the pages are made; the site works without this folder.
RUNS_FOLDER = "runs"
SCENES_FOLDER = "scenes"


def build_gallery(
    out: Path | str,
    scenes: Sequence[str] = (),
    overrides: Sequence[str] = (),
    *,
    device: str = "auto",
    progress: Progress = show_progress,
    jobs: int = 1,
    lesson: bool = False,
) -> Path:
    """Simulate scenes and write a static site: an index, and a page for each scene.

    The runs are saved in the subfolder `runs`. A run of the same scene with the same versions on the same device is
    used again, and an unfinished one is continued.

    Args:
        out: the folder of the site.
        scenes: names of built-in scenes, or scene files; if empty, all built-in scenes whose data are at hand.
        overrides: settings changed in every scene, such as `training.steps=200`; the pages name them.
        device: `auto`, `cpu`, `cuda` or `mps`.
        jobs: the number of scenes that are simulated at the same time.
        lesson: ask questions about the scenes in the index, with answers to unfold; without `scenes`, the gallery has
            those of the lesson.

    Returns:
        The index of the site.

    Raises:
        DeviceError: if a system library is missing.
        UsageError, SceneError: for scenes that cannot be simulated, or two scenes of one name.
        RunError: if the folder holds anything but a gallery.
    """
    if not scenes:
        scenes = LESSON_SCENES if lesson else [name for name in shipped_scenes() if _has_data(load_scene(name))]
    scene_names = [*scenes]
    workers = Workers(min(jobs, len(scene_names)))
    resolve_device(device)
    loaded = {name: load_scene(name, overrides) for name in scene_names}
    names = [scene.name for scene in loaded.values()]
    if duplicates := [name for name in names if names.count(name) > 1]:
        raise UsageError(f"two scenes have the name {duplicates[0]}; a gallery needs a name for each")
    site = _prepare_site(expand_home(out))
    tasks = [functools.partial(_prepare_scene, scene, site, device) for scene in loaded.values()]
    with progress("scenes", len(tasks)) as advance, workers:
        for _ in workers.run_unordered(tasks, advance):
            pass
    gallery_scenes = sort_scenes([_gallery_scene(name, scene, overrides, site) for name, scene in loaded.items()])
    with progress("pages", len(gallery_scenes)) as advance:
        for scene in gallery_scenes:
            write_scene_page(scene, gallery_scenes, overrides, site / SCENES_FOLDER / scene.name)
            advance()
    questions = lesson_entries(gallery_scenes) if lesson else []
    return write_index_page(gallery_scenes, overrides, site / INDEX_FILE, questions)


def _prepare_site(site: Path) -> Path:
    """Make the folder of the site with its subfolders, or check that an existing one is empty or holds a gallery.

    Raises:
        RunError: if it holds anything else; nothing is changed then.
    """
    subfolders = (RUNS_FOLDER, SCENES_FOLDER)
    try:
        present = {entry.name for entry in site.iterdir() if not entry.name.startswith(".")} if site.exists() else set()
        foreign = present - {INDEX_FILE, *subfolders}
        if INDEX_FILE in present and SCENES_FOLDER not in present:
            foreign.add(INDEX_FILE)
        if foreign:
            raise RunError(f"{site}: holds {min(foreign)!r}, so it is not a gallery; choose another folder")
        for name in subfolders:
            (site / name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if isinstance(error, RunError):
            raise
        raise RunError(f"{site}: cannot be made ({error.strerror or error}); choose another folder") from None
    return site


def _has_data(scene: Scene) -> bool:
    """Return whether the data set of a scene is on this machine."""
    try:
        if scene.data.dataset:
            locate_dataset(scene.data.dataset)
    except MissingDataError:
        return False
    return True


def _prepare_scene(scene: Scene, site: Path, device: str, advance: Advance) -> None:
    """Simulate a scene unless its run is up to date, and draw its thumbnails where they are older than the run."""
    run = _reuse_or_simulate(scene, site / RUNS_FOLDER / scene.name, device)
    folder = site / SCENES_FOLDER / scene.name
    still = folder / STILL_FILE
    if not still.is_file() or still.stat().st_mtime < (run.path / "run.json").stat().st_mtime:
        folder.mkdir(exist_ok=True)
        view = Run.open(run.views_path)
        write_thumbnails(run, frames_from_run(view) if is_drawable(view) else [], folder)
    advance()


def _reuse_or_simulate(scene: Scene, path: Path, device: str) -> Run:
    """Return the run in a folder, if it has the same scene, versions and device; else simulate the scene there."""
    is_same = False
    if (path / "run.json").is_file():
        run = Run.open(path)
        current = {"versions": versions(), "device": describe_device(resolve_device(device))}
        is_same = run.settings_text == scene_text(scene) and {key: run.info.get(key) for key in current} == current
        if is_same and run.info.get("status") == "complete":
            return run
    return simulate(scene, path, device=device, force=not is_same)


def _gallery_scene(name: str, scene: Scene, overrides: Sequence[str], site: Path) -> GalleryScene:
    command = ["dimple", "simulate", name, *(word for override in overrides for word in ("--set", override))]
    run = Run.open(site / RUNS_FOLDER / scene.name)
    return GalleryScene(
        run=run,
        scene_text=find_scene(name).read_text(encoding="utf-8"),
        dim=None if scene.manifold is None else scene.manifold.dim,
        ambient_dim=math.prod(run.sample_shape),
        command=shlex.join(command),
    )
