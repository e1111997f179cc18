"""What came of answers, in words."""

from latentgeo.eval.course.learn.bench import Checked, Equation
from latentgeo.eval.course.learn.exercises import exercise_of
from latentgeo.eval.course.learn.report import SOLVED, keep, statuses, text_check, verdict

POSTERIOR = exercise_of("posterior")
RIGHT = Checked(POSTERIOR, "right", (Equation("DDPM Eq. 6", True, 1e-15),))


def test_a_right_answer_has_the_largest_error():
    assert text_check(RIGHT) == (
        "posterior            right\n    DDPM Eq. 6       right   error 1.0e-15"
    )


def test_a_wrong_answer_has_test_difference_and_likeness():
    wrong = Equation("DDPM Eq. 6", False, None, ("test_a", "test_b", "test_c"), "not close")
    text = text_check(Checked(POSTERIOR, "wrong", (wrong,), error=0.5, kind="a sign", lines=(31,)))
    assert "DDPM Eq. 6       wrong   test_a, test_b and 1 more: not close" in text
    assert "largest difference from the package 5.0e-01 of its values" in text
    assert text.endswith("it looks like a sign, in line 31")
    assert text_check(Checked(POSTERIOR, "late", (wrong,))).endswith("none of the common mistakes")
    assert text_check(Checked(POSTERIOR, "wrong", why="a.py:3: x")).endswith("    a.py:3: x")
    assert text_check(Checked(POSTERIOR, "open")) == "posterior            not begun"


def test_the_sum_says_which_walls_are_lacking():
    assert verdict([RIGHT]) == "1 of 1 solved"
    lacking = Checked(POSTERIOR, "wrong", lacking=("Landlock: no",))
    assert verdict([RIGHT, lacking]) == "1 of 2 solved\nthe fence lacks Landlock: no"


def test_what_is_solved_is_kept_and_added_to(tmp_path):
    keep(tmp_path, [RIGHT])
    keep(tmp_path, [Checked(exercise_of("guidance"), "open")])
    assert statuses(tmp_path) == {"posterior": "right", "guidance": "open"}
    (tmp_path / SOLVED).write_text("[1]")
    assert statuses(tmp_path) == {}
    (tmp_path / SOLVED).write_text("{")
    assert statuses(tmp_path) == {}
