"""`latentgeo studio` before it serves: what it refuses, and what it warns of."""

import importlib.util
import socket

import pytest

from latentgeo.core.run.main import main
from latentgeo.eval.studio import run
from latentgeo.eval.studio.run import listening, studio
from latentgeo.eval.studio.settings import Studio


def test_without_gradio_it_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert main(["studio"]) == 1
    wanted = (
        "latentgeo studio: the studio needs gradio: python -m pip install 'latentgeo[studio]'\n"
    )
    assert capsys.readouterr().err == wanted


def test_a_model_that_is_not_there_is_named(capsys):
    pytest.importorskip("gradio", reason="the extra `studio` is not installed")
    assert main(["studio", "--model", "nowhere"]) == 2
    assert "nowhere" in capsys.readouterr().err


def test_a_port_that_is_taken_is_named(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=rf"port {port}: .*; --port 0 takes any that is free"):
            listening(Studio(port=port))


@pytest.mark.parametrize(("host", "warned"), [("127.0.0.1", False), ("0.0.0.0", True)])
def test_other_machines_are_warned_of(monkeypatch, recwarn, host, warned):
    monkeypatch.setattr(run, "serve", lambda *given: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: True)
    studio(Studio(host=host, port=0))
    said = [str(one.message) for one in recwarn if "lets other machines" in str(one.message)]
    assert bool(said) is warned


def test_a_port_is_one(capsys):
    assert main(["studio", "--port", "70000"]) == 2
    assert "--port must be at least 0 and below 65536" in capsys.readouterr().err
