"""Progress on a terminal, in logs, and on ranks that show none."""

import io
import sys

import pytest

from latentgeo.core.run.progress import progress


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """Tests run as one process even under torchrun."""
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_shows_rate_and_time_left_on_a_terminal(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with progress(total=10, label="train", unit="image") as bar:
        bar.update(5)
        bar.set_postfix(loss="0.5")
    assert "train:  50%" in sys.stderr.getvalue()
    assert "image/s, loss=0.5" in sys.stderr.getvalue()


def test_progress_is_silent_in_short_logs_and_on_other_ranks(monkeypatch, capsys):
    assert list(progress(range(3))) == [0, 1, 2]
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert list(progress(range(3))) == [0, 1, 2]
    assert sys.stderr.getvalue() == ""
    assert capsys.readouterr().err == ""
