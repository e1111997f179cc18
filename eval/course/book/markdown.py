"""A chapter's Markdown as HTML: equations typeset, code of the tree, pictures within, sliders.

markdown-it-py reads it. What is put on top: a fence `math` and `$…$` become MathML; a paragraph
`Code: …` becomes the code it names, with its line numbers; a picture becomes a figure, with the
paragraph in italics behind it as its caption; links to the ledger lead to the page of equations,
links to files of the checkout become words.
"""

from __future__ import annotations

import base64
import json
import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from html import escape
from itertools import pairwise
from typing import TYPE_CHECKING

from latentgeo.eval.audit.article import anchor_of
from latentgeo.eval.audit.ledger import rows as ledger_rows
from latentgeo.eval.audit.references import place_of, source_of
from latentgeo.eval.audit.source import coloured, numbered
from latentgeo.eval.audit.typeset import formula
from latentgeo.eval.course.computed import layout
from latentgeo.eval.course.text import EXERCISE, REFERENCE, plain

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

WITH_STOP = re.compile(r'<math display="inline">(?:(?!</math>).)*</math>[,.;:!?)]+')  # one line
LONG = 40  # lines of code that are shown without a click, at most
PAGES = {"README.md": "index.html"}  # a text of the folder under another name; others keep theirs


@dataclass(frozen=True, kw_only=True)
class Around:
    """What a text shows that is not in it: pictures, captions of frames, and hints by exercise."""

    files: Mapping[str, bytes] = field(default_factory=dict)
    captions: Mapping[str, Sequence[str]] = field(default_factory=dict)
    hints: Mapping[str, str] = field(default_factory=dict)


NOTHING = Around()


def body(text: str, around: Around = NOTHING) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Return a text as HTML, and its sections as pairs of name and title.

    Raises RuntimeError where the Markdown library is not installed.
    """
    parser = _parser()
    tokens = parser.parse(plain(text))
    _relink(tokens)
    sections = []
    for token, inline in pairwise(tokens):
        if token.type == "heading_open":
            token.attrSet("id", slug(inline.content))
            sections += [(slug(inline.content), inline.content)] if token.tag == "h2" else []
    shown = list(_replaced(parser, tokens, around))
    html = str(parser.renderer.render(shown, parser.options, {}))
    return WITH_STOP.sub(r'<span class="one">\g<0></span>', html), tuple(sections)


def line(text: str) -> str:
    """Return one line of Markdown as HTML, without a paragraph around it."""
    parser = _parser()
    tokens = parser.parseInline(plain(text))
    _relink(tokens)
    return str(parser.renderer.render(tokens, parser.options, {}))


def slug(title: str) -> str:
    """Return the name that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


@cache
def _parser() -> MarkdownIt:
    try:
        from markdown_it import MarkdownIt
        from mdit_py_plugins.dollarmath import dollarmath_plugin
    except ImportError as error:
        raise RuntimeError(
            "the course's pages need markdown-it-py: python -m pip install 'latentgeo[course]'"
        ) from error
    parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    parser.use(dollarmath_plugin, double_inline=True, allow_labels=False)
    for kind in ("math_inline", "math_inline_double", "math_block"):
        parser.add_render_rule(kind, _math)
    parser.add_render_rule("fence", _fence)
    parser.add_render_rule("table_open", lambda *_: '<div class="wide"><table>')
    parser.add_render_rule("table_close", lambda *_: "</table></div>")
    return parser


def _math(_: object, tokens: Sequence[Token], at: int, *rest: object) -> str:
    token = tokens[at]
    inline = token.type == "math_inline"
    markup = formula(token.content.strip(), display=not inline)
    return markup if inline else f'<div class="equation">{markup}</div>\n'


def _fence(renderer: object, tokens: Sequence[Token], at: int, *rest: object) -> str:
    token = tokens[at]
    if token.info.strip() == "math":
        return _math(renderer, tokens, at)
    python = token.info.strip() == "python"
    text = coloured(token.content, {}) if python else escape(token.content, quote=False)
    return f"<pre>{text}</pre>\n"


def _replaced(parser: MarkdownIt, tokens: Sequence[Token], around: Around) -> Iterator[Token]:
    """Yield tokens, with code and figures for the paragraphs that stand for them, and hints."""
    from markdown_it.token import Token

    at, hint = 0, ""
    while at < len(tokens):
        kind, used, html = tokens[at].type, 1, ""
        if kind == "heading_open":
            yield Token("html_block", "", 0, content=hint)
            hint = _hint(tokens[at + 1].content, around)
        elif kind == "paragraph_open":
            several = [one.type for one in tokens[at + 3 : at + 4]] == [kind]
            used, html = _special(parser, tokens[at + 1 : at + 2 + 3 * several : 3], around)
        yield Token("html_block", "", 0, content=html) if html else tokens[at]
        at += used
    yield Token("html_block", "", 0, content=hint)


def _special(parser: MarkdownIt, pair: Sequence[Token], around: Around) -> tuple[int, str]:
    """Return how many tokens a paragraph takes that is code or a picture, and it as HTML; or 1, "".

    `pair` are the insides of the paragraph and, if there is one, of that right behind it.
    """
    inline, after = pair[0], (pair[1].children or []) if len(pair) > 1 else []
    if inline.content.startswith("Code: "):
        return 3, "".join(map(_code, REFERENCE.findall(inline.content)))
    children = inline.children or []
    if [child.type for child in children] != ["image"]:
        return 1, ""
    source, alt = str(children[0].attrs["src"]), children[0].content
    if [child.type for child in (*after[:1], *after[-1:])] != ["em_open", "em_close"]:
        return 3, _figure(source, alt, "", around)
    caption = str(parser.renderer.render(after[1:-1], parser.options, {}))
    return 6, _figure(source, alt, caption, around)


def _code(reference: tuple[str, str]) -> str:
    """Return a definition with its line numbers; LookupError where it is not there."""
    named = ":".join(reference)
    source = source_of(named)
    if source is None:
        raise LookupError(f"{named}: no such definition")
    first, text = source
    shown = f"<pre>{numbered(text, first, None, {})}</pre>"
    where = f"<code>{escape(place_of(named))}</code>"
    if text.count("\n") < LONG:
        return f'<figure class="code"><figcaption>{where}</figcaption>{shown}</figure>\n'
    return f'<details class="code"><summary>{where}</summary>{shown}</details>\n'


def _figure(source: str, alt: str, caption: str, around: Around) -> str:
    """Return a picture with its caption; LookupError where the script makes no such picture."""
    name = source.rpartition("/")[2]
    if name not in around.files:
        raise LookupError(f"{source}: no such picture; the script makes {sorted(around.files)}")
    data = around.files[name]
    kind = "svg+xml" if name.endswith(".svg") else "png"
    image = (
        f'<img src="data:image/{kind};base64,{base64.b64encode(data).decode()}" '
        f'alt="{escape(plain(alt))}"'
    )
    under = f"<figcaption>{caption}</figcaption>" if caption else ""
    if not name.endswith(".frames.png"):
        return f'<figure class="{kind[:3]}">{image}>{under}</figure>\n'
    captions = around.captions[name.removesuffix(".frames.png")]
    columns, rows = layout(len(captions))
    width, height = struct.unpack_from(">II", data, 16)  # where a PNG has them
    return (
        f'<figure class="frames" data-layout="{columns} {rows}" '
        f'data-size="{width // columns} {height // rows}" '
        f'data-captions="{escape(json.dumps(list(captions), ensure_ascii=False))}">'
        f"<div>{image}></div>{under}</figure>\n"
    )


def _hint(heading: str, around: Around) -> str:
    """Return what follows an exercise: its hint, behind a click."""
    found = EXERCISE.match(f"### {heading}")
    if not found or found[1] not in around.hints:
        return ""
    return f"<details><summary>Hint</summary><p>{line(around.hints[found[1]])}</p></details>\n"


def _relink(tokens: Sequence[Token]) -> None:
    """Turn links to what they are in the book; the first to each equation can be led back to."""
    seen = set[str]()
    for token in tokens:
        kept, dropped = [], False
        for child in token.children or []:
            place = _address(str(child.attrs["href"])) if child.type == "link_open" else ""
            if place is None or (dropped and child.type == "link_close"):
                dropped = place is None
                continue
            kept.append(child)
            if place:
                child.attrSet("href", place)
                page, _, name = place.partition("#")
                if page == "equations.html" and name not in seen:
                    seen.add(name)
                    child.attrSet("id", name)
        token.children = kept


def _address(target: str) -> str | None:
    """Return where a link of a chapter leads in the book; None: nowhere, to a file of the tree."""
    place, _, anchor = target.partition("#")
    behind = f"#{anchor}" if anchor else ""
    if "core/papers/" in place:
        return f"equations.html#{anchor_of(_tags()[anchor])}"
    if not place:
        return target
    if "/" in place or not place.endswith(".md"):
        return None
    return PAGES.get(place, place.removesuffix(".md") + ".html") + behind


@cache
def _tags() -> dict[str, str]:
    """Return the tags of the ledger by the names that GitHub gives their headings."""
    return {slug(row.tag): row.tag for row in ledger_rows()}
