"""Tests behind rows are run, and what came of them is one outcome per row."""

import pytest

from latentgeo.eval.audit.check import Outcome, of_row, run_tests, verdict_line, worst
from latentgeo.eval.audit.ledger import Row


def row(*tests):
    return Row("DDIM Eq. 12", "", "x", "", "verbatim", "", (), tests)


def test_tests_are_run_and_failures_are_failures(tmp_path):
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_x.py").write_text(
        "import pytest, torch\n\n\n"
        "@pytest.mark.parametrize('n', [1, 2])\ndef test_good(n):\n"
        "    assert not torch.allclose(torch.tensor(9.0), torch.tensor(0.0))\n"
        "    torch.testing.assert_close(\n"
        "        torch.tensor(4.0 + n / 4), torch.tensor(4.0), rtol=1, atol=1)\n\n\n"
        "@pytest.mark.parametrize('n', [1, 2])\ndef test_bad(n):\n    assert n == 1\n\n\n"
        "def test_gone():\n    pytest.skip('no')\n\n\n"
        "def test_near():\n    assert 2.5 == pytest.approx(2.0, abs=1)\n"
    )
    names = [f"tests/test_x.py::test_{name}" for name in ("good", "bad", "gone", "near")]
    outcomes = run_tests([row(*names)], tmp_path)
    assert outcomes == {
        names[0]: Outcome("passed", 0.125),
        names[1]: Outcome("failed"),
        names[2]: Outcome("skipped"),
        names[3]: Outcome("passed", 0.25),
    }
    assert of_row(row(names[0], names[2]), outcomes) == Outcome("passed", 0.125)
    with pytest.raises(FileNotFoundError, match="needs a checkout"):
        run_tests([row()], tmp_path / "tests")


def test_the_worst_of_several():
    good = Outcome("passed", 1.0, 2.5, 30, 0.1)
    skipped, bad = Outcome("skipped"), Outcome("failed", 2.0, 1.5, 70)
    assert worst([good, skipped]).status == "passed"
    assert worst([skipped, skipped]).status == "skipped"
    assert worst([good, bad]) == Outcome("failed", 2.0, 2.5, 30, 0.1)
    assert worst([]).status == "failed"  # a test that did not run is none that passed
    assert of_row(row(), {}) is None


def test_an_outcome_in_words():
    assert str(Outcome("passed", 1.1e-16)) == "passed, error 1.1e-16"
    assert str(Outcome("skipped")) == "skipped"
    words = "passed, error 0.0e+00, 1.3 standard errors (n = 4,000), print differs by 0.37"
    assert str(Outcome("passed", 0.0, 1.26, 4000, 0.371)) == words


def test_verdicts_are_counted_by_row():
    outcomes = {"a": Outcome("passed"), "b": Outcome("failed"), "c": Outcome("skipped")}
    ledger = [row("a"), row("a", "c"), row("a", "b"), row("c"), row()]
    assert verdict_line(ledger, outcomes) == "1 failed, 2 passed, 1 skipped"
    assert verdict_line(ledger, {}) == ""
