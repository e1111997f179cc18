"""Jobs by number: shared out, resumed, extended, and refused under other settings."""

import pytest

from latentgeo.eval.runs.jobs import by_job, measured_jobs
from latentgeo.eval.runs.rows import open_rows


def squares(seen):
    def measure(jobs):
        seen.append(list(jobs))
        return [{"square": job**2} for job in jobs]

    return measure


def test_jobs_go_on_from_what_is_there(tmp_path):
    seen = []
    rows = measured_jobs(tmp_path, {"seed": 1}, 5, 2, squares(seen))
    assert rows == [{"job": i, "square": i**2} for i in range(5)]
    assert seen == [[0, 1], [2, 3], [4]]
    assert measured_jobs(tmp_path, {"seed": 1}, 3, 2, squares(seen)) == rows[:3]
    assert len(measured_jobs(tmp_path, {"seed": 1}, 7, 2, squares(seen))) == 7
    assert seen[3:] == [[5, 6]]


def test_a_stop_costs_the_group_at_hand(tmp_path):
    def stops(jobs):
        if 2 in jobs:
            raise KeyboardInterrupt
        return [{} for _ in jobs]

    with pytest.raises(KeyboardInterrupt):
        measured_jobs(tmp_path, {}, 5, 2, stops)
    seen = []
    measured_jobs(tmp_path, {}, 5, 2, squares(seen))
    assert seen == [[2, 3], [4]]


def test_other_settings_are_refused(tmp_path):
    measured_jobs(tmp_path, {"seed": 1}, 1, 1, squares([]))
    with pytest.raises(ValueError, match=r"other settings \(seed\)"):
        measured_jobs(tmp_path, {"seed": 2}, 1, 1, squares([]))


def test_ranks_share_what_is_left(tmp_path, monkeypatch):
    open_rows(tmp_path, {}, by_job)
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    seen = []
    with pytest.raises(KeyError):  # there is no rank 0 to make the others
        measured_jobs(tmp_path, {}, 5, 9, squares(seen))
    assert seen == [[1, 3]]
