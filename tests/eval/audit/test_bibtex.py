"""BibTeX of every paper, from the ledger's headings."""

import re
from dataclasses import replace

from latentgeo.eval.audit.bibtex import bibtex
from latentgeo.eval.audit.ledger import papers

PAPERS = papers()


def test_every_paper_has_a_whole_entry_of_its_own():
    entries = bibtex(PAPERS).split("\n\n")
    assert len(entries) == len(PAPERS) - 1  # the supplement is a part of its paper
    keys = [re.match(r"@misc\{([a-z0-9]+),\n", entry)[1] for entry in entries]
    assert len(set(keys)) == len(keys)
    for entry in entries:
        assert entry.count("{") == entry.count("}")
        assert all(f"  {field} = {{" in entry for field in ("title", "author", "year"))
        assert "eprint" in entry or "doi" in entry


def test_an_entry():
    (ddpm,) = (paper for paper in PAPERS if paper.key == "DDPM")
    assert bibtex((ddpm,)) == (
        "@misc{ho2020ddpm,\n"
        "  title = {{Denoising Diffusion Probabilistic Models}},\n"
        "  author = {Jonathan Ho and Ajay Jain and Pieter Abbeel},\n"
        "  year = {2020},\n"
        "  eprint = {2006.11239},\n"
        "  archivePrefix = {arXiv}\n}"
    )


def test_keys_are_ascii():
    paper = replace(PAPERS[0], authors=("Björn Åström",))
    assert bibtex((paper,)).startswith("@misc{astrom2023smooth,")


def test_a_family_name_of_two_words_stays_whole():
    (one,) = (paper for paper in PAPERS if paper.key == "CLIPScore")
    assert "Maxwell Forbes and Le Bras, Ronan and Yejin Choi" in bibtex((one,))


def test_a_poster_says_that_its_number_is_the_full_versions():
    (poster,) = (paper for paper in PAPERS if paper.key == "OT")
    entry = bibtex((poster,))
    assert "eprint = {2511.12757}" in entry
    assert "note = {poster; the eprint is its full version, Which Way from B to A}" in entry


def test_a_work_without_arxiv_has_its_journal():
    (ssim,) = (paper for paper in PAPERS if paper.key == "SSIM")
    assert "howpublished = {IEEE Transactions on Image Processing 13(4)}" in bibtex((ssim,))
    assert "eprint" not in bibtex((ssim,))
