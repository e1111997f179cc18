"""A page of typeset equations and code: its colours, a font within, and no way to other hosts.

What scrolls sideways can be reached by the keyboard, and what is folded is printed.
"""

import base64
from html import escape
from pathlib import Path

from latentgeo.core.run.text import read_text

HERE = Path(__file__).parent
RULE = "default-src 'none'; img-src data:; font-src data:; style-src 'unsafe-inline'; "
RULE += "script-src 'unsafe-inline'"  # what a browser lets the page do: nothing is asked for


def document(title: str, style: str, body: str, script: str) -> str:
    """Return a whole page of a plain title, CSS beside the theme's, HTML and JavaScript."""
    font = base64.b64encode((HERE / "stix-two-math.woff2").read_bytes()).decode()
    face = (
        '@font-face { font-family: "STIX Two Math Part"; '
        f"src: url(data:font/woff2;base64,{font}) format('woff2') }}"
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{RULE}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{face}\n{read_text(HERE / 'theme.css')}{style}"
        f"</style></head>\n<body>\n{body}\n"
        f"<script>{read_text(HERE / 'theme.js')}{script}</script></body></html>\n"
    )
