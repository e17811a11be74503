"""Chromium without a window, spoken to over a pipe by its DevTools protocol: enough to look at pages."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Final, Self

__all__ = ["Browser", "Tab", "find_chromium"]

_NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "chrome")
_FLAGS: Final = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"),
    *("--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--remote-debugging-pipe"),
)
_CODES: Final = {"ArrowRight": 39, "ArrowLeft": 37, "Escape": 27}

_PATIENCE: Final = 60
"""Seconds to wait for an answer."""


def find_chromium() -> str | None:
    """Give the path of a browser; None when there is none."""
    return next((path for name in _NAMES if (path := shutil.which(name))), None)


class Browser:
    """A browser with a profile of its own; a context manager."""

    def __init__(self, program: str) -> None:
        self._profile = tempfile.mkdtemp(prefix="pages-")
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        command = f'exec "$0" "$@" 3<&{theirs_in} 4>&{theirs_out}'
        self._process = subprocess.Popen(
            ["bash", "-c", command, program, *_FLAGS, f"--user-data-dir={self._profile}"],
            pass_fds=(theirs_in, theirs_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._buffer = b""
        self._number = 0
        self.events: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._out)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._in)
        shutil.rmtree(self._profile, ignore_errors=True)

    def send(self, method: str, session: str | None = None, **params: object) -> dict[str, Any]:
        """Ask for something and wait for the answer; events that come before it are kept."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            told = self._receive()
            if told.get("id") == self._number:
                assert "error" not in told, (method, told)
                result: dict[str, Any] = told["result"]
                return result
            self.events.append(told)

    def wait(self, method: str) -> None:
        """Wait for an event that has not come yet."""
        while True:
            told = self._receive()
            self.events.append(told)
            if told.get("method") == method:
                return

    def _receive(self) -> dict[str, Any]:
        deadline = time.monotonic() + _PATIENCE
        while b"\0" not in self._buffer:
            assert time.monotonic() < deadline, "the browser does not answer"
            part = os.read(self._in, 1 << 20)
            assert part, "the browser has ended"
            self._buffer += part
        line, _, self._buffer = self._buffer.partition(b"\0")
        told: dict[str, Any] = json.loads(line)
        return told


class Tab:
    """A page in a browser, at a width, in light or dark; `problems` is what the browser complained of."""

    def __init__(self, browser: Browser, page: Path, *, width: int = 1280, dark: bool = False) -> None:
        self._browser = browser
        target = browser.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = browser.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])
        self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False
        )
        browser.events.clear()
        self.send("Page.navigate", url=page.resolve().as_uri())
        if not any(event.get("method") == "Page.loadEventFired" for event in browser.events):
            browser.wait("Page.loadEventFired")

    def send(self, method: str, **params: object) -> dict[str, Any]:
        """Ask this page for something."""
        return self._browser.send(method, self._session, **params)

    def run(self, script: str) -> Any:
        """Evaluate an expression and give its value."""
        told = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    def press(self, key: str) -> None:
        """Press a key: a character, or a name such as `ArrowRight`."""
        code = _CODES.get(key, ord(key[0].upper()))
        text = {"text": key} if len(key) == 1 else {}
        self.send("Input.dispatchKeyEvent", type="keyDown", key=key, windowsVirtualKeyCode=code, **text)
        self.send("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)

    def click(self, selector: str, *, only_hover: bool = False) -> None:
        """Bring an element into view, move the mouse to its middle and click it."""
        self.run(f"document.querySelector({json.dumps(selector)}).scrollIntoView({{block: 'center'}})")
        x, y = self.run(
            f"(() => {{ const r = document.querySelector({json.dumps(selector)}).getBoundingClientRect();"
            " return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        self.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        if only_hover:
            return
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    @property
    def problems(self) -> list[str]:
        """What was logged or thrown, and every address that was asked for but the page's own."""
        self.run("0")
        told = []
        for event in self._browser.events:
            params = event.get("params", {})
            if event.get("method") == "Log.entryAdded":
                told.append(str(params["entry"]["text"]))
            if event.get("method") == "Runtime.exceptionThrown":
                told.append(str(params["exceptionDetails"]))
            if event.get("method") == "Network.requestWillBeSent":
                told.append(params["request"]["url"])
        own = self.run("location.href.split('#')[0]")
        return [text for text in told if text != own and not text.startswith("data:image/jpeg")]

    def screenshot(self, path: Path) -> None:
        """Save the whole page as a PNG."""
        size = self.send("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], 6000), "scale": 1}
        png = self.send("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)["data"]
        path.write_bytes(base64.b64decode(png))
