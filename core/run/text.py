"""Text as people's programs write it: UTF-8, with a byte order mark or without. No torch import.

Every text file that a user gives is read by `read_text`, and text inside other files by `utf8`.
"""

import codecs
from pathlib import Path

MARKS = {  # UTF-32's first: they begin with those of UTF-16
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    codecs.BOM_UTF8: "utf-8-sig",
}


def read_text(path: Path) -> str:
    """Return a file's text, lines ended as on Unix; ValueError that names it if it is none."""
    text = decoded(path.read_bytes(), str(path))
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_lines(path: Path) -> list[str]:
    """Return a file's lines without the space around them; blank ones are left out."""
    return [line.strip() for line in read_text(path).split("\n") if line.strip()]


def decoded(data: bytes, name: str) -> str:
    """Return the text of UTF-8 bytes, or of those whose byte order mark says UTF-16 or UTF-32.

    Raises ValueError that begins with `name` for bytes that are none of these, and for zero bytes,
    which UTF-16 without its mark has.
    """
    encoding = next((MARKS[mark] for mark in MARKS if data.startswith(mark)), "utf-8")
    if encoding == "utf-8" and b"\0" in data:
        raise ValueError(f"{name}: not UTF-8 text: zero bytes, as of UTF-16; save it as UTF-8")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        kind = "UTF-8" if encoding.startswith("utf-8") else f"UTF-8 or {encoding.upper()}"
        where = f"{error.reason} at byte {error.start}"
        raise ValueError(f"{name}: not {kind} text: {where}; save it as UTF-8") from None


def utf8(data: bytes, name: str) -> bytes:
    """Return bytes as UTF-8 without a byte order mark, so that a bad line does not cost the others.

    What begins with a mark of UTF-16 or UTF-32 is decoded by it as a whole, or refused (`decoded`),
    and so is what looks like UTF-16 without a mark.
    """
    if data.startswith(codecs.BOM_UTF8):
        return data.removeprefix(codecs.BOM_UTF8)
    marked = any(data.startswith(mark) for mark in MARKS)
    return decoded(data, name).encode() if marked or b"\0" in data[:4] else data
