"""Answers, tried: the package's own, wrong ones, and those that misbehave."""

import ast
import re

import pytest

from latentgeo.eval.audit.mutants import of_reference
from latentgeo.eval.course.learn import bench as learn_bench
from latentgeo.eval.course.learn.bench import Bench, as_here, bodies, judged, untouched
from latentgeo.eval.course.learn.exercises import exercise_of
from latentgeo.eval.course.learn.kinds import kind_of
from tests.eval.course.learn.answers import answer_of, check, gone, here, written

POSTERIOR, GUIDANCE = exercise_of("posterior"), exercise_of("guidance")


def guide(body: str) -> dict[str, str]:
    """Return a function of the exercise `guidance` with a body of its own."""
    return {"guide": f"def guide(eps_cond, eps_uncond, w):\n    {body}"}


def test_the_package_s_own_code_is_right(bench):
    found = check(bench, POSTERIOR, here(POSTERIOR))
    assert found.status == "right" and found.kind == ""
    assert [one.tag for one in found.equations] == ["DDPM Eq. 6", "DDPM Eq. 7"]
    assert all(one.right and one.error < 1e-9 for one in found.equations)


def test_another_form_is_right(bench):
    own = "return eps_uncond + w * (eps_cond - eps_uncond)"
    assert check(bench, GUIDANCE, guide(own)).status == "right"


def test_a_body_that_raises_is_wrong_in_every_row(bench):
    found = check(bench, POSTERIOR, gone(POSTERIOR))
    assert found.status == "wrong" and not any(one.right for one in found.equations)
    assert found.equations[1].failed[0].startswith("test_posterior")


def test_a_blank_is_not_begun(bench):
    assert check(bench, POSTERIOR, {}).status == "open"


def test_a_mutant_is_wrong_and_looks_like_its_kind(bench):
    (mutant,) = (
        one for one in of_reference(POSTERIOR.functions[0], ()) if one.before == "bar_prev.sqrt()"
    )
    found = check(bench, POSTERIOR, answer_of(POSTERIOR, mutant))
    assert found.status == "wrong" and found.kind == kind_of(mutant) == "a missing root"
    assert 0 < found.error < float("inf")


def test_what_is_no_common_mistake_looks_like_none(bench):
    found = check(bench, GUIDANCE, guide("return 3 * eps_cond - eps_uncond"))
    assert found.status == "wrong" and found.kind == ""


def test_a_loop_without_an_end_is_late_and_costs_its_own_exercise_only(bench, monkeypatch):
    functions = guide("while True: pass") | here(POSTERIOR)
    monkeypatch.setitem(bench.limits, "seconds", 2)
    assert check(bench, GUIDANCE, functions, like=False).status == "late"
    monkeypatch.undo()
    assert check(bench, POSTERIOR, functions, like=False).status == "right"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("import os", "exercise.py:\\d+: got import of os, wanted mathematics alone"),
        ("return torch.ones(2**36)", "wrong"),
        ("raise SystemExit", "wrong"),
        ("torch.save(eps_cond, 'LEAK')", "wrong"),
    ],
)
def test_what_misbehaves_is_wrong(bench, body, said, tmp_path):
    body = body.replace("LEAK", str(tmp_path / "leak"))
    functions = {"guide": f"import torch\ndef guide(eps_cond, eps_uncond, w):\n    {body}"}
    found = check(bench, GUIDANCE, functions, like=False)
    assert found.status == "wrong" and re.match(said, found.why or "wrong")
    assert not list(tmp_path.iterdir())


def test_a_file_that_raises_says_so(bench):
    found = check(bench, GUIDANCE, guide("return 1") | {"posterior": "undefined"})
    assert found.status == "wrong" and found.why == "NameError: name 'undefined' is not defined"


def test_a_function_of_two_that_is_missing(bench):
    exercise = exercise_of("chart")
    functions = {name: text for name, text in here(exercise).items() if name == "unit_chart"}
    text = functions | {"unit_chart_inverse": ""}
    assert "no function core/sphere.py:unit_chart_inverse" in check(bench, exercise, text).why


def test_comments_annotations_and_blank_lines_are_no_beginning():
    text = written(POSTERIOR, {})
    assert untouched(ast.parse(text.replace("Return μ̃_t", "Return m")), POSTERIOR)
    assert not untouched(ast.parse(written(POSTERIOR, here(POSTERIOR))), POSTERIOR)
    assert untouched(ast.parse(""), POSTERIOR)


def test_the_package_s_code_is_known_whatever_its_words():
    text = written(POSTERIOR, here(POSTERIOR)).replace("Return μ̃_t", "Return m")
    assert as_here(ast.parse(text), POSTERIOR)
    assert not as_here(ast.parse(text.replace("from_x_0 * x_0", "x_0 * from_x_0")), POSTERIOR)
    assert bodies(ast.parse("def f(x: int) -> int:\n    'words'\n    return x")) == {
        "f": "return x"
    }


def test_a_process_that_ended_by_itself_is_wrong():
    told = [{"lacking": ["Landlock: no"]}]
    found = judged(POSTERIOR, {"told": told, "ended": "dead"})
    assert found.status == "wrong" and found.why.startswith("its process ended")
    assert found.lacking == ("Landlock: no",)


def test_a_test_that_was_not_told_is_wrong():
    told = [{"test": POSTERIOR.tests(POSTERIOR.rows[0])[0], "status": "passed", "said": ""}]
    found = judged(POSTERIOR, {"told": told, "ended": "late"})
    assert [one.right for one in found.equations] == [True, False] and found.status == "late"


def test_without_tests_or_pytest_nothing_is_checked(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="checking needs the tests, as in a checkout"):
        Bench(1, 1.0, tmp_path)
    monkeypatch.setattr(learn_bench.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match=r"pip install 'latentgeo\[course\]'"):
        Bench(1, 1.0)


def test_a_process_that_is_gone_is_a_failure():
    with Bench(1, 1.0) as broken:
        broken.process.kill()
        broken.process.wait()
        with pytest.raises(RuntimeError, match="the process that tries answers has ended"):
            check(broken, POSTERIOR, here(POSTERIOR))
