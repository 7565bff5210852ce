"""A real browser, spoken to by its own protocol: no driver to install."""

import asyncio
import itertools
import json
import shutil
import subprocess
import time
from contextlib import contextmanager
from urllib.request import urlopen

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)


class Page:
    """One page, in which expressions can be evaluated."""

    def __init__(self, address):
        self._address = address
        self._ids = itertools.count(1)

    def __call__(self, expression):
        """The value of a JavaScript expression, as the developer tools would give it."""
        return asyncio.run(
            self._ask("Runtime.evaluate", expression=expression, returnByValue=True)
        )["result"].get("value")

    async def _ask(self, method, **params):
        from tornado.websocket import websocket_connect

        socket = await websocket_connect(self._address, max_message_size=2**26)
        number = next(self._ids)
        await socket.write_message(json.dumps({"id": number, "method": method, "params": params}))
        while (answer := json.loads(await socket.read_message())).get("id") != number:
            pass
        socket.close()
        assert "exceptionDetails" not in answer["result"], answer
        return answer["result"]


@contextmanager
def opened(path, profile):
    """Open a file in a browser without a window."""
    process = subprocess.Popen(
        [
            BROWSER,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--remote-debugging-port=0",
            f"--user-data-dir={profile}",
            path.as_uri(),
        ],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        line = next(line for line in process.stderr if "DevTools listening on" in line)
        port = line.split("127.0.0.1:")[1].split("/")[0]
        with urlopen(f"http://127.0.0.1:{port}/json") as answer:
            (target,) = [t for t in json.load(answer) if t["type"] == "page"]
        page = Page(target["webSocketDebuggerUrl"])
        # The browser begins with an empty page.
        while page("location.protocol + document.readyState") != "file:complete":
            time.sleep(0.1)
        yield page
    finally:
        process.kill()
        process.wait()
