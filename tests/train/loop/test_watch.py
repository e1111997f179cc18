"""A run's time, on a clock that passes when the test says so."""

from pathlib import Path

import pytest

from latentgeo.train.loop import watch as module
from latentgeo.train.loop.settings import Training
from latentgeo.train.loop.watch import Watch


class Clock:
    now = 50.0


@pytest.fixture
def clock(monkeypatch):
    passing = Clock()
    monkeypatch.setattr(module.time, "monotonic", lambda: passing.now)
    return passing


def test_minutes_count_what_was_spent_before(clock):
    watch = Watch(Training(out=Path("x"), minutes=2), step=7, spent=30.0)
    clock.now += 60
    assert (watch.left(), watch.spent(), watch.late()) == (30.0, 90.0, False)
    clock.now += 31
    assert watch.late() and watch.spent() == 0  # so that the next call has all of them
    assert Watch(Training(out=Path("x")), step=0).left() is None


def test_checkpoints_and_grids_are_due_by_the_clock(clock):
    how = {"checkpoint_minutes": 2.0, "sample_minutes": 1.0}
    watch = Watch(Training(out=Path("x"), **how), step=0)
    clock.now += 61
    assert watch.draw_due() and not watch.save_due()
    with watch.draws():
        pass
    clock.now += 60
    assert watch.save_due() and not watch.draw_due()
    none = Watch(Training(out=Path("x"), sample_every=0, **how), step=0)
    clock.now += 600
    assert not none.draw_due()


def test_slow_grids_are_drawn_less_often(clock):
    """One that takes 30 seconds waits 270."""
    watch = Watch(Training(out=Path("x"), sample_minutes=1.0), step=0)
    with watch.draws():
        clock.now += 30
    clock.now += 269
    assert not watch.draw_due()
    clock.now += 2
    assert watch.draw_due()


def test_the_duration_is_told_once_and_without_the_first_step(clock):
    """The first step takes 100 seconds, as one that compiles does; each other one takes 2."""
    watch, told = Watch(Training(out=Path("x"), steps=200), step=100), []
    for step, seconds in ((101, 100), (102, 2), (103, 2), (104, 2)):
        clock.now += seconds
        told.append(watch.duration(step))
    assert told[:3] == ["", "", ""]
    assert told[3] == "96 steps take about 3:12 on this machine (2 s a step)"
    assert watch.duration(105) == ""


def test_grids_are_no_part_of_a_step(clock):
    """Steps of 3 seconds, a grid of 40 between them: the rest of the run is told as without it."""
    watch = Watch(Training(out=Path("x"), steps=12), step=0)
    assert watch.duration(1) == "" and watch.logged == (50.0, 0)
    clock.now += 3
    with watch.draws():
        clock.now += 40
    assert watch.logged == (90.0, 0)  # from which a record counts the seconds of its steps
    clock.now += 3
    assert watch.duration(3) == "9 steps take about 0:27 on this machine (3 s a step)"


def test_the_duration_of_nothing_is_not_told(clock):
    watch = Watch(Training(out=Path("x"), steps=2), step=0)
    watch.duration(1)
    clock.now += 60
    assert watch.duration(2) == ""


def test_a_grid_before_the_first_step_is_not_of_the_minutes(clock):
    """Else a slow one left a short run no step at all."""
    watch = Watch(Training(out=Path("x"), minutes=1), step=0)
    with watch.draws():
        clock.now += 100
    assert watch.left() == 60 and not watch.late()
    watch.duration(1)  # a step was taken
    with watch.draws():
        clock.now += 20
    assert watch.left() == 40
