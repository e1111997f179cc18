"""The changes that tests should notice, and what is left alone."""

import ast

import pytest

from latentgeo.eval.audit.ledger import Row
from latentgeo.eval.audit.mutants import changes, mutants, mutated, sample, unchanged


def row(code, test="tests/core/test_ddim.py::test_round_trip"):
    return Row("DDIM Eq. 12", "", "x", "", "verbatim", "", (code,), (test,))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a + b", ["a - b"]),
        ("a - b", ["a + b"]),
        ("a * b", ["a / b"]),
        ("a / b", ["a * b"]),
        ("a ** b", ["a * b"]),
        ("a @ b", ["b @ a"]),
        ("a < b", ["a <= b"]),
        ("a == b", ["a != b"]),
        ("a is b", []),
        ("a < b < c", []),
        ("-a", ["a"]),
        ("not a", ["a"]),
        ("a and b", ["a or b"]),
        ("a if b else c", ["a if not b else c"]),
        ("7", ["8", "6"]),
        ("0.5", ["1.5", "-0.5"]),
        ("True", []),
        ("'text'", []),
        ("t", ["t_prev"]),
        ("t_prev", ["t"]),
        ("u", []),
        ("x.sqrt()", ["x"]),
        ("torch.sqrt(x)", ["x"]),
        ("a.detach()", ["a"]),
        ("f(a, b, c)", ["f(b, a, c)"]),
        ("f(a, a)", []),
        ("max(a, b)", []),
        ("generator(seed, name)", []),
        ("torch.maximum(a, b)", []),
        ("f(*a, b)", []),
        ("f(schedule, x)", []),
    ],
)
def test_changes_of_an_expression(before, after):
    node = ast.parse(before, mode="eval").body
    kinds = {"t": "Tensor", "t_prev": "Tensor", "schedule": "Schedule", "x": "Tensor"}
    assert [ast.unparse(change) for change in changes(node, kinds)] == after


def test_a_function_is_changed_in_one_place_at_a_time():
    found = mutants([row("core/ddim.py:sigma")])
    assert len({(mutant.place, mutant.choice) for mutant in found}) == len(found)
    assert "1 - bar -> 1 + bar" in {f"{mutant.before} -> {mutant.after}" for mutant in found}
    original = ast.unparse(unchanged(found[0]))
    for mutant in found:
        changed = ast.unparse(mutated(mutant)).splitlines()
        lines = [(a, b) for a, b in zip(original.splitlines(), changed, strict=True) if a != b]
        assert len(lines) == 1, mutant
        assert mutant.after in lines[0][1]
    assert ast.unparse(unchanged(found[0])) == original


def test_what_is_no_mathematics_is_left_alone():
    texts = [str(mutant) for mutant in mutants([row("core/smooth.py:mean_at")])]
    assert texts and not any("count[index] == 0" in text for text in texts)  # a check that raises
    found = mutants([row("train/smoothing/settings.py:TrainSmooth")])
    assert {mutant.function for mutant in found} == {"TrainSmooth.means"}  # not __post_init__
    assert not mutants([row("eval/toy/run.py:training_plot")])  # it draws on a canvas
    texts = [str(mutant) for mutant in mutants([row("core/couplings.py:optimal")])]
    assert texts and not any("check_clouds" in text for text in texts)  # one with a name
    texts = [str(mutant) for mutant in mutants([row("models/clip.py:TextEncoder")])]
    assert texts and not any("is_compiling" in text for text in texts)  # when to check
    texts = [mutant.before for mutant in mutants([row("infer/walks/photos.py:anid_walk")])]
    assert "cmd.frames - 1" in texts and "cmd.frames - 2" not in texts  # a progress bar's length


def test_a_draw_stays_when_others_come_and_go():
    """A mutant of the smaller pool is in the larger one's draw, unless a new one is before it."""
    few = mutants([row("core/ddim.py:sigma"), row("core/ddim.py:step")])
    many = mutants(
        [row("core/ddim.py:sigma"), row("core/ddim.py:step"), row("core/ddpm.py:sample")]
    )
    first, again = sample(few, 9, 3), sample(many, 9, 3)
    assert len(first) == 9 and first == sample(few[::-1], 9, 3) != sample(few, 9, 4)
    kept = [mutant for mutant in again if mutant.file == "core/ddim.py"]
    assert kept == first[: len(kept)]
    assert len(sample(few, 10**6, 3)) == len(few)


def test_a_class_is_changed_in_its_methods():
    found = mutants([row("models/adm_layers.py:ResidualBlock")])
    assert {mutant.function for mutant in found} >= {"ResidualBlock.forward"}


def test_tests_of_all_rows_of_a_function_are_behind_its_mutants():
    both = [
        row("core/ddim.py:sigma"),
        row("core/ddim.py:sigma", "tests/core/test_smooth.py::test_b"),
    ]
    (tests,) = {mutant.tests for mutant in mutants(both)}
    assert {"tests/core/test_smooth.py::test_b", "tests/core/test_ddim.py::test_round_trip"} < set(
        tests
    )
    assert "tests/core/test_ddim.py::test_step_keeps_the_marginals" in tests  # it has the tag
    assert "tests/core/test_ddim.py::test_flow_solves_the_ode" not in tests
