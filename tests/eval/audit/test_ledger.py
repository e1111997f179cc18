"""The ledger is read as papers and rows, and what is out of step with it is said."""

import pytest

from latentgeo.eval.audit import ledger as audit_ledger
from latentgeo.eval.audit.ledger import (
    Row,
    locate,
    papers,
    parse_ledger,
    place_of,
    problems,
    rows,
    source_of,
    tags_in,
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
        file, place = locate(reference)
        name = reference.replace("::", ":").split(":")[1].split(".")[-1]
        text = (audit_ledger.ROOT / file).read_text(encoding="utf-8").splitlines()[place.line - 1]
        assert f"def {name}(" in text and place.docstring


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
    monkeypatch.setattr(audit_ledger, "ROOT", tmp_path)
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


def test_an_installed_package_says_where_its_tests_are(monkeypatch, tmp_path):
    """Tests are not part of an installation, which is no gap in the ledger."""
    monkeypatch.setattr(audit_ledger, "ROOT", tmp_path)
    assert place_of("tests/core/test_ddim.py::test_step").endswith(
        "(in the repository, not installed)"
    )
    assert place_of("core/nowhere.py:step").endswith("(not found)")


def test_a_paper_has_its_heading_notation_errata_and_rows():
    found = {paper.key: paper for paper in papers()}
    smooth = found["Smooth"]
    assert smooth.title.startswith("Smooth Diffusion: Crafting")
    assert smooth.authors[0] == "Jiayi Guo" and smooth.authors[-1] == "Humphrey Shi"
    assert (smooth.year, smooth.arxiv) == ("2023", "2312.04410")
    assert ("C", "`step_ratio`, `global_ratio`") in smooth.notation
    assert any(erratum.startswith("Eq. 9 has one target a") for erratum in smooth.errata)
    assert smooth.rows == rows("Smooth")
    assert found["OT"].arxiv == "2511.12757"  # named in a sentence
    assert not found["SSIM"].arxiv and not found["SmoothS"].authors
    assert sum((paper.rows for paper in found.values()), ()) == rows()


def test_sources_begin_at_their_decorators():
    first, text = source_of("core/smooth.py:RunningMean")
    assert text.startswith("@dataclass") and text.splitlines()[1] == "class RunningMean:"
    assert first == locate("core/smooth.py:RunningMean")[1].line - 1
    assert source_of("core/smooth.py:nothing") is None
