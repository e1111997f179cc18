"""Progress on a terminal, in logs, of loops within loops, and on ranks that show none."""

import io
import re
import sys
import time
import warnings

import pytest

from latentgeo.core.run import screen
from latentgeo.core.run.main import guarded
from latentgeo.core.run.progress import Sections, clock, passing, progress, say
from latentgeo.core.run.screen import shown


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """Tests run as one process even under torchrun."""
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Clock:
    """A time that passes when the test says so; the drawing thread keeps the real one."""

    def __init__(self, monkeypatch):
        self.now = 100.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)


def shown_on(stream, monkeypatch):
    """Return the stream, in stderr's place."""
    monkeypatch.setattr(sys, "stderr", stream)
    return stream


def test_progress_shows_rate_and_time_left_on_a_terminal(monkeypatch):
    terminal = shown_on(Terminal(), monkeypatch)
    passing = Clock(monkeypatch)
    with progress(total=10, label="train", unit="image") as bar:
        passing.now += 2.5
        bar.update(5)
        bar.set_postfix(loss="0.5")
    shown = terminal.getvalue().split("\r")[-1]
    assert shown.startswith(f"train:  50% [{'#' * 10}{'.' * 10}] 5/10, ")
    assert "2.0 image/s, 0:02 left, loss=0.5" in shown
    assert shown.endswith("\n")


def test_what_is_shown_can_be_asked_for(monkeypatch):
    """The outermost's share, with the innermost's line behind its own; nothing once both end."""
    shown_on(io.StringIO(), monkeypatch)
    with progress(total=4, label="outer") as bar, progress(total=5, label="inner"):
        bar.update(1)
        share, text = shown()
        assert share == 0.25
        assert text.startswith("outer:  25%, 1/4") and "| inner:   0%, 0/5" in text
    assert shown() == (None, "")


def test_what_is_aside_is_not_in_the_rate(monkeypatch):
    """Two units take 10 seconds each; 60 beside them do not count, nor 5 that go on."""
    clock = Clock(monkeypatch)
    with progress(total=10) as bar:
        with bar.aside():
            clock.now += 60
        clock.now += 20
        bar.update(2)
        with bar.aside():
            clock.now += 5
            text = bar.text(False)
    assert text == " 20%, 2/10, 10.0 s/step, 1:20 left"


def test_of_what_passes_nothing_stays_on_a_terminal(monkeypatch):
    terminal = shown_on(Terminal(), monkeypatch)
    with passing("loading"):
        assert "loading: 0:00" in terminal.getvalue()
    assert terminal.getvalue().endswith("\r\033[K") and "\n" not in terminal.getvalue()


def test_slow_units_have_seconds_each(monkeypatch):
    passing = Clock(monkeypatch)
    bar = progress(total=10, unit="image")
    passing.now += 25
    bar.update(2)
    assert bar.text(False) == " 20%, 2/10, 12.5 s/image, 1:40 left"
    bar.close()


def test_it_counts_to_what_ends_the_loop(monkeypatch):
    """Of 1000 steps 600 are made in the 60 seconds that there are: the clock ends it."""
    passing = Clock(monkeypatch)
    bar = progress(total=1000, initial=400, seconds=60)
    passing.now += 15
    bar.update(75)
    assert bar.text(False) == " 25%, 0:15 of 1:00, step 475, 5.0 step/s, 0:45 left"
    bar.update(225)  # now 20 a second, so that all are made 15 seconds later
    assert bar.text(False) == " 70%, 700/1000, 20.0 step/s, 0:15 left"
    bar.close()


def test_work_without_units_shows_that_time_passes(monkeypatch):
    passing = Clock(monkeypatch)
    bar = progress(label="writing")
    passing.now += 9
    assert bar.text(False) == "writing: 0:09"
    bar.update(3)
    assert bar.text(False) == "writing: 0:09, step 3, 3.0 s/step"
    bar.close()


def test_a_slow_step_moves_the_line(monkeypatch):
    terminal = shown_on(Terminal(), monkeypatch)
    monkeypatch.setattr(screen, "ON_TERMINAL", 0.01)
    with progress(total=3):
        until = time.monotonic() + 20
        while terminal.getvalue().count("\r") < 4 and time.monotonic() < until:
            time.sleep(0.01)
    assert terminal.getvalue().count("\r") >= 4


def test_a_log_has_a_line_now_and_then_and_the_last(monkeypatch):
    log = shown_on(io.StringIO(), monkeypatch)
    monkeypatch.setattr(screen, "IN_LOG", 0.01)
    with progress(total=3, label="train") as bar:
        until = time.monotonic() + 20
        while not log.getvalue() and time.monotonic() < until:
            time.sleep(0.01)
        bar.update(3)
    lines = log.getvalue().splitlines()
    assert len(lines) > 1 and all(line.startswith("train: ") for line in lines)
    assert "\r" not in log.getvalue() and lines[-1].startswith("train: 100%, 3/3")


def test_progress_is_silent_in_short_logs_and_on_other_ranks(monkeypatch, capsys):
    assert list(progress(range(3))) == [0, 1, 2]
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert list(progress(range(3))) == [0, 1, 2]
    assert sys.stderr.getvalue() == ""
    assert capsys.readouterr().err == ""


def test_a_loop_within_a_loop_is_in_its_line(monkeypatch):
    terminal = shown_on(Terminal(), monkeypatch)
    for _ in progress(range(2), label="walks"):
        assert list(progress(iter("abc"), label="steps", total=3)) == ["a", "b", "c"]
    assert terminal.getvalue().count("\n") == 1
    assert re.search(r"walks:   0% .* \| steps: +0%, 0/3", terminal.getvalue())


def test_a_loop_that_is_left_ends_its_line(monkeypatch):
    terminal = shown_on(Terminal(), monkeypatch)
    for i in progress(range(9)):
        if i == 2:
            break
    assert terminal.getvalue().endswith("\n") and "2/9" in terminal.getvalue()


def test_what_is_said_stands_above_the_line(capsys, monkeypatch):
    terminal = shown_on(Terminal(), monkeypatch)
    with progress(total=3, label="train"):
        say("wrote a file")
    assert capsys.readouterr().out == "wrote a file\n"
    assert terminal.getvalue().count("\r\033[Ktrain") == 0
    assert terminal.getvalue().count("\r\033[K") == 1  # the line was cleared, then drawn again
    assert terminal.getvalue().count("train:   0%") == 3


def test_a_warning_does_not_stand_behind_the_line(monkeypatch):
    terminal = shown_on(Terminal(), monkeypatch)

    def work():
        with progress(total=3, label="train"):
            sys.stderr.write(warnings.formatwarning("skipped one", UserWarning, "file.py", 1))

    assert guarded("latentgeo", work) == 0
    assert "\r\033[Klatentgeo: skipped one\n" in terminal.getvalue()


def test_a_reader_that_is_gone_stops_nothing(monkeypatch):
    class Broken(Terminal):
        def write(self, text):
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", Broken())
    assert list(progress(range(3))) == [0, 1, 2]


def test_sections_know_the_time_left(monkeypatch):
    """Costs 1, 2, 5; the first took 4 seconds: the rest takes 28, and after 2 of them 26."""
    passing = Clock(monkeypatch)
    with Sections({"draw": 1, "walk": 2, "edit": 5}, "demo", pace=10) as line:
        with line.section("draw"):
            assert line.text(False) == "demo:   0%, 1 of 3: draw, 1:20 left"
            passing.now += 4
        with line.section("walk"):
            passing.now += 2
            assert line.text(False) == "demo:  19%, 2 of 3: walk, 0:26 left"
            passing.now += 100
            assert line.share() == pytest.approx((1 + 0.95 * 2) / 8)
        line.skip("edit")
        assert line.text(False) == "demo: 100%, 1:46"


@pytest.mark.parametrize(
    ("seconds", "text"), [(8.6, "0:09"), (754, "12:34"), (3723, "1:02:03"), (None, "0:00")]
)
def test_clock(seconds, text):
    assert clock(seconds) == text
