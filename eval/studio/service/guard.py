"""What stands before the page's server: few addresses, small requests, and nothing from elsewhere.

Gradio can serve files, proxy addresses, take uploads and be called by programs. The page needs none
of that: its images are inside it. So what is not on the list is not there, whoever asks. A policy
in every answer keeps the browser from any address but this one.
"""

import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

SERVED = re.compile(
    r"/|/equations|/config|/theme\.css|/favicon\.ico|/(assets|static)/[\w@./-]+|/svelte/[\w./-]+|"
    r"/gradio_api/(queue/(join|data)|heartbeat/\w+|startup-events|theme\.css|app_id|info|reset)"
)
MOST_BYTES = 64 * 2**20  # of a request: two images and a mask, in base64
LOCAL = ("127.0.0.1", "localhost", "::1")
HEADERS = {
    "content-security-policy": "default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; "
    "object-src 'none'; base-uri 'self'; form-action 'none'; frame-ancestors 'self'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


class Guard:
    """An ASGI application before another."""

    def __init__(self, app: App, host: str) -> None:
        self.app, self.local = app, host in LOCAL

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is served, and answer the rest."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        refused = self.refused(scope)
        if refused:
            await answer(send, *refused)
            return

        async def guarded(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                kept = [pair for pair in message["headers"] if pair[0].decode() not in HEADERS]
                own = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message = {**message, "headers": [*kept, *own]}
            await send(message)

        await self.app(scope, receive, guarded)

    def refused(self, scope: Scope) -> tuple[int, str] | None:
        """Return the status and the words with which a request is refused, None if it is not."""
        names = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        host, origin = names.get("host", ""), names.get("origin")
        path = scope["path"]
        if scope["type"] != "http" or not SERVED.fullmatch(path) or ".." in path:
            return 404, "not here"
        if self.local and urlsplit(f"//{host}").hostname not in LOCAL:
            return 403, "asked for under another name"
        if origin is not None and urlsplit(origin).netloc != host:
            return 403, "asked for by another page"
        length = names.get("content-length", "0" if scope["method"] != "POST" else "")
        if not length.isdigit() or int(length) > MOST_BYTES:
            return 413, f"wanted at most {MOST_BYTES} bytes"
        return None


async def answer(send: Send, status: int, words: str) -> None:
    """Send a few words."""
    head = [(b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": words.encode()})
