"""A page in headless Chromium, driven with the DevTools protocol over a pipe: no driver, no WebSocket."""

from __future__ import annotations

import base64
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.registry import program

# Chromium reads commands from descriptor 3 and writes to 4; subprocess may use these numbers itself during startup.
_STARTER = """\
import fcntl, os, sys
ours = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 64) for number in sys.argv[1:3]]
os.dup2(ours[0], 3)
os.dup2(ours[1], 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
_FLAGS = (
    "--headless",
    "--no-sandbox",  # tests can run as root
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
)
_TIME = 60.0
_MAX_HEIGHT = 4000


class Browser:
    """One tab. `errors` collects errors, warnings and exceptions from the console and the log."""

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._write, self._read = to_browser, from_browser
        self._received = b""
        self._number = 0
        self._session: str | None = None
        self._events: list[dict[str, Any]] = []
        self.errors: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Run a protocol command and return its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer)
                result: dict[str, Any] = answer["result"]
                return result

    def open(self, url: str) -> int:
        """Load a page completely. Returns its status."""
        self._events.clear()
        failure = self.call("Page.navigate", url=url).get("errorText")
        assert failure is None, (url, failure)
        while not any(event["method"] == "Page.loadEventFired" for event in self._events):
            self._next()
        answers = [event["params"] for event in self._events if event["method"] == "Network.responseReceived"]
        status: int = next(one["response"]["status"] for one in answers if one["type"] == "Document")
        return status

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression in the page.

        The page's own policy does not apply to the protocol.
        """
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def emulate_screen(self, *, width: int, dark: bool, height: int = 900) -> None:
        """Emulate a screen of this width with a dark or light color scheme."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
        )
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", features=scheme)

    def screenshot(self) -> bytes:
        """Return the page as PNG; a long page is cut off."""
        width, height = self.evaluate("[document.documentElement.clientWidth, document.documentElement.scrollHeight]")
        clip = {"x": 0, "y": 0, "width": width, "height": min(height, _MAX_HEIGHT), "scale": 1}
        return base64.b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)["data"])

    def _next(self) -> dict[str, Any]:
        deadline = time.monotonic() + _TIME
        while b"\0" not in self._received:
            ready, _, _ = select.select([self._read], [], [], max(0, deadline - time.monotonic()))
            data = os.read(self._read, 1 << 20) if ready else b""
            assert data, "Chromium says nothing more"
            self._received += data
        line, _, self._received = self._received.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        if "method" in message:
            self._note(message)
        return message

    def _note(self, event: dict[str, Any]) -> None:
        self._events.append(event)
        parameters = event["params"]
        match event["method"]:
            case "Log.entryAdded" if parameters["entry"]["level"] in ("error", "warning"):
                self.errors.append(parameters["entry"]["text"])
            case "Runtime.consoleAPICalled" if parameters["type"] in ("error", "warning", "assert"):
                self.errors.append(str(parameters["args"]))
            case "Runtime.exceptionThrown":
                self.errors.append(str(parameters["exceptionDetails"]))


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start a browser with an empty profile; it is closed when the block ends."""
    binary = program("chromium", "chromium")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        commands, to_browser = os.pipe()
        from_browser, answers = os.pipe()
        starter = [sys.executable, "-c", _STARTER, str(commands), str(answers)]
        process = subprocess.Popen(
            [*starter, binary, *_FLAGS, f"--user-data-dir={profile}"],
            pass_fds=(commands, answers),
            env={"PATH": os.environ["PATH"], "HOME": profile, "LANG": "C.UTF-8"},
            stderr=subprocess.DEVNULL,
        )
        os.close(commands)
        os.close(answers)
        try:
            yield Browser(to_browser, from_browser)
        finally:
            os.close(to_browser)  # it ends by itself after that
            os.close(from_browser)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
