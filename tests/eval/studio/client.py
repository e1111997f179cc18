"""What a browser says to the page's server, without a browser."""

import json
import urllib.request
from typing import Any


def opened(url: str, body: object = None) -> Any:
    """Return the answer to a GET, or to a POST of JSON."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"})
    return urllib.request.urlopen(request, timeout=120)


def function_of(url: str, button: str) -> int:
    """Return the number of what a button starts."""
    config = json.load(opened(f"{url}/config"))
    (own,) = [one["id"] for one in config["components"] if one["props"].get("elem_id") == button]
    found = [one["id"] for one in config["dependencies"] if [own, "click"] in one["targets"]]
    return int(found[0])


def press(url: str, function: int, session: str, values: list[object]) -> list[Any]:
    """Start what a button starts and return the last state of its outputs."""
    body = {"data": values, "fn_index": function, "session_hash": session}
    opened(f"{url}/gradio_api/queue/join", body).read()
    last: list[Any] = []
    with opened(f"{url}/gradio_api/queue/data?session_hash={session}") as stream:
        for line in stream:
            if line.startswith(b"data:"):
                message = json.loads(line.removeprefix(b"data:"))
                if message["msg"] == "process_completed":
                    assert message["success"], message
                    return last or message["output"]["data"]
                if message["msg"] == "process_generating":
                    last = message["output"]["data"]
    raise AssertionError("the stream ended before the job")
