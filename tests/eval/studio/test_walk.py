"""The table beneath a walk: its own ISTD, as the metric has it."""

import re
import statistics

import pytest

from latentgeo.eval.studio.walk import evenness

D = [1.0, 4.0, 2.5, 2.5]


def test_a_walks_own_istd_is_the_deviation_of_its_distances():
    """SmoothS Sec. A.3: divided by the number of distances, not by one less."""
    cells = re.findall(r"<td>(.*?)</td>", evenness({"base": D, "flat": [2.0, 2.0]}))
    deviation = statistics.pstdev(D)
    assert cells[0] == "base" and cells[4:] == ["flat", "0.000", "2.000", "0.000"]
    assert float(cells[1]) == pytest.approx(deviation, abs=5e-4)
    assert float(cells[3]) == pytest.approx(deviation / 2.5, abs=5e-4)
