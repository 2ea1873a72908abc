"""Headless Chromium, spoken to over its pipe: no driver, no port."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

ROOT = Path(__file__).parents[2]
_NAMES = ("chromium", "chromium-browser", "google-chrome")


def chromium() -> str | None:
    """Where Chromium is; None if there is none. CHROMIUM names another."""
    named = os.environ.get("CHROMIUM")
    return named or next((found for name in _NAMES if (found := shutil.which(name))), None)


def axe() -> Path | None:
    """Where axe-core's script is; None if it is not installed."""
    places = [str(ROOT / "node_modules"), *os.environ.get("NODE_PATH", "").split(os.pathsep)]
    return next((file for each in places if each and (file := Path(each) / "axe-core" / "axe.min.js").exists()), None)


class Browser:
    """One page of a headless Chromium. ``complaints``: what the console said, and exceptions."""

    def __init__(self, program: str, profile: Path, *options: str) -> None:
        self.complaints: list[str] = []
        self.loaded: list[str] = []
        commands, self._write = os.pipe()
        self._read, answers = os.pipe()
        flags = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--remote-debugging-pipe",
        ]
        line = [program, *flags, f"--user-data-dir={profile}", *options, "about:blank"]
        # Chromium reads commands from descriptor 3 and answers on 4, wherever they were before.
        self._process = subprocess.Popen(
            ["bash", "-c", f'exec 103<&{commands} 104>&{answers} 3<&103 4>&104; exec "$@"', "bash", *line],
            pass_fds=(commands, answers),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(commands)
        os.close(answers)
        self._left, self._number, self._session = b"", 0, ""
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._ask(f"{domain}.enable")

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._read)
        os.close(self._write)

    def open(self, file: Path) -> None:
        """Open a page and wait until it has loaded."""
        self._ask("Page.navigate", url=file.as_uri())
        self.run(
            "new Promise(done => document.readyState === 'complete' ? done() : addEventListener('load', () => done()))"
        )

    def dark(self) -> None:
        """From now on, the page is shown to somebody who prefers dark."""
        self._ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])

    def run(self, script: str) -> Any:
        """The value of an expression; of a promise, what it ends with."""
        answer = self._ask("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def picture(self) -> str:
        """What the window shows, as PNG in base64."""
        picture: str = self._ask("Page.captureScreenshot", format="png")["data"]
        return picture

    def press(self, *keys: str) -> None:
        """Press and release keys, one after the other."""
        for key in keys:
            text = {"text": "\r"} if key == "Enter" else {}
            code = {"Tab": 9, "Enter": 13}.get(key, 0)
            for kind in ("keyDown", "keyUp"):
                self._ask("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **text)

    def _ask(self, method: str, **params: Any) -> Any:
        self._number += 1
        session = {"sessionId": self._session} if self._session else {}
        message = {"id": self._number, "method": method, "params": params, **session}
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            said = self._next()
            if said.get("id") == self._number:
                assert "error" not in said, said["error"]
                return said["result"]
            self._note(said.get("method", ""), said.get("params", {}))

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._left:
            more = os.read(self._read, 1 << 16)
            assert more, "Chromium has ended"
            self._left += more
        line, _, self._left = self._left.partition(b"\0")
        said: dict[str, Any] = json.loads(line)
        return said

    def _note(self, event: str, params: dict[str, Any]) -> None:
        if event in {"Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"}:
            self.complaints.append(json.dumps(params))
        elif event == "Network.requestWillBeSent":
            self.loaded.append(params["request"]["url"])


def ids(found: Sequence[dict[str, Any]]) -> list[str]:
    """What axe found, in short."""
    return [f"{each['id']} ({each['impact']}): {each['nodes'][0]['html'][:120]}" for each in found]
