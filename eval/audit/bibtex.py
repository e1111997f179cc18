"""BibTeX of the ledger's papers, from its headings."""

from __future__ import annotations

import re
import unicodedata

from latentgeo.eval.audit.ledger import Paper

FAMILIES = ("Le Bras",)  # names of more than one word, which BibTeX would take apart


def bibtex(papers: tuple[Paper, ...]) -> str:
    """Return an entry per work; a supplement without authors of its own has its paper's."""
    return "\n\n".join(_entry(paper) for paper in papers if paper.authors)


def _entry(paper: Paper) -> str:
    fields = {
        "title": f"{{{paper.title}}}",
        "author": " and ".join(map(_author, paper.authors)),
        "year": paper.year,
    }
    if paper.arxiv:
        fields |= {"eprint": paper.arxiv, "archivePrefix": "arXiv"}
    if found := re.search(r"([^.]*), doi (\S+?)[.;,]?(?:\s|$)", paper.about):
        fields |= {"howpublished": found[1].strip(), "doi": found[2]}
    if found := re.search(r"\(([A-Z][A-Za-z]+ \d{4})\)", paper.about):
        fields["note"] = found[1]
    if found := re.search(r"\"([^\"]+)\", is the full version of this poster", paper.about):
        fields["note"] = f"poster; the eprint is its full version, {found[1]}"
    lines = ",\n".join(f"  {name} = {{{text}}}" for name, text in fields.items())
    return f"@misc{{{_name(paper)},\n{lines}\n}}"


def _author(name: str) -> str:
    """Return a name as BibTeX reads it: the last word is the family's, unless a comma says so."""
    for family in FAMILIES:
        if name.endswith(f" {family}"):
            return f"{family}, {name.removesuffix(family).strip()}"
    return name


def _name(paper: Paper) -> str:
    """Return a name such as ho2020ddpm, in ASCII."""
    family = unicodedata.normalize("NFKD", paper.authors[0].split()[-1])
    return re.sub(r"[^a-z0-9]", "", f"{family}{paper.year}{paper.key}".lower())
