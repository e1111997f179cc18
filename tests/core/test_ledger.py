"""Ledger, code and tests say the same of every equation, in both directions."""

import pytest

from latentgeo.eval.audit.ledger import LEDGER, ROOT, problems, rows, tags_in

FOLDERS = ("core", "kernels", "models", "infer", "train", "eval", "tests")
FILES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
TREATMENTS = ("verbatim", "rearranged", "corrected", "not implemented")


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.tag.replace(" ", "-"))
def test_row_has_code_and_tests_that_name_it(row):
    assert not problems(row)
    assert row.statement and row.notes.startswith(TREATMENTS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_tag_has_a_row(path):
    known = {row.tag for row in rows()}
    strays = [f"{tag} in {where}" for tag, where in tags_in(path) if tag not in known]
    assert not strays, "add a row to core/PAPERS.md for " + "; ".join(strays)


def test_no_row_is_written_twice():
    seen = [(row.tag, row.statement) for row in rows()]
    assert len(seen) == len(set(seen))


def test_every_paper_has_a_title_an_id_and_a_table():
    sections = LEDGER.read_text(encoding="utf-8").split("\n## ")[1:]
    assert len(sections) == len({row.key for row in rows()})
    for section in sections:
        key, title = section.splitlines()[0].split(": ", 1)
        assert title and "arXiv " in section
        assert f"| {key} " in section
