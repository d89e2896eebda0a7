"""A program that opens a run in napari, prints facts about the window as JSON, and closes it.

python -m tests.views.napari_session verb|command|drop RUN SCREENSHOT

Qt catches exceptions in its event loop and napari only reports them, so after an error the window would stay open for
ever. Therefore an error ends the process, and so does a time limit.
"""

import faulthandler
import functools
import json
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any

import napari  # noqa: TID253 (a program of its own, which only napari's tests start)
from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QThread, QTimer, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QApplication, QDialog

from dimple.experiment import open_in_napari
from dimple.experiment.outputs import napari as napari_reader
from dimple.views.napari import window as napari_window

# Shorter than the time limit of the tests that start this program, so that the traceback reaches them.
MAX_SECONDS = 240


def exit_on_error(function: Callable[..., None]) -> Callable[..., None]:
    """Return a function that prints the traceback of an error and ends the process."""

    @functools.wraps(function)
    def wrapper(*arguments: Any) -> None:
        try:
            function(*arguments)
        except BaseException:
            traceback.print_exc()
            os._exit(1)

    return wrapper


def report(screenshot: str) -> None:
    """Print facts about the current viewer at its present and its first slider position, and close it."""
    viewer = napari.current_viewer()
    viewer.screenshot(screenshot, flash=False)
    with_contrast = [layer.name for layer in viewer.layers if hasattr(layer, "contrast_limits")]
    facts: dict[str, Any] = {
        "layers": {layer.name: [type(layer).__name__, list(layer.axis_labels)] for layer in viewer.layers},
        "data": {layer.name: type(layer.data).__name__ for layer in viewer.layers},
        "sizes": {layer.name: list(layer.extent.world[1] - layer.extent.world[0]) for layer in viewer.layers},
        "labels": list(viewer.dims.axis_labels),
        "ndisplay": viewer.dims.ndisplay,
        "index": viewer.dims.current_step[0],
        "caption": viewer.canvas.overlays.text.text,
        "color bars": [layer.name for layer in viewer.layers if hasattr(layer, "colorbar") and layer.colorbar.visible],
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
    viewer.screenshot(screenshot.replace(".png", "-first.png"), flash=False)
    viewer.layers[with_contrast[-1]].contrast_limits = (-0.125, 0.125)
    facts["linked"] = [name for name in with_contrast if list(viewer.layers[name].contrast_limits) == [-0.125, 0.125]]
    print(json.dumps(facts))
    viewer.close()


def report_after(apply_layout: Callable[..., None], screenshot: str) -> Callable[..., None]:
    """Return `apply_layout` with a call of `report` as soon as the event loop of napari runs."""

    @exit_on_error
    def wait_and_report() -> None:
        # While napari opens files it processes events, but no event loop runs yet.
        if QThread.currentThread().loopLevel() == 0:
            QTimer.singleShot(50, wait_and_report)
        else:
            report(screenshot)

    @exit_on_error
    def apply_and_report(*arguments: Any) -> None:
        apply_layout(*arguments)
        QTimer.singleShot(50, wait_and_report)

    return apply_and_report


def drop(path: str) -> None:
    """Drop a file on an empty viewer."""
    viewer = napari.Viewer()
    (target,) = (widget for widget in QApplication.allWidgets() if type(widget).__name__ == "QtViewer")
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(path)])
    arguments = (Qt.DropAction.CopyAction, data, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier)
    QApplication.sendEvent(target, QDragEnterEvent(QPoint(9, 9), *arguments))
    QApplication.sendEvent(target, QDropEvent(QPointF(9, 9), *arguments))
    if not viewer.layers:
        sys.exit("nothing was opened")
    napari.run()


if __name__ == "__main__":
    method, run, out = sys.argv[1:]
    faulthandler.dump_traceback_later(MAX_SECONDS, exit=True)
    napari_window.apply_layout = napari_reader.apply_layout = report_after(napari_window.apply_layout, out)
    if method == "verb":
        open_in_napari(run)
    elif method == "command":
        from napari.__main__ import main

        sys.argv = ["napari", run]
        main()
    else:
        drop(run)
