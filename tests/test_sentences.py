"""Every sentence that users can meet is listed with a test that meets it (tests/sentences.py)."""

import ast
import warnings
from pathlib import Path

import pytest

from latentgeo.core.run import main
from latentgeo.infer.data.items import BadItem
from tests import sentences
from tests.recorder import RECORDER, Recorder
from tests.sentences import MEND, ROOT, mended, rows, sites, stale, unlisted

SOURCE = """
def check(steps, fail):
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    if fail:
        raise RuntimeError(
            "it failed" + (" twice" if fail > 1 else "")
        ) from None
    raise KeyError("for us")

class Reader:
    path = "here"

    def read(self):
        raise ValueError("no file")

    def open(self):
        warnings.warn(f"{self.path!r}: no file", stacklevel=2)
        raise ValueError("no file")

    def close(self, stop):
        raise self.error("x", stop)
        raise stop

def keep():
    try:
        raise BadItem("a", "no image")
    except BadItem:
        return
"""


def test_every_sentence_is_listed_and_every_row_has_one():
    assert not unlisted(rows()) and not stale(rows()), MEND


def test_the_tests_of_the_lists_are_there(request):
    """By their functions; where a whole file was collected, by the whole of their names."""
    option = request.config.option
    some = (option.keyword, option.markexpr, option.deselect, getattr(option, "lf", False))
    whole = not (any(some) or any("::" in one for one in request.config.args))
    collected = {item.nodeid for item in request.session.items}
    files = {name.partition("::")[0] for name in collected}
    for test in {test for there in rows().values() for test in there.values()}:
        file, _, function = test.partition("::")
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        names = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        assert function.partition("[")[0].rpartition("::")[2] in names, f"{test}; {MEND}"
        assert not whole or file not in files or test in collected, f"{test}; {MEND}"


def test_sentences_are_found_as_they_stand_in_the_code():
    assert [(site.function, site.sentence) for site in sites(SOURCE)] == [
        ("check", "steps must be at least 1, got {steps}"),
        ("check", "it failed( twice | )"),
        ("Reader.read", "no file (Reader.read)"),
        ("Reader.open", "{self.path}: no file"),
        ("Reader.open", "no file (Reader.open)"),
        ("Reader.close", "self.error(x, {stop})"),
        ("keep", "BadItem(a, no image)"),
    ]


@pytest.fixture
def recorder(monkeypatch, tmp_path):
    """A recorder of a package with one file, the source above."""
    (tmp_path / "core").mkdir()
    (tmp_path / "core" / "check.py").write_text(SOURCE, encoding="utf-8")
    monkeypatch.setattr(sentences, "ROOT", tmp_path)
    return Recorder()


def functions(path: Path) -> dict:
    """Return what the file defines."""
    scope = {"warnings": warnings, "BadItem": BadItem}
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), scope)
    return scope


def test_an_error_is_noted_with_those_behind_it(recorder):
    check = functions(sentences.ROOT / "core" / "check.py")["check"]
    with pytest.raises(RuntimeError) as raised:
        try:
            check(0, 0)
        except ValueError:
            check(1, 2)
    recorder.error(raised.value)
    assert [(met.sentence, met.said) for met in recorder.met] == [
        ("it failed( twice | )", "it failed twice"),
        ("steps must be at least 1, got {steps}", "steps must be at least 1, got 0"),
    ]


def test_what_is_expected_printed_warned_of_and_kept_is_noted(recorder, capsys):
    scope = functions(sentences.ROOT / "core" / "check.py")
    RECORDER.met.clear()
    with pytest.raises(ValueError, match="no file"):
        scope["Reader"]().read()
    assert main.guarded("x", lambda: scope["check"](0, 0)) == 2
    with pytest.warns(UserWarning, match="no file"), pytest.raises(ValueError, match="no file"):
        scope["Reader"]().open()
    scope["keep"]()
    assert [met.sentence for met in RECORDER.met] == [
        "no file (Reader.read)",
        "steps must be at least 1, got {steps}",
        "{self.path}: no file",
        "no file (Reader.open)",
        "BadItem(a, no image)",
    ]


def test_a_row_gives_way_only_to_a_test_that_meets_it(monkeypatch):
    monkeypatch.setattr(sentences, "all_sites", lambda: {"core/a.py": sites(SOURCE)[:2]})
    first, second = (site.sentence for site in sites(SOURCE)[:2])
    listed = {"core/a.py": {first: "tests/t.py::old", "gone": "tests/t.py::x"}}
    assert stale(listed) == ["core/a.py: gone"]
    assert unlisted(listed) == [f"core/a.py:6: {second}"]
    here, there = ["tests/t.py::new", "core/a.py"], ["tests/core/test_a.py::new[1]", "core/a.py"]
    assert mended(listed, [[*here, second, ""]]) == {
        "core/a.py": {first: "tests/t.py::old", second: "tests/t.py::new"}
    }
    ran = [["tests/t.py::old", "core/a.py", second, ""], [*here, first, ""], [*there, first, ""]]
    assert mended(listed, ran)["core/a.py"][first] == "tests/core/test_a.py::new[1]"
    assert mended(listed, [["tests/t.py::old"]]) == {}
    assert mended(listed, [["tests/u.py::u", "core/a.py", first, ""]])["core/a.py"] == {
        first: "tests/t.py::old"
    }
