"""Numbers that are tracked: their keys, one value for each, a line for each."""

import pytest

from latentgeo.eval.zoo.measured import as_text, keyed, numbers_of, values
from latentgeo.infer.sampling.typical import Typical, write_typical

ROW = {"metric": "ISTD, ratio to avatars", "model": "λ curve: λ = 0.1", "n": 7}


def test_a_key_is_metric_and_model_in_small_letters():
    one = ROW | {"value": 1 / 3, "interval": [0.25, 0.5]}
    assert keyed([one, one]) == {"istd-ratio-to-avatars.λ-curve-λ-0-1": [0.333333, 0.25, 0.5, 7]}
    alone = ROW | {"value": 2.0, "interval": None}
    assert next(iter(keyed([alone]).values())) == [2.0, 2.0, 2.0, 7]


def test_two_results_of_one_key_are_refused():
    one = ROW | {"value": 1.0, "interval": None}
    with pytest.raises(ValueError, match=r"got \[1.0, 1.0, 1.0, 7\] and \[2.0, .*wanted one resu"):
        keyed([one, one | {"value": 2.0}])


def test_a_line_for_each_number():
    kept = {"demo": {"date": "2026-11-30", "commit": "abc", "numbers": {"istd.x": [1.0, 0.5, 2]}}}
    assert '"istd.x": [ 1.0, 0.5, 2 ]' in as_text(kept)
    found = values(kept)
    assert (found["demo.istd.x"], found["demo.commit"]) == ([1.0, 0.5, 2], "abc")


def test_the_bound_of_what_is_typical_is_a_number(tmp_path):
    """One of 20 is below it."""
    assert numbers_of(tmp_path) == {}
    known = Typical(psnr=tuple(float(i) for i in range(40)), size=64, settings={})
    write_typical(tmp_path / "typical.json", known)
    (value, low, high, n) = numbers_of(tmp_path)["bound"]
    assert value == low == high == pytest.approx(known.bound) and n == 40
    assert sum(one < value for one in known.psnr) == 2
