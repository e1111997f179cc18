"""The audit reads the ledger, finds lines, notices what is out of step and runs tests."""

import subprocess
import sys
from pathlib import Path

import pytest

from latentgeo.eval import audit
from latentgeo.eval.audit import (
    Audit,
    Row,
    html_page,
    locate,
    parse_ledger,
    problems,
    rows,
    run_tests,
    tags_in,
    text_table,
)

STEP = "core/ddim.py:step"
TEST = "tests/core/test_ddim.py::test_steps_with_one_eps_compose"


def row(tag="DDIM Eq. 12", code=(STEP,), tests=(TEST,), notes="verbatim"):
    return Row(tag, "x_{t-1} = …", tuple(code), tuple(tests), notes)


def test_a_table_becomes_rows():
    text = (
        "## DDPM: x\n\n| paper | here |\n| :-- | :-- |\n| a | b |\n\n"
        "| Equation | Statement | Code | Test | Notes |\n| :-- | :-- | :-- | :-- | :-- |\n"
        "| DDPM Eq. 6 | q(x \\| y) | `a.py:f`, `b.py:C.g` | `t.py::test` | verbatim |\n"
        "| Smooth Eq. 15 | ε |  |  | not implemented yet |\n"
    )
    first, second = parse_ledger(text)
    assert first == Row(
        "DDPM Eq. 6", "q(x | y)", ("a.py:f", "b.py:C.g"), ("t.py::test",), "verbatim"
    )
    assert first.key == "DDPM" and first.implemented and not second.implemented


@pytest.mark.parametrize("line", ["| DDPM Eq. 6 | a | b |", "| Equality 6 | a | b | c | d |"])
def test_a_broken_row_is_named(line):
    with pytest.raises(ValueError, match="line 2"):
        parse_ledger(f"| Equation |\n{line}\n")


def test_lines_are_those_of_the_file():
    for reference in (STEP, TEST, "core/schedule.py:Schedule.bar"):
        file, line, docstring = locate(reference)
        name = reference.replace("::", ":").split(":")[1].split(".")[-1]
        text = (audit.ROOT / file).read_text(encoding="utf-8").splitlines()[line - 1]
        assert f"def {name}(" in text and docstring


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (row(code=["core/ddim.py:stride"]), "has no stride"),
        (row(code=["core/none.py:step"]), "no such file"),
        (row(tests=["tests/core/test_ddim.py::test_none"]), "has no test_none"),
        (row(tag="DDIM Eq. 13"), "docstring of core/ddim.py:step does not have the tag"),
        (row(tag="DDIM Eq. 1"), "does not have the tag"),  # a prefix of Eq. 12 is not Eq. 12
        (row(tests=[]), "no code or no test"),
        (row(notes="not implemented"), "yet has code"),
    ],
)
def test_what_is_out_of_step_is_said(wrong, message):
    assert not problems(row())
    assert any(message in problem for problem in problems(wrong))


def test_tags_are_found_in_docstrings_only(tmp_path, monkeypatch):
    monkeypatch.setattr(audit, "ROOT", tmp_path)
    path = tmp_path / "x.py"
    path.write_text(
        '"""Smooth Eq. 9. SmoothS Sec. A.3, iDDPM Eq. 1."""\n'
        'A = "DDIM Eq. 1"  # CFG Eq. 6\n\n\nclass B:\n'
        '    def c(self):\n        """Of LDM Sec.\n        3.3 and\n        DDPM Alg. 2."""\n'
    )
    assert [tag for tag, _ in tags_in(path)] == [
        "Smooth Eq. 9",
        "SmoothS Sec. A.3",
        "LDM Sec. 3.3",
        "DDPM Alg. 2",
    ]
    assert list(tags_in(path))[2][1] == "x.py:6 B.c"


def test_rows_of_one_paper():
    assert {found.key for found in rows("DDIM")} == {"DDIM"}
    with pytest.raises(ValueError, match=r"paper must be one of .*, got 'Smoothie'"):
        rows("Smoothie")


def test_a_row_is_printed_with_its_lines_and_outcome():
    text = text_table((row(),), {TEST: "passed"})
    assert f"core/ddim.py:{locate(STEP)[1]} step" in text
    assert f"{locate(TEST)[1]} test_steps_with_one_eps_compose passed" in text
    page = html_page((row(notes="verbatim <b>"),), {TEST: "failed"})
    assert "<b>failed</b>" in page and "verbatim &lt;b&gt;" in page


def test_tests_are_run_and_failures_are_failures(tmp_path, monkeypatch):
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_x.py").write_text(
        "import pytest\n\n\n"
        "@pytest.mark.parametrize('n', [1, 2])\ndef test_good(n):\n    pass\n\n\n"
        "@pytest.mark.parametrize('n', [1, 2])\ndef test_bad(n):\n    assert n == 1\n\n\n"
        "def test_gone():\n    pytest.skip('no')\n"
    )
    monkeypatch.setattr(audit, "ROOT", tmp_path)
    names = [f"tests/test_x.py::test_{name}" for name in ("good", "bad", "gone")]
    outcomes = run_tests((row(tests=names),))
    assert outcomes == dict(zip(names, ["passed", "failed", "skipped"], strict=True))
    monkeypatch.setattr(audit, "ROOT", tmp_path / "tests")
    with pytest.raises(FileNotFoundError, match="needs a checkout"):
        run_tests((row(),))


def test_the_command_prints_writes_and_fails_loudly(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(audit, "rows", lambda paper: (row(),))
    assert Audit(html=tmp_path / "audit.html").run() == 0
    assert "1 rows, 1 implemented" in capsys.readouterr().out
    assert "<table>" in (tmp_path / "audit.html").read_text(encoding="utf-8")
    monkeypatch.setattr(audit, "rows", lambda paper: (row(code=["core/ddim.py:stride"]),))
    with pytest.raises(RuntimeError, match="has no stride"):
        Audit().run()
    monkeypatch.setattr(audit, "rows", lambda paper: (row(),))
    monkeypatch.setattr(audit, "run_tests", lambda ledger: {TEST: "failed"})
    with pytest.raises(RuntimeError, match="compose failed"):
        Audit(check=True).run()


def test_importing_the_audit_imports_no_torch():
    code = "import sys, latentgeo.eval.audit; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path("/"))


def test_an_installed_package_says_where_its_tests_are(monkeypatch, tmp_path):
    """Tests are not part of an installation, which is no gap in the ledger."""
    monkeypatch.setattr(audit, "ROOT", tmp_path)
    assert audit.place("tests/core/test_ddim.py::test_step").endswith(
        "(in the repository, not installed)"
    )
    assert audit.place("core/nowhere.py:step").endswith("(not found)")
