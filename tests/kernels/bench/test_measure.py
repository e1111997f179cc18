"""Timing in turn, with a clock of which every time is known."""

import time

import torch

from latentgeo.kernels.bench.measure import LEAST, MOST, ROUNDS, HostClock, in_turn


def test_contenders_run_in_turn_for_about_the_seconds_asked_for(clock):
    runs = {"a": lambda: None, "b": lambda: None}
    said = []
    times = in_turn(runs, clock, 0.06, said.append)  # of 1 ms each
    each = 20
    assert {name: len(found) for name, found in times.items()} == {"a": 60, "b": 60}
    assert said == ["a", "b"] * (1 + ROUNDS)
    names = ["a" if run is runs["a"] else "b" for run in clock.runs]
    assert "".join(names) == "a" * LEAST + "b" * LEAST + ("a" * each + "b" * each) * ROUNDS


def test_runs_are_neither_too_few_nor_too_many(clock):
    clock.seconds = 100
    assert len(in_turn({"slow": lambda: None}, clock, 0.06, print)["slow"]) == LEAST * ROUNDS
    clock.seconds = 0
    assert len(in_turn({"fast": lambda: None}, clock, 0.06, print)["fast"]) == MOST * ROUNDS


def test_the_collector_is_back_after_a_failure(clock):
    import gc

    calls = []

    def fails():
        calls.append(gc.isenabled())
        if len(calls) > LEAST:
            raise RuntimeError("in the first round")

    try:
        in_turn({"a": fails}, clock, 0.06, lambda name: None)
    except RuntimeError:
        assert calls == [True] * LEAST + [False] and gc.isenabled()


def test_the_cpu_is_timed_by_the_wall_clock():
    clock = HostClock()
    times = clock.times(lambda: time.sleep(0.01), 3)
    assert len(times) == 3 and all(seconds >= 0.01 for seconds in times)
    assert clock.alive() and clock.captured(print) is None and clock.device == torch.device("cpu")
    ran = []
    assert clock.peak(lambda: ran.append(1)) is None and ran == [1]
