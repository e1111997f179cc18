"""`latentgeo eval-edit` from the line to the results."""

import json
import time
from typing import get_args

import numpy as np
import pytest
import torch

from latentgeo.core.run.main import main
from latentgeo.eval.metrics.editing import DIRECTION, KEPT, LPIPS, WANTED, Seen
from latentgeo.eval.smooth.edit_search import CANDIDATES, best, score, words
from latentgeo.eval.smooth.edit_table import MEMORY, SECONDS
from latentgeo.eval.smooth.edited import timed
from latentgeo.infer.text_edits.run import METHOD_OPTIONS
from latentgeo.infer.text_edits.settings import Method


@pytest.fixture
def start(tiny, tmp_path):
    line = ["eval-edit", "--models", str(tiny.model), tiny.smooth, "--data", str(tiny.data)]
    line += ["--classifier", str(tiny.classifier), "--n-images", "5", "--batch", "3"]
    return [*line, "--device", "cpu", "--refine", "1", "--out", str(tmp_path)]


def values(tmp_path):
    """Return every number of the results, by metric and model."""
    found = json.loads((tmp_path / "results.json").read_text())["results"]
    return {(one["metric"], one["model"]): one for one in found}


def test_command_from_the_line_to_the_results(tiny, tmp_path, capsys, start):
    """Smooth Fig. 5: edits of both models by several ways, rivals by the first, on one set."""
    rivals = ["sdedit", "cycle-diffusion", "prompt-to-prompt"]
    line = [*start, "--methods", "smooth", "--blend", "--base-methods"]
    assert main([*line, *rivals]) == 0
    assert "| LPIPS |" in capsys.readouterr().out
    found, base = values(tmp_path), str(tiny.model)
    for method in ("reconstruction", "smooth", *rivals):
        for metric in (WANTED, KEPT, DIRECTION, SECONDS, MEMORY):
            one = found[f"{method}: {metric}", base]
            assert one["n"] == (1 if metric == MEMORY else 5)
            assert ((f"{method}: {metric}", tiny.smooth) in found) == (method not in rivals)
    apart = found[f"sdedit: {LPIPS}, minus smooth with {tiny.smooth}", base]["value"]
    pair = found[f"sdedit: {LPIPS}", base], found[f"smooth: {LPIPS}", tiny.smooth]
    assert apart == pytest.approx(pair[0]["value"] - pair[1]["value"])
    assert (f"smooth: {KEPT}, minus {base}", tiny.smooth) in found
    before = (tmp_path / "edits.png").read_bytes()

    rows = {path: path.read_bytes() for path in tmp_path.glob("rows/*/*/rows-0.jsonl")}
    assert len(rows) == 7  # five cells of the first model, two of the second
    assert main([*line, *rivals, "plug-and-play"]) == 0  # goes on
    assert all(path.read_bytes() == held for path, held in rows.items())
    assert (f"plug-and-play: {WANTED}", base) in values(tmp_path)
    assert (tmp_path / "edits.png").read_bytes() != before


def test_a_search_tries_every_setting_on_training_images(tiny, tmp_path, capsys, start):
    """The best of each method is told, and no held-out image is read."""
    assert main([*start, "--search", "--methods", "smooth", "--base-methods", "sdedit"]) == 0
    told = [line for line in capsys.readouterr().out.splitlines() if "wanted x kept" in line]
    assert [line.split(" ")[0] for line in told] == ["smooth", "sdedit"]
    names = {metric.partition(": ")[0] for metric, _ in values(tmp_path)}
    assert names == {f"{m} {words(c)}" for m in ("smooth", "sdedit") for c in CANDIDATES[m]}
    assert {model for _, model in values(tmp_path)} == {str(tiny.model)}


def test_the_best_shows_what_is_wanted_and_keeps_the_rest():
    def seen(wanted, kept):
        blank = np.zeros(2)
        shares = {"wanted": np.array(wanted), "kept": np.array(kept), "others": np.full(2, 10.0)}
        return Seen(**shares, lpips=blank, outside=blank, direction=blank)

    found = {"a": seen([1.0, 0.0], [10.0, 10.0]), "b": seen([1.0, 1.0], [6.0, 6.0])}
    assert score(found["a"]) == 0.5 and best(found) == "b"
    assert best({"c": found["a"], "d": found["a"]}) == "c"


def test_every_method_has_settings_to_try_and_the_released_are_first():
    """Smooth Sec. 4.4: all r that the paper names."""
    assert set(CANDIDATES) == set(get_args(Method))
    for method, tried in CANDIDATES.items():
        assert all(set(one) <= set(METHOD_OPTIONS[method]) for one in tried)
    assert {one["release"] for one in CANDIDATES["smooth"]} == {0.6, 0.7, 0.8, 0.9}


def test_time_is_of_the_work():
    """A processor's time does not pass while nothing is computed."""
    found, seconds = timed(lambda: time.sleep(0.2) or 7, torch.device("cpu"))
    assert found == 7 and seconds < 0.1
    x = torch.zeros(3)

    def busy():
        end = time.process_time() + 0.1
        while time.process_time() < end:
            x.add_(1)

    assert timed(busy, torch.device("cpu"))[1] >= 0.1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--n-images", "1"), "--n-images must be at least 2"),
        (("--n-images", "100"), "--n-images must lie in 1..12"),
        (("--methods", "smooth", "smooth"), "methods"),
        (("--release", "-1"), "release must be in [0, 1]"),
        (("--classifier", "/nowhere"), "nowhere"),
    ],
)
def test_bad_input_is_one_line_and_status_2(capsys, start, words, message):
    assert main([*start, *words]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert message in lines[-1]
