"""The file of intervals: both ways, what follows from it, what it refuses."""

import json
from dataclasses import replace

import pytest

from latentgeo.infer.semantic.intervals import Intervals, read_intervals, write_intervals

FOUND = Intervals(
    times=(1, 250, 500, 750, 1000),
    strength=(0.0, 0.1, 0.2, 0.32, 0.6),
    deficiency=(0.1, 1.1, 1.25, 1.3, 1.4),
    boost=1.2,
    settings={"model": "m"},
)


def test_times_follow_from_the_distances(tmp_path):
    """Asyrp Sec. 4.1, Asyrp Sec. 4.2: 0.33 · cos = 0.33, 0.297, 0.099; the first γ of 1.2."""
    found = read_intervals(write_intervals(tmp_path / "i.json", FOUND))
    assert found == FOUND
    assert [found.t_edit(cos) for cos in (1.0, 0.9, 0.3)] == [1000, 750, 250]
    shortest = replace(found, rule="shortest")
    assert [shortest.t_edit(cos) for cos in (1.0, 0.9, 0.3)] == [750, 500, 1]
    assert read_intervals(write_intervals(tmp_path / "s.json", shortest)) == shortest
    assert found.t_boost() == 500
    quiet = Intervals(
        times=(1, 9), strength=(0.0, 1.0), deficiency=(0.1, 1.19), boost=1.2, settings={}
    )
    assert [replace(quiet, boost=boost).t_boost() for boost in (1.2, 1.19, 1.1)] == [0, 9, 9]


def test_what_is_no_such_file_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.json"):
        read_intervals(tmp_path / "none.json")
    for text in ("[]", '{"times": [1]}', "x"):
        (tmp_path / "x.json").write_text(text)
        with pytest.raises(ValueError, match=r"x\.json"):
            read_intervals(tmp_path / "x.json")
    (tmp_path / "x.json").write_text(
        '{"times": [1, 2], "strength": [0], "deficiency": [0, 1], "boost": 1.2, "settings": {}}'
    )
    with pytest.raises(ValueError, match="as many distances"):
        read_intervals(tmp_path / "x.json")
    odd = write_intervals(tmp_path / "x.json", replace(FOUND, rule="last"))
    with pytest.raises(ValueError, match=r"x\.json: rule: got 'last', wanted first or shortest"):
        read_intervals(odd)


def test_a_file_of_before_the_rules_has_the_measurements_alone(tmp_path):
    path = write_intervals(tmp_path / "old.json", FOUND)
    old = {key: value for key, value in json.loads(path.read_text()).items() if key != "rule"}
    path.write_text(json.dumps(old))
    assert read_intervals(path) == FOUND
