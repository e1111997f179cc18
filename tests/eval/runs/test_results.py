"""Results: what is written, and how a table reads."""

import json
import math

import pytest

from latentgeo.eval.runs.results import Result, result, text_table, write_results
from latentgeo.eval.runs.statistics import Estimate


def one(metric, model, value, interval=None):
    return Result(
        paper="Smooth", metric=metric, model=model, value=value, interval=interval, n=3, seed=0
    )


def test_file_has_environment_and_every_field(tmp_path):
    path = write_results(tmp_path / "results.json", [one("ISTD", "base", 0.5, [0.4, 0.6])])
    found = json.loads(path.read_text())
    assert {"python", "torch", "cpu", "threads"} <= found["environment"].keys()
    assert found["results"] == [
        {
            "paper": "Smooth",
            "metric": "ISTD",
            "model": "base",
            "value": 0.5,
            "interval": [0.4, 0.6],
            "n": 3,
            "seed": 0,
            "settings": {},
        }
    ]


def test_numbers_that_json_has_not_are_refused(tmp_path):
    with pytest.raises(ValueError):
        write_results(tmp_path / "results.json", [one("ISTD", "base", math.nan)])
    assert not (tmp_path / "results.json").exists()


def test_an_infinite_interval_is_none():
    estimate = Estimate(value=1.0, low=-math.inf, high=math.inf, n=1)
    assert result("", "m", "base", estimate, 0, {}).interval is None


def test_table_has_a_row_per_metric_and_a_column_per_model():
    found = [one("A", "base", 1.0, [0.5, 2.0]), one("B", "base", 2.0), one("A", "smooth", 12345.6)]
    lines = [line.split("  ") for line in text_table(found).splitlines()]
    cells = [[cell.strip() for cell in line if cell.strip()] for line in lines]
    assert cells == [
        ["metric", "base", "smooth"],
        ["A", "1 [0.5, 2]", "1.23e+04"],
        ["B", "2", "–"],
    ]
