"""A headless Chromium, controlled through its DevTools pipe, without a port, a driver or a library."""

import base64
import itertools
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

PROGRAM = next((p for p in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if p), None)
needs_browser = pytest.mark.skipif(
    PROGRAM is None or sys.platform == "win32", reason="no Chromium: apt-get install chromium"
)
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--enable-unsafe-swiftshader", "--no-first-run",
    "--disable-extensions", "--disable-background-networking", "--hide-scrollbars", "--remote-debugging-pipe",
)  # fmt: skip
# Chromium reads commands from descriptor 3 and writes answers to descriptor 4.
LAUNCH = """
import os, sys
ends = [os.dup(int(number)) for number in sys.argv[1:3]]
for end, place in zip(ends, (3, 4)):
    os.dup2(end, place)
    os.set_inheritable(place, True)
os.execv(sys.argv[3], sys.argv[3:])
"""
# DevTools codes of the keys that are not letters.
CODES = {
    "Enter": 13,
    "Tab": 9,
    "ArrowLeft": 37,
    "ArrowUp": 38,
    "ArrowRight": 39,
    "ArrowDown": 40,
    "Home": 36,
    "End": 35,
    "Escape": 27,
    " ": 32,
}
SHIFT = 8


class Browser:
    """A browser with one page.

    Attributes:
        errors: errors of the console, and addresses of requests to the network.
    """

    def __init__(self, folder: Path, width: int = 1280, height: int = 800, flags: tuple[str, ...] = ()) -> None:
        assert PROGRAM is not None
        command_read, command_write = os.pipe()
        answer_read, answer_write = os.pipe()
        command = [PROGRAM, *FLAGS, *flags, f"--user-data-dir={folder}", "about:blank"]
        # The browser makes a socket among the temporary files, whose path may have a hundred letters.
        self._sockets = tempfile.TemporaryDirectory(prefix="b", ignore_cleanup_errors=True)
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-c", LAUNCH, str(command_read), str(answer_write), *command],
            pass_fds=(command_read, answer_write), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env=os.environ | {"TMPDIR": self._sockets.name},
        )  # fmt: skip
        os.close(command_read)
        os.close(answer_write)
        self._commands = command_write
        self._answers = answer_read
        self._numbers = itertools.count(1)
        self._received = b""
        self._session = ""
        self.errors: list[str] = []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")
        self.resize(width, height)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._commands)
        self._process.terminate()
        self._process.wait()
        os.close(self._answers)
        self._sockets.cleanup()

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command, wait for its answer and return the result."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read_message()
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer.get("result", {})

    def _read_message(self, limit: float = 60.0) -> dict[str, Any]:
        while b"\0" not in self._received:
            ready, _, _ = select.select([self._answers], [], [], limit)
            chunk = os.read(self._answers, 1 << 20) if ready else b""
            assert chunk, f"the browser sent nothing for {limit:g} s"
            self._received += chunk
        first, _, self._received = self._received.partition(b"\0")
        message: dict[str, Any] = json.loads(first)
        self._collect_errors(message)
        return message

    def _collect_errors(self, message: dict[str, Any]) -> None:
        parameters = message.get("params", {})
        match message.get("method"):
            case "Runtime.exceptionThrown":
                self.errors.append(json.dumps(parameters["exceptionDetails"]))
            case "Runtime.consoleAPICalled" if parameters["type"] in ("error", "assert"):
                self.errors.append(json.dumps(parameters["args"]))
            # Only errors: the graphics driver warns that a screenshot makes it wait.
            case "Log.entryAdded" if parameters["entry"]["level"] == "error":
                self.errors.append(parameters["entry"]["text"])
            case "Network.requestWillBeSent" if not parameters["request"]["url"].startswith(
                ("file:", "about:", "data:", "blob:")
            ):
                self.errors.append("requested from the network: " + parameters["request"]["url"])

    def resize(self, width: int, height: int, scale: float = 1.0, mobile: bool = False) -> None:
        """Set the size of the page, and the number of screen pixels for one pixel of the page."""
        self.ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=mobile
        )

    def open(self, path: Path, fragment: str = "", ready: str = "document.documentElement?.dataset.ready") -> None:
        """Load a page from disk, even if it is already open, and wait until the expression `ready` is true."""
        self.ask("Page.navigate", url="about:blank")
        # A page that listens to its own unloading is left late, and a second navigation before that is never answered.
        self.wait("location.protocol === 'about:'")
        self.ask("Page.navigate", url=path.as_uri() + (f"#{fragment}" if fragment else ""))
        self.wait(ready)

    def show_as(self, media: str, scheme: str) -> None:
        """Set the medium, `screen` or `print`, and the preferred color scheme, `light` or `dark`."""
        self.ask(
            "Emulation.setEmulatedMedia", media=media, features=[{"name": "prefers-color-scheme", "value": scheme}]
        )

    def run(self, script: str) -> Any:
        """Evaluate an expression in the page and return its value; wait for the value of a promise."""
        answer = self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, condition: str, limit: float = 60.0) -> None:
        """Wait until an expression is true, at most `limit` seconds."""
        end = time.monotonic() + limit
        while not self.run(f"Boolean({condition})"):
            assert time.monotonic() < end, f"did not become true: {condition}; {self.errors}"
            time.sleep(0.02)

    def settle(self) -> None:
        """Wait until the page is painted."""
        self.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def key(self, key: str, modifiers: int = 0) -> None:
        """Press and release a key."""
        code = CODES.get(key, ord(key[0].upper()))
        text = {"text": "\r" if key == "Enter" else key} if len(key) == 1 or key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self.ask(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                windowsVirtualKeyCode=code,
                modifiers=modifiers,
                **(text if kind == "keyDown" else {}),
            )
        self.settle()

    def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        """Send an event of the mouse at (x, y)."""
        self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Drag the mouse with the left button pressed."""
        self.mouse("mousePressed", *start, button="left", buttons=1, clickCount=1)
        self.mouse("mouseMoved", *end, button="left", buttons=1)
        self.mouse("mouseReleased", *end, button="left", clickCount=1)
        self.settle()

    def pdf(self) -> bytes:
        """Return the printed page as PDF."""
        return base64.b64decode(self.ask("Page.printToPDF", printBackground=True)["data"])

    def touch(self, *moments: tuple[tuple[float, float], ...]) -> None:
        """Touch the screen with fingers at the positions of each moment in turn, then lift all fingers."""
        for moment, fingers in enumerate(moments):
            points = [{"x": x, "y": y, "id": finger} for finger, (x, y) in enumerate(fingers)]
            self.ask("Input.dispatchTouchEvent", type="touchMove" if moment else "touchStart", touchPoints=points)
        self.ask("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
        self.settle()

    def picture(self) -> bytes:
        """Return a screenshot as PNG."""
        return base64.b64decode(self.ask("Page.captureScreenshot", format="png")["data"])
