"""What the server answers, whoever asks: few addresses, small requests, nothing for other pages."""

import asyncio

import pytest

from latentgeo.eval.studio.service.guard import MOST_BYTES, Guard


def ask(path, method="GET", host="127.0.0.1:7860", served="127.0.0.1", **headers):
    """Return the status and the headers of the answer; behind the guard all is there."""

    async def behind(scope, receive, send):
        head = [(b"content-type", b"text/html"), (b"cache-control", b"public")]
        await send({"type": "http.response.start", "status": 200, "headers": head})

    found = []

    async def send(message):
        found.append(message)

    names = {"host": host, **{key.replace("_", "-"): value for key, value in headers.items()}}
    pairs = [(key.encode(), value.encode()) for key, value in names.items()]
    scope = {"type": "http", "path": path, "method": method, "headers": pairs}
    asyncio.run(Guard(behind, served)(scope, None, send))
    return found[0]["status"], dict(found[0]["headers"])


@pytest.mark.parametrize("path", ["/", "/config", "/assets/index-a1_.js", "/equations"])
def test_what_the_page_needs_is_there(path):
    status, headers = ask(path)
    assert status == 200
    assert headers[b"content-security-policy"].startswith(b"default-src 'self'")
    assert headers[b"cache-control"] == b"no-store"


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/file=../../etc/passwd",
        "/gradio_api/file/etc/passwd",
        "/file=/etc/passwd",
        "/gradio_api/proxy=http://example.com/",
        "/gradio_api/upload",
        "/gradio_api/stream/a/0/1/playlist.m3u8",
        "/gradio_api/call/run",
        "/gradio_api/run/predict",
        "/assets/../../../etc/passwd",
        "/assets/.%2e/etc/passwd",
        "/static/..",
        "/custom_component/a/b/c/d.py",
        "/monitoring",
        "/gradio_api/component_server",
        "/login",
    ],
)
def test_what_it_does_not_need_is_not(path):
    assert ask(path)[0] == 404


def test_requests_are_small():
    post = {"path": "/gradio_api/queue/join", "method": "POST"}
    assert ask(**post, content_length="100")[0] == 200
    assert ask(**post, content_length=str(MOST_BYTES + 1))[0] == 413
    assert ask(**post)[0] == 413  # a length that is not said


def test_other_pages_and_other_names_are_refused():
    """A page of another site that asks, and one whose name was made to lead here."""
    assert ask("/", origin="http://127.0.0.1:7860")[0] == 200
    assert ask("/", origin="http://evil.example")[0] == 403
    assert ask("/", host="evil.example:7860")[0] == 403
    assert ask("/", host="localhost:7860")[0] == ask("/", host="[::1]:7860")[0] == 200
    assert ask("/", host="office:7860", served="0.0.0.0")[0] == 200
