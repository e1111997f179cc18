"""The command, from the line to what it prints and writes."""

from contextlib import nullcontext

import pytest

from latentgeo.core.run.main import main
from latentgeo.eval.course.learn import run
from latentgeo.eval.course.learn.blank import blank
from latentgeo.eval.course.learn.exercises import CHAPTERS, exercise_of, exercises, of_chapter
from latentgeo.eval.course.learn.run import chapter_text
from tests.eval.course.learn.answers import here, written

GUIDANCE = exercise_of("guidance")
WRONG = {
    "guide": "def guide(c, u, w):\n    return w * c + (1 + w) * u",
}


@pytest.fixture
def shared(bench, monkeypatch):
    """Have the command check on the bench of all tests."""
    monkeypatch.setattr(run, "Bench", lambda *_: nullcontext(bench))


def test_the_list_has_every_exercise(capsys, tmp_path):
    assert main(["learn", "--course", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert all(one.key in shown and one.title in shown for one in exercises())
    assert f"0 of {len(exercises())} solved" in shown


def test_a_chapter_by_name_or_number(capsys):
    assert main(["learn", "smooth"]) == 0
    by_name = capsys.readouterr().out
    assert main(["learn", "5"]) == 0
    assert capsys.readouterr().out == by_name and "Smooth Eq. 10" in by_name


def test_hint_and_solution(capsys):
    assert main(["learn", "--hint", "guidance"]) == 0
    assert capsys.readouterr().out == f"{GUIDANCE.hint}\n"
    assert main(["learn", "--solution", "guidance"]) == 0
    assert "return w * eps_cond + (1 - w) * eps_uncond" in capsys.readouterr().out


def test_a_chapter_is_written_once(capsys, tmp_path):
    out = tmp_path / "my" / "going-back"
    assert main(["learn", "going-back", "--out", str(out)]) == 0
    assert (out / "exercise.py").read_text() == blank(of_chapter("going-back"))
    assert str(out / "exercise.py") in capsys.readouterr().out
    assert main(["learn", "going-back", "--out", str(out)]) == 2
    assert "is there already, and may have answers" in capsys.readouterr().err


def test_a_text_leaves_its_marks_and_finds_its_links():
    text = "v is <!--=top-->0.385<!--/--> [here](../../../core/ddim.py#L1), [there](https://x)"
    plain = chapter_text(text)
    target = (CHAPTERS / "../../../core/ddim.py").resolve().as_uri()
    assert plain == f"v is 0.385 [here]({target}#L1), [there](https://x)"


def test_answers_are_checked_and_what_is_solved_is_kept(capsys, tmp_path, shared):
    folder = tmp_path / "going-back"
    folder.mkdir()
    file = folder / "exercise.py"
    words = ["learn", "--check", str(folder), "--only", "guidance"]
    file.write_text(written(GUIDANCE, WRONG))
    assert main(words) == 1
    said = capsys.readouterr()
    assert "guidance             wrong" in said.out and "it looks like a sign" in said.out
    assert "CFG Eq. 6        wrong   test_guidance_is_the_score" in said.out
    assert "0 of 1 solved" in said.err
    file.write_text(written(GUIDANCE, here(GUIDANCE)))
    assert main(words) == 0
    assert "Smooth Eq. 5     right   error" in capsys.readouterr().out
    assert main(["learn", "--course", str(tmp_path)]) == 0
    assert "1 of 6 solved" in capsys.readouterr().out


def test_a_class_is_marked_in_a_file(capsys, tmp_path, shared):
    (tmp_path / "class" / "anna").mkdir(parents=True)
    (tmp_path / "class" / "anna" / "exercise.py").write_text(blank(of_chapter("going-back")))
    out = tmp_path / "marks.csv"
    assert main(["learn", "--check-all", str(tmp_path / "class"), "--csv", str(out)]) == 0
    assert "anna                     0 of 6 right" in capsys.readouterr().out
    assert out.read_text().startswith("student,right,as in the package,posterior,")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["smoth"], "got 'smoth', wanted chapter smooth"),
        (["--hint", "ddim"], "got 'ddim', wanted exercise"),
        (["--hint", "--solution", "slerp"], "got 2 things to do with it, wanted one of"),
        (["--check"], "got nothing, wanted a chapter, a folder or an exercise"),
        (["smooth", "--csv", "a.csv"], "--csv: got a file of marks, wanted --check-all with it"),
        (["--check", "nowhere"], "nowhere has no exercise.py"),
        (["--check-all", "nowhere"], "nowhere is no folder of students' folders"),
        (["--seconds", "0"], "--seconds must be positive"),
    ],
)
def test_bad_input_is_one_line_and_status_2(words, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["learn", *words]) == 2
    said = capsys.readouterr().err
    assert said.startswith("latentgeo learn: ") and said.count("\n") == 1
    assert message in said


def test_an_exercise_that_the_file_does_not_have(capsys, tmp_path, shared):
    (tmp_path / "exercise.py").write_text(blank(of_chapter("going-back")))
    assert main(["learn", "--check", str(tmp_path), "--only", "slerp"]) == 2
    assert "--only: got 'slerp', wanted some of ancestral-step" in capsys.readouterr().err
