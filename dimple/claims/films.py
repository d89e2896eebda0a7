"""Films of the scenes behind the claims, as runs in the folder of the claims."""

from pathlib import Path

from dimple.claims.runner import JudgedClaims
from dimple.experiment import Run, simulate
from dimple.scene import load_scene
from dimple.workers import Workers

FOLDER = "films"


def find_finished(path: Path) -> Run | None:
    """Return the finished run in a folder, or None."""
    if not (path / "run.json").exists():
        return None
    run = Run.open(path)
    return run if run.info.get("status") == "complete" else None


def simulate_scenes(claims: JudgedClaims, out: Path, workers: Workers) -> dict[str, str]:
    """Simulate each scene that a judged claim was run on, and return its page, relative to the folder of the claims.

    A scene that is there already is not simulated again. Scenes of data that are not always at hand are left out.

    Args:
        claims: the verdicts.
        out: the folder of the claims.
        workers: the processes that measure and draw.
    """
    names = dict.fromkeys(name for one in claims.leaves if one.rows for name in one.experiment.scenes)
    pages = {}
    for name in names:
        scene = load_scene(name)
        if scene.data.dataset not in ("", "digits"):
            continue
        run = find_finished(out / FOLDER / name) or simulate(scene, out / FOLDER / name, workers=workers)
        page = "page.html" if (run.path / "page.html").exists() else "report.html"
        pages[name] = f"{FOLDER}/{name}/{page}"
    return pages
