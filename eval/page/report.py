"""One self-contained HTML page: pictures inside as base64, style inline, light and dark.

A page opens offline and runs no script. Everything that is text is escaped here, once. Pages of
several sections have their contents above the first; long tables are folded.
"""

import base64
import html
import io
import re
from collections.abc import Sequence

from PIL import Image

LONG = 8  # rows of a table that is not folded, at most
STYLE = """
:root { color-scheme: light dark; --ink: #1d1d1f; --soft: #5f5f66; --paper: #ffffff;
  --line: #d9d9de; --panel: #f5f5f7; }
@media (prefers-color-scheme: dark) { :root { --ink: #ececf0; --soft: #a5a5ad; --paper: #161618;
  --line: #3a3a40; --panel: #202024; } }
body { font: 16px/1.55 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 70rem; margin: 2.5rem auto; padding: 0 1.25rem; }
h1 { font-size: 1.75rem; margin: 0 0 .25rem; } h2 { font-size: 1.2rem; margin: 2.75rem 0 .25rem; }
h3 { font-size: 1rem; margin: 1.5rem 0 .25rem; font-weight: 600; }
p { margin: .25rem 0 .75rem; max-width: 48rem; } .soft, figcaption { color: var(--soft);
  font-size: .875rem; }
figure { margin: .75rem 0 1.25rem; overflow-x: auto; } figure img, figure svg { height: auto;
  max-width: max(100%, 40rem); display: block; } figure img { border-radius: 4px; }
svg text { font-family: inherit; } figcaption { max-width: 48rem; margin-top: .35rem; }
ul { padding-left: 1.25rem; max-width: 48rem; } li { margin: .25rem 0; } nav ul { padding: 0;
  list-style: none; display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; max-width: none; }
nav { border: solid var(--line); border-width: 1px 0; padding: .5rem 0; margin: 1.5rem 0;
  font-size: .9375rem; } nav ul { margin: 0; } a { color: inherit; }
summary { cursor: pointer; color: var(--soft); font-size: .9375rem; }
.wide { overflow-x: auto; } table { border-collapse: collapse; margin: .75rem 0 1.25rem;
  font-variant-numeric: tabular-nums; font-size: .9375rem; }
th, td { text-align: left; padding: .35rem 1.25rem .35rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; } th { font-weight: 600; }
pre { background: var(--panel); padding: .75rem 1rem; border-radius: 6px; overflow-x: auto;
  font-size: .8125rem; }
"""


def text(content: str) -> str:
    """Return plain text, escaped."""
    return html.escape(content)


def paragraph(content: str, soft: bool = False) -> str:
    """Return a paragraph of plain text; `soft` is for remarks."""
    kind = ' class="soft"' if soft else ""
    return f"<p{kind}>{text(content)}</p>"


def picture(image: Image.Image, alt: str, caption: str = "") -> str:
    """Return a picture as an inline PNG, at its own size or the page's width."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode()
    note = f"<figcaption>{text(caption)}</figcaption>" if caption else ""
    source = f'<img src="data:image/png;base64,{data}" alt="{text(alt)}" width="{image.width}">'
    return f"<figure>{source}{note}</figure>"


def plot(svg: str, alt: str, caption: str = "") -> str:
    """Return a plot that is an <svg> element already."""
    note = f"<figcaption>{text(caption)}</figcaption>" if caption else ""
    return f'<figure><div role="img" aria-label="{text(alt)}">{svg}</div>{note}</figure>'


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table of plain text; it scrolls sideways where the page is narrow, folded if long.

    Raises ValueError for a row with more or fewer cells than the head.
    """
    if any(len(row) != len(head) for row in rows):
        got = sorted({len(row) for row in rows})
        raise ValueError(f"rows: got {got} cells, wanted {len(head)} in each")
    top = "".join(f'<th scope="col">{text(cell)}</th>' for cell in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{text(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    whole = f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"
    scrolled = f'<div class="wide">{whole}</div>'
    return scrolled if len(rows) <= LONG else folded(f"Table of {len(rows)} rows", scrolled)


def folded(title: str, *parts: str) -> str:
    """Return parts that are shown when the reader opens them."""
    return f"<details><summary>{text(title)}</summary>{''.join(parts)}</details>"


def points(lines: Sequence[str]) -> str:
    """Return a list of plain lines."""
    return f"<ul>{''.join(f'<li>{text(line)}</li>' for line in lines)}</ul>"


def preformatted(content: str) -> str:
    """Return text whose line breaks are kept."""
    return f"<pre>{text(content)}</pre>"


def section(title: str, *parts: str) -> str:
    """Return a section of finished parts under a heading, which the page's contents link to."""
    name = re.sub(r"\W+", "-", title.lower()).strip("-")
    return f'<section id="{name}"><h2>{text(title)}</h2>{"".join(parts)}</section>'


def subsection(title: str, *parts: str) -> str:
    """Return a part of a section under a smaller heading."""
    return f"<h3>{text(title)}</h3>{''.join(parts)}"


def contents(body: str) -> str:
    """Return links to the sections of a page; nothing for fewer than three."""
    found = re.findall(r'<section id="([^"]*)"><h2>(.*?)</h2>', body)
    links = "".join(f'<li><a href="#{name}">{title}</a></li>' for name, title in found)
    return f'<nav aria-label="contents"><ul>{links}</ul></nav>' if len(found) > 2 else ""


def page(title: str, *parts: str) -> str:
    """Return the whole document: what comes before the first section, the contents, the rest."""
    opening, start, rest = "".join(parts).partition("<section ")
    body = opening + contents(start + rest) + start + rest
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{text(title)}</title><style>{STYLE}</style></head>\n"
        f"<body><main><h1>{text(title)}</h1>{body}</main></body></html>\n"
    )
