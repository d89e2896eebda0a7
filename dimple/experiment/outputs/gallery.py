"""The verb `gallery`: every scene simulated and shown, with the tutorials and the reference, as one static site."""

import functools
import shlex
from collections.abc import Sequence
from pathlib import Path

from dimple.errors import RunError, UsageError
from dimple.experiment.outputs.film import has_picture
from dimple.experiment.provenance import describe, silent, versions
from dimple.experiment.simulation.simulate_scene import simulate
from dimple.protocols import Progress
from dimple.runs import Run
from dimple.scene import Scene, find_scene, load_scene, scene_text, shipped_scenes
from dimple.tensors import resolve_device
from dimple.views.content.from_run import frames_of_run
from dimple.views.film.thumbnail import STILL, write_thumbnails
from dimple.views.site.api_reference import write_reference
from dimple.views.site.gallery import ShownScene, ordered, write_index, write_scene
from dimple.views.site.markdown import require_documentation
from dimple.views.site.tutorials import shipped_tutorials, write_tutorials
from dimple.workers import Advance, Workers

# All that a gallery writes into its folder; `runs` is what the rest was made from, and the site does without it.
INDEX, RUNS, SCENES, TUTORIALS, REFERENCE = "index.html", "runs", "scenes", "tutorials", "api"


def gallery(
    out: Path | str,
    scenes: Sequence[str] = (),
    changes: Sequence[str] = (),
    *,
    device: str = "auto",
    progress: Progress = silent,
    jobs: int = 1,
) -> Path:
    """Simulate scenes and show them as a static site: an index, a page for each, the tutorials and the reference.

    Runs are kept in `runs` of the folder. One that is there already, of the same scene with the same versions on the
    same device, is not made again, and an unfinished one is continued.

    Args:
        scenes: names of scenes that ship, or scene files; without any, all that ship.
        changes: settings changed in every scene, such as `training.steps=200`; the pages name them.
        jobs: how many scenes are simulated at a time.

    Returns:
        The index of the site.

    Raises:
        DeviceError: if a library is missing, of the extra `docs` or of the system.
        UsageError, SceneError: for scenes that cannot be simulated, or two of one name.
        RunError: if the folder holds anything else.
    """
    chosen = [*scenes] or [*shipped_scenes()]
    beside = Workers(min(jobs, len(chosen)))
    require_documentation()
    resolve_device(device)
    loaded = {name: load_scene(name, changes) for name in chosen}
    names = [scene.name for scene in loaded.values()]
    if twice := [name for name in names if names.count(name) > 1]:
        raise UsageError(f"two scenes have the name {twice[0]}; a gallery needs a name for each")
    site = _site(Path(out))
    pieces = [functools.partial(_prepared, scene, site, device) for scene in loaded.values()]
    with progress("scenes", len(pieces)) as advance, beside as workers:
        for _ in workers.each(pieces, advance):
            pass
    shown = ordered([_shown(name, scene, changes, site) for name, scene in loaded.items()])
    with progress("pages", len(shown) + 2) as advance:
        for one in shown:
            write_scene(one, shown, changes, site / SCENES / one.name)
            advance()
        write_tutorials(site / TUTORIALS)
        advance()
        write_reference(site / REFERENCE)
        advance()
    tutorials = [(f"{TUTORIALS}/{one.address}", one.title) for one in shipped_tutorials()]
    return write_index(shown, tutorials, changes, site / INDEX)


def _site(site: Path) -> Path:
    """The folder with its rooms, made where it is absent or empty, taken where it is a gallery's.

    Raises:
        RunError: if it holds anything else, of which nothing is touched.
    """
    rooms = (RUNS, SCENES, TUTORIALS, REFERENCE)
    try:
        present = {entry.name for entry in site.iterdir() if not entry.name.startswith(".")} if site.exists() else set()
        strange = present - {INDEX, *rooms}
        if INDEX in present and SCENES not in present:
            strange.add(INDEX)
        if strange:
            raise RunError(f"{site}: holds {min(strange)!r}, so it is no gallery; choose a folder of its own")
        for room in rooms:
            (site / room).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if isinstance(error, RunError):
            raise
        raise RunError(f"{site}: cannot be made ({error.strerror or error}); choose another folder") from None
    return site


def _prepared(scene: Scene, site: Path, device: str, advance: Advance) -> None:
    """Have the scene's run, and its thumbnails, which are younger than it."""
    run = _simulated(scene, site / RUNS / scene.name, device)
    folder = site / SCENES / scene.name
    still = folder / STILL
    if not still.is_file() or still.stat().st_mtime < (run.path / "run.json").stat().st_mtime:
        folder.mkdir(exist_ok=True)
        write_thumbnails(run, frames_of_run(run) if has_picture(run) else [], folder)
    advance()


def _simulated(scene: Scene, path: Path, device: str) -> Run:
    """The run that is there, if it is of the same scene, versions and device; else a new one in its place."""
    same = False
    if (path / "run.json").is_file():
        run = Run.open(path)
        made = {"versions": versions(), "device": describe(resolve_device(device))}
        same = run.scene_text == scene_text(scene) and {key: run.info.get(key) for key in made} == made
        if same and run.info.get("status") == "complete":
            return run
    return simulate(scene, path, device=device, force=not same)


def _shown(name: str, scene: Scene, changes: Sequence[str], site: Path) -> ShownScene:
    command = ["dimple", "simulate", name, *(word for change in changes for word in ("--set", change))]
    return ShownScene(
        run=Run.open(site / RUNS / scene.name),
        source=find_scene(name).read_text(encoding="utf-8"),
        dim=scene.manifold.dim,
        ambient_dim=scene.manifold.ambient_dim,
        command=shlex.join(command),
    )
