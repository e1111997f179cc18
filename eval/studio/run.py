"""`latentgeo studio`: serves the page until Ctrl-C."""

import importlib.util
import signal
import socket
import warnings
import webbrowser
from pathlib import Path
from tempfile import TemporaryDirectory

from latentgeo.core.run.progress import say
from latentgeo.eval.studio.frame import application
from latentgeo.eval.studio.service.guard import LOCAL
from latentgeo.eval.studio.settings import Studio
from latentgeo.infer.sampling.loading import parse_model


def studio(cmd: Studio) -> None:
    """Serve the page.

    Raises RuntimeError without Gradio, FileNotFoundError where a model is not there, and OSError
    where the port is taken.
    """
    if importlib.util.find_spec("gradio") is None:
        raise RuntimeError("the studio needs gradio: python -m pip install 'latentgeo[studio]'")
    for spec in (cmd.model, cmd.image_model):
        parse_model(spec).check()
    if cmd.host not in LOCAL:
        warnings.warn(
            f"host: {cmd.host} lets other machines use this page; it asks nobody for a password",
            stacklevel=2,
        )
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with TemporaryDirectory(prefix="latentgeo-studio-") as folder, listening(cmd) as place:
        serve(cmd, Path(folder), place)


def listening(cmd: Studio) -> socket.socket:
    """Return a socket at the host and port; OSError in words where there can be none."""
    family = socket.AF_INET6 if ":" in cmd.host else socket.AF_INET
    try:
        return socket.create_server((cmd.host, cmd.port), family=family)
    except OSError as error:
        raise OSError(
            f"cannot listen at {cmd.host}, port {cmd.port}: {error.strerror}; --port 0 takes any "
            "that is free"
        ) from error


def serve(cmd: Studio, folder: Path, place: socket.socket) -> None:
    """Serve the page at a socket until a signal ends it."""
    import uvicorn

    app = application(cmd, folder)
    host = f"[{cmd.host}]" if ":" in cmd.host else cmd.host
    address = f"http://{host}:{place.getsockname()[1]}"
    server = uvicorn.Server(
        uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1, lifespan="on")
    )
    say(f"the studio is at {address}; Ctrl-C ends it")
    if cmd.browser:
        webbrowser.open(address)
    server.run(sockets=[place])
