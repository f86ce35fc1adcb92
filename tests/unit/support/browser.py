"""A real browser: Debian's Chromium without a window, told what to do through a pipe (Chrome DevTools Protocol).

Whatever the page does by itself is waited for in the page: ``until`` is a promise there, so no test sleeps or looks again and
again.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import machine

_WORDS = (
    "--headless=new",
    "--no-sandbox",  # root has no sandbox; nothing but our own page is opened
    "--remote-debugging-pipe",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
    "--password-store=basic",
    "--force-color-profile=srgb",
    "--hide-scrollbars",
    "--proxy-server=direct://",
)
_UNTIL = """new Promise((resolve) => {
  const look = () => { const found = (CONDITION); if (found) resolve(found); return found; };
  if (!look()) {
    const seen = new MutationObserver(() => { if (look()) seen.disconnect(); });
    seen.observe(document, { subtree: true, childList: true, characterData: true, attributes: true });
  }
})"""


class Browser:
    """One process with one page. ``errors``: what scripts and the page's policy complained of. A script that fails is an
    AssertionError at once."""

    def __init__(self, to: int, back: int) -> None:
        self._to, self._back = to, back
        self._rest = b""
        self._number = 0
        self._session = ""
        self._events: list[dict[str, Any]] = []
        self.errors: list[str] = []
        target = self.tell("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.tell("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.tell(f"{domain}.enable")

    def tell(self, method: str, **params: Any) -> dict[str, Any]:
        """One command, and its answer."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            said = self._next()
            if said.get("id") == self._number:
                assert "error" not in said, said["error"]
                found: dict[str, Any] = said["result"]
                return found
            self._note(said)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            more = os.read(self._back, 1 << 16)
            assert more, "the browser has ended"
            self._rest += more
        text, _, self._rest = self._rest.partition(b"\0")
        said: dict[str, Any] = json.loads(text)
        return said

    def _note(self, said: dict[str, Any]) -> None:
        self._events.append(said)
        params = said.get("params", {})
        if said.get("method") == "Runtime.exceptionThrown":
            # what is waited for may never come then
            raise AssertionError(f"a script of the page has failed: {json.dumps(params['exceptionDetails'])}")
        if said.get("method") == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.errors.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")

    def open(self, address: str) -> None:
        """Go there, and wait until the document is loaded."""
        self._events.clear()
        said = self.tell("Page.navigate", url=address)
        assert "errorText" not in said, said
        while not any(one.get("method") == "Page.loadEventFired" for one in self._events):
            self._note(self._next())

    def value(self, script: str) -> Any:
        """What an expression is in the page; of a promise, what becomes of it."""
        said = self.tell("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in said, said["exceptionDetails"]
        return said["result"].get("value")

    def until(self, condition: str) -> Any:
        """Wait until an expression is true of the page, which changes when anything in the document does."""
        return self.value(_UNTIL.replace("CONDITION", condition))

    def text(self, selector: str) -> str:
        return str(self.value(f"document.querySelector({json.dumps(selector)}).innerText"))

    def press(self, *keys: str) -> None:
        """Keys as somebody presses them: ``Tab``, ``Enter``, ``Space``, or a letter."""
        codes = {"Tab": 9, "Enter": 13, "Space": 32}
        for key in keys:
            known = {
                "key": {"Space": " "}.get(key, key),
                "code": key,
                "windowsVirtualKeyCode": codes.get(key, ord(key[0])),
            }
            text = {"Enter": "\r", "Space": " ", "Tab": ""}.get(key, key)
            kind = "keyDown" if text else "rawKeyDown"
            self.tell("Input.dispatchKeyEvent", type=kind, **known, **({"text": text} if text else {}))
            self.tell("Input.dispatchKeyEvent", type="keyUp", **known)

    def show(self, width: int, height: int, scheme: str = "light") -> None:
        """The size of the window, and what the user prefers."""
        self.tell("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.tell("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def picture(self) -> bytes:
        """PNG of what the window shows."""
        return b64decode(self.tell("Page.captureScreenshot", format="png", optimizeForSpeed=False)["data"])


@contextmanager
def browser() -> Iterator[Browser]:
    """A new one, with a home that is removed afterwards."""
    machine.need("bash", "chromium")
    to_read, to_write = os.pipe()
    back_read, back_write = os.pipe()
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as home:
        # bash: dash knows no descriptor above 9
        script = f'exec "$0" "$@" 3<&{to_read} 4>&{back_write}'
        words = ["bash", "-c", script, "chromium", *_WORDS, f"--user-data-dir={home}/data", "about:blank"]
        process = subprocess.Popen(
            words,
            pass_fds=(to_read, back_write),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={"PATH": os.environ["PATH"], "HOME": home, "LC_ALL": "C.UTF-8"},
        )
        os.close(to_read)
        os.close(back_write)
        try:
            yield Browser(to_write, back_read)
        finally:
            os.close(to_write)  # it ends when nobody can tell it anything any more
            process.terminate()
            process.wait()
            os.close(back_read)
