"""Films of the scenes behind the claims, as runs in the folder of the claims."""

from pathlib import Path

from dimple.claims.runner import JudgedClaims
from dimple.experiment import simulate
from dimple.scene import load_scene
from dimple.workers import Workers

FOLDER = "films"


def simulate_scenes(claims: JudgedClaims, out: Path, workers: Workers) -> dict[str, str]:
    """Simulate each scene that a judged claim was run on, and return its page, relative to the folder of the claims.

    A scene that is there already is not simulated again.

    Args:
        claims: the verdicts.
        out: the folder of the claims.
        workers: the processes that measure and draw.
    """
    names = dict.fromkeys(name for one in claims.leaves if one.rows for name in one.experiment.scenes)
    pages = {}
    for name in names:
        run = simulate(load_scene(name), out / FOLDER / name, workers=workers)
        page = "page.html" if (run.path / "page.html").exists() else "report.html"
        pages[name] = f"{FOLDER}/{name}/{page}"
    return pages
