"""A program that opens a run in napari, one way or another, tells what is in the window, and closes it.

python -m tests.views.napari_session verb|command|drop RUN PICTURE
"""

import json
import sys
from collections.abc import Callable
from typing import Any

import napari  # noqa: TID253 (a program of its own, which only napari's tests start)
from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QThread, QTimer, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QApplication, QDialog

from dimple.experiment import napari as verb
from dimple.experiment.outputs import napari as napari_reader
from dimple.views.napari import window as napari_window


def tell(picture: str) -> None:
    """Look at the viewer in front, move its slider to the first place, and close it."""
    viewer = napari.current_viewer()
    viewer.screenshot(picture, flash=False)
    changed = [layer.name for layer in viewer.layers if hasattr(layer, "contrast_limits")]
    facts: dict[str, Any] = {
        "layers": {layer.name: [type(layer).__name__, list(layer.axis_labels)] for layer in viewer.layers},
        "data": {layer.name: type(layer.data).__name__ for layer in viewer.layers},
        "sizes": {layer.name: list(layer.extent.world[1] - layer.extent.world[0]) for layer in viewer.layers},
        "labels": list(viewer.dims.axis_labels),
        "ndisplay": viewer.dims.ndisplay,
        "place": viewer.dims.current_step[0],
        "caption": viewer.canvas.overlays.text.text,
        "legend": [layer.name for layer in viewer.layers if hasattr(layer, "colorbar") and layer.colorbar.visible],
        "grid": viewer.canvas.grid.enabled,
        "active": viewer.layers.selection.active.name,
        "features": list(getattr(viewer.layers.selection.active, "features", [])),
        "dialogs": [
            w.windowTitle() for w in QApplication.topLevelWidgets() if isinstance(w, QDialog) and w.isVisible()
        ],
    }
    viewer.dims.set_current_step(0, 0)
    QApplication.processEvents()
    facts["first caption"] = viewer.canvas.overlays.text.text
    viewer.screenshot(picture.replace(".png", "-first.png"), flash=False)
    viewer.layers[changed[-1]].contrast_limits = (-0.125, 0.125)
    facts["linked"] = [name for name in changed if list(viewer.layers[name].contrast_limits) == [-0.125, 0.125]]
    print(json.dumps(facts))
    viewer.close()


def then_tell(arrange: Callable[..., None], picture: str) -> Callable[..., None]:
    """`arrange`, and as soon as napari waits for its user a look at what came of it."""

    def look() -> None:
        # While files are opened napari lets events pass, but no loop runs yet.
        if QThread.currentThread().loopLevel() == 0:
            QTimer.singleShot(50, look)
        else:
            tell(picture)

    def both(*arguments: Any) -> None:
        arrange(*arguments)
        QTimer.singleShot(50, look)

    return both


def drop(path: str) -> None:
    """Let a file fall on an empty viewer."""
    viewer = napari.Viewer()
    (target,) = (widget for widget in QApplication.allWidgets() if type(widget).__name__ == "QtViewer")
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(path)])
    how = Qt.DropAction.CopyAction, data, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    QApplication.sendEvent(target, QDragEnterEvent(QPoint(9, 9), *how))
    QApplication.sendEvent(target, QDropEvent(QPointF(9, 9), *how))
    if not viewer.layers:
        sys.exit("nothing was opened")
    napari.run()


if __name__ == "__main__":
    way, run, out = sys.argv[1:]
    napari_window.arrange = napari_reader.arrange = then_tell(napari_window.arrange, out)
    if way == "verb":
        verb(run)
    elif way == "command":
        from napari.__main__ import main

        sys.argv = ["napari", run]
        main()
    else:
        drop(run)
