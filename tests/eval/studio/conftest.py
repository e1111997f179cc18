"""A studio of tiny models in a process of its own, and Chromium to open its page with."""

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.conftest import Tiny
from tests.eval.studio.tabs import SECONDS
from tests.eval.studio.tiny import write_face_model

OFFLINE = """
import socket
connect = socket.socket.connect
def local(self, address):
    if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "::1", "localhost"):
        print("reached for", address, flush=True)
        raise OSError("the network is closed")
    return connect(self, address)
socket.socket.connect = local
from latentgeo.core.run.main import main
sys.exit(main(sys.argv[1:]))
"""


@dataclass
class Site:
    """A studio that runs."""

    url: str
    process: "subprocess.Popen[str]"
    log: Path
    models: tuple[str, str]


@pytest.fixture(scope="session")
def site(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The studio of a model of prompts and one without, which may reach no other machine."""
    pytest.importorskip("gradio", reason="the extra `studio` is not installed")
    folder = tmp_path_factory.mktemp("studio")
    write_face_model(folder / "faces")
    models = (str(tiny.model), str(folder / "faces"))
    words = ["studio", "--port", "0", "--no-browser", "--model", models[0]]
    code = "import sys" + OFFLINE
    with (folder / "log").open("w+") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", code, *words, "--image-model", models[1]],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        assert process.stdout is not None
        found = re.search(r"http://\S+\d", process.stdout.readline())
        assert found, (folder / "log").read_text()
        yield Site(found[0], process, folder / "log", models)
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 130
        assert "reached for" not in process.stdout.read()


@pytest.fixture(scope="session")
def browser():
    """Chromium without a window, of the system, which resolves no name."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("there is no program chromium")
    with api.sync_playwright() as play:
        options = ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--no-sandbox"]
        found = play.chromium.launch(executable_path=program, args=options)
        yield found
        found.close()


@pytest.fixture
def page(site, browser):
    """A page of its own session; whatever it asks for is of the studio, and is there."""
    found = browser.new_page()
    found.set_default_timeout(SECONDS)
    asked, faults = [], []
    found.on("request", lambda request: asked.append(request.url))
    found.on("pageerror", lambda error: faults.append(str(error)))
    found.on("response", lambda answer: answer.status >= 400 and faults.append(answer.url))
    found.goto(site.url)
    found.wait_for_selector("#walk-go")
    yield found
    found.close()
    elsewhere = [one for one in asked if urlsplit(one).netloc != urlsplit(site.url).netloc]
    assert not [one for one in elsewhere if not one.startswith(("data:", "blob:"))]
    assert not faults
