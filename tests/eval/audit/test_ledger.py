"""The ledger is read as papers and rows, and what is out of step with it is said."""

import pytest

from latentgeo.eval.audit import references
from latentgeo.eval.audit.ledger import Row, papers, parse_paper, row_of, rows
from latentgeo.eval.audit.references import locate, place_of, problems, source_of, tags_in

STEP = "core/ddim.py:step"
TEST = "tests/core/test_ddim.py::test_steps_with_one_eps_compose"


def row(tag="DDIM Eq. 12", code=(STEP,), tests=(TEST,), verdict="verbatim"):
    return Row(tag, "Sec. 4.1", "x_{t-1} = x", "", verdict, "", tuple(code), tuple(tests))


PAPER = r"""# DDPM: Denoising

By A B and C D, 2020.

arXiv 2006.11239.

## Notation

| paper | here |
| :-- | :-- |
| $a$ | b |

## Equations

### DDPM Eq. 6

*Sec. 2, "tractable when"*

```math
q(x \mid y)
```

Here:

```math
p
```

Verdict: **scaled**: by `2`,
for a reason

Code: `a.py:f`, `b.py:C.g`

Tests: `t.py::test`

### DDPM Sec. 4

> Data are scaled
> to $[-1, 1]$.

Verdict: **not here**: no data

## Errata

### DDPM Err. 1

> It is so.

Verdict: **proved**

Tests: `t.py::test`
"""


def test_a_file_becomes_a_paper():
    paper = parse_paper(PAPER, "ddpm.md")
    assert (paper.key, paper.authors, paper.year) == ("DDPM", ("A B", "C D"), "2020")
    assert paper.arxiv == "2006.11239" and paper.notation == (("$a$", "b"),)
    first, second = paper.rows
    assert first == Row(
        "DDPM Eq. 6",
        'Sec. 2, "tractable when"',
        r"q(x \mid y)",
        "p",
        "scaled",
        "by `2`, for a reason",
        ("a.py:f", "b.py:C.g"),
        ("t.py::test",),
    )
    assert second.printed == "Data are scaled to $[-1, 1]$." and second.prose
    assert first.implemented and not first.erratum and not second.implemented
    (erratum,) = paper.errata
    assert erratum.erratum and erratum.verdict == "proved" and not erratum.code


@pytest.mark.parametrize(
    ("was", "becomes", "message"),
    [
        ("# DDPM: D", "# Ddpm: D", "ddpm.md: got '# Ddpm: Denoising"),
        ("### DDPM Eq. 6", "### Equality 6", "got the heading 'Equality 6'"),
        ("**scaled**", "**rescaled**", r"DDPM Eq. 6: got verdict '\*\*rescaled"),
        ("Verdict: **proved**", "", "DDPM Err. 1: got verdict 'none', wanted .*proved"),
        ("**proved**", "**verbatim**", "wanted .*inferred"),
    ],
)
def test_a_broken_file_is_named(was, becomes, message):
    with pytest.raises(ValueError, match=message):
        parse_paper(PAPER.replace(was, becomes), "ddpm.md")


def test_a_row_by_its_tag():
    assert row_of("DDIM Eq. 12").key == "DDIM"
    with pytest.raises(ValueError, match=r"got .DDIM Eq\. 13., wanted a tag such as .*12"):
        row_of("DDIM Eq. 13")


def test_lines_are_those_of_the_file():
    for reference in (STEP, TEST, "core/schedule.py:Schedule.bar"):
        file, place = locate(reference)
        name = reference.replace("::", ":").split(":")[1].split(".")[-1]
        text = (references.ROOT / file).read_text(encoding="utf-8").splitlines()[place.line - 1]
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
        (row(verdict="not here"), "yet has code"),
    ],
)
def test_what_is_out_of_step_is_said(wrong, message):
    assert not problems(row())
    assert any(message in problem for problem in problems(wrong))


def test_tags_are_found_in_docstrings_only(tmp_path, monkeypatch):
    monkeypatch.setattr(references, "ROOT", tmp_path)
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
    monkeypatch.setattr(references, "ROOT", tmp_path)
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
    assert ("$C$", "`step_ratio`, `global_ratio`") in smooth.notation
    assert smooth.errata and smooth.rows + smooth.errata == rows("Smooth")
    assert found["OT"].arxiv == "2511.12757"  # named in a sentence
    assert not found["SSIM"].arxiv and not found["SmoothS"].authors
    assert sum((paper.rows + paper.errata for paper in found.values()), ()) == rows()


def test_sources_begin_at_their_decorators():
    first, text = source_of("core/smooth.py:RunningMean")
    assert text.startswith("@dataclass") and text.splitlines()[1] == "class RunningMean:"
    assert first == locate("core/smooth.py:RunningMean")[1].line - 1
    assert source_of("core/smooth.py:nothing") is None
