"""BibTeX of the ledger's papers, from its headings."""

from __future__ import annotations

import re
import unicodedata

from latentgeo.eval.audit_ledger import Paper


def bibtex(papers: tuple[Paper, ...]) -> str:
    """Return an entry per work; a supplement without authors of its own has its paper's."""
    return "\n\n".join(_entry(paper) for paper in papers if paper.authors)


def _entry(paper: Paper) -> str:
    fields = {
        "title": f"{{{paper.title}}}",
        "author": " and ".join(paper.authors),
        "year": paper.year,
    }
    if paper.arxiv:
        fields |= {"eprint": paper.arxiv, "archivePrefix": "arXiv"}
    if found := re.search(r"\bdoi (\S+?)[.;,]?(?:\s|$)", paper.about):
        fields["doi"] = found[1]
    if found := re.search(r"\(([A-Z][A-Za-z]+ \d{4})\)", paper.about):
        fields["note"] = found[1]
    lines = ",\n".join(f"  {name} = {{{text}}}" for name, text in fields.items())
    return f"@misc{{{_name(paper)},\n{lines}\n}}"


def _name(paper: Paper) -> str:
    """Return a name such as ho2020ddpm, in ASCII."""
    family = unicodedata.normalize("NFKD", paper.authors[0].split()[-1])
    return re.sub(r"[^a-z0-9]", "", f"{family}{paper.year}{paper.key}".lower())
