"""Ledger, code and tests say the same of every equation, in both directions."""

import re
from collections import Counter

import pytest

from latentgeo.eval.audit.ledger import CERTAINTIES, PAPERS, ROOT, VERDICTS, papers, rows
from latentgeo.eval.audit.references import behind, problems, source_of, tags_in

FOLDERS = ("core", "kernels", "models", "infer", "train", "eval", "tests")
FILES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
COMPARED = {"equal", "scaled", "corrected", "as released", "optimised"}
INDEX = (ROOT / "core" / "PAPERS.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.tag.replace(" ", "-"))
def test_row_has_code_and_tests_that_name_it(row):
    assert not problems(row)
    assert row.printed
    assert row.implemented or row.notes


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_tag_has_a_row(path):
    """A section's tag without its letter means all of its rows."""
    known = {row.tag for row in rows()}
    known |= {re.sub(r"(?<=\d)[a-z]$", "", tag) for tag in known}
    strays = [f"{tag} in {where}" for tag, where in tags_in(path) if tag not in known]
    assert not strays, "add a row to core/papers for " + "; ".join(strays)


@pytest.mark.parametrize("row", [row for row in rows() if row.verdict in COMPARED])
def test_what_differs_from_print_is_evaluated_beside_it(row):
    """The page shows the number by which they differ."""
    sources = [found[1] for test in behind(row) if (found := source_of(test))]
    assert row.prose or any("differs(" in source for source in sources), row.tag


def test_no_tag_stands_twice():
    assert not [tag for tag, count in Counter(row.tag for row in rows()).items() if count > 1]


def test_every_paper_is_in_the_index():
    for paper, path in ((paper, path) for paper in papers() for path in PAPERS.glob("*.md")):
        if path.read_text(encoding="utf-8").startswith(f"# {paper.key}: "):
            assert f"| {paper.key} | [{paper.title}](papers/{path.name}) |" in INDEX
            assert "arXiv " in paper.about
    assert INDEX.count("](papers/") == len(papers()) == len(list(PAPERS.glob("*.md")))


def test_the_index_explains_every_verdict():
    for name, meaning in VERDICTS.items():
        assert f"| **{name}** | {meaning} |" in INDEX
    words = " ".join(INDEX.split())
    assert all(f"**{name}** ({meaning})" in words for name, meaning in CERTAINTIES.items())
