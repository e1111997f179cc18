"""Blanks: signatures and equations stay, bodies go."""

import ast

import pytest

from latentgeo.eval.course.learn.blank import blank, definition, leading_checks, solution
from latentgeo.eval.course.learn.exercises import chapter_names, exercise_of, of_chapter


@pytest.mark.parametrize("name", chapter_names())
def test_a_blank_has_every_signature_and_docstring_and_no_body(name):
    tree = ast.parse(blank(of_chapter(name)))
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    for exercise in of_chapter(name):
        for reference, own in zip(exercise.functions, exercise.names, strict=True):
            ours, theirs = definition(reference), functions[own]
            assert ast.unparse(ours.args) == ast.unparse(theirs.args)
            assert ast.get_docstring(ours) == ast.get_docstring(theirs)
            assert ast.unparse(theirs.body[-1]) == (
                f"raise NotImplementedError('exercise {exercise.key}')"
            )
            assert len(theirs.body) == 2 + leading_checks(ours)


def test_a_check_at_the_beginning_stays_and_what_computes_does_not():
    text = blank(of_chapter("going-back"))
    assert "puts noise back: give noise of shape" in text
    assert "bar_prev.sqrt()" not in text
    assert "from latentgeo.core.schedule import Schedule" in text


def test_private_names_are_imported_where_they_are_given():
    text = blank(of_chapter("sphere"))
    assert "import PARALLEL, _flatten\n" in text and "_orthogonal" not in text


def test_kernels_keep_their_decorator():
    text = blank(of_chapter("kernels"))
    assert text.count("@triton.jit\ndef ") == 3
    assert "import triton\nimport triton.language as tl\n" in text


def test_a_solution_is_the_package_s_own():
    text = solution(exercise_of("running-mean"))
    assert text.startswith("def update(") and "\n\n\ndef mean_at(" in text


def test_a_solution_has_the_helpers_that_are_not_given():
    text = solution(exercise_of("optimal-coupling"))
    assert text.index("def optimal(") < text.index("def _optimal(")


def test_a_function_that_is_not_there():
    with pytest.raises(LookupError, match="has no function nothing"):
        definition("core/ddpm.py:nothing")
