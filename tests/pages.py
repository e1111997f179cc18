"""The pages for readers and the command lines in them, for the tests that parse and run these.

A word in capitals or with … in it stands for a value; `<command>` for any command.
"""

import re
import shlex
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from latentgeo.core.run.cli import flag
from latentgeo.core.run.config import Kind, kinds
from latentgeo.core.run.main import commands

ROOT = Path(__file__).parents[1]
FOLDERS = ("core", "kernels", "models", "infer", "train", "eval")
MANUALS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
MANUALS += [ROOT / folder / "README.md" for folder in FOLDERS]
PAGES = [*MANUALS, ROOT / "eval" / "course" / "LECTURERS.md"]
PAGES += sorted((ROOT / "models" / "zoo").glob("*/README.md"))
MAIN = "latentgeo.core.run"  # for `python -m`
SHELL = ("", "bash", "sh", "console")  # languages of fences with command lines
PLACEHOLDER = re.compile(r"[A-Z][A-Z_]*|.*….*|\$[A-Z]+")


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks_of(text: str) -> list[str]:
    """Return the page's blocks of code, their continued lines joined, without what marks them."""
    fences = re.findall(r"^```(\w*)\n(.*?)^```", text, flags=re.M | re.S)
    found = [code for language, code in fences if language in SHELL]
    plain = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    indented = re.findall(r"(?:^    .*\n?)+", plain, flags=re.M)
    found += [re.sub(r"^    ", "", block, flags=re.M) for block in indented]
    return [block.replace("\\\n", " ") for block in found]


def examples_of(text: str) -> list[str]:
    """Return the page's examples in Python."""
    return re.findall(r"^```python\n(.*?)^```", text, flags=re.M | re.S)


def spans_of(text: str) -> list[str]:
    """Return what stands between backticks in the page's sentences."""
    plain = re.sub(r"^```.*?^```|^    .*?$", "", text, flags=re.M | re.S)
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", plain)]


def programs_of(line: str) -> Iterator[list[str]]:
    """Yield the words of each program of a command line; [--x] may be left out."""
    line = re.sub(r"\[(--[^]]*)\]", r"\1", line)
    words = shlex.split(line, comments=True)
    ends = [i for i, word in enumerate(words) if word in ("&&", "|", ";")]
    for start, end in zip([-1, *ends], [*ends, len(words)], strict=True):
        yield words[start + 1 : end]


def lines_of(code: str) -> Iterator[list[str]]:
    """Yield the words behind `latentgeo` of each command line."""
    for line in code.splitlines():
        if "latentgeo" in line:
            for words in programs_of(line):
                yield from ours(words)


def ours(words: list[str]) -> Iterator[list[str]]:
    """Yield what one program's words give to a command of ours, whatever runs it."""
    for i, (before, word) in enumerate(pairwise(["", *words])):
        if (word == "latentgeo" and before != "-p") or (before == "-m" and word == MAIN):
            yield words[i + 1 :]
            return
        assert before != "-m" or not word.startswith("latentgeo"), f"{word} is no command"


def class_of(name: str) -> type:
    """Return the settings of a command by its name."""
    assert name in commands(), f"no command {name!r}"
    return commands()[name].settings_class()


def filled(command: type, words: list[str]) -> list[str]:
    """Return the words of a line with a value in the place of each placeholder."""
    known = {flag(name): kind for name, kind in kinds(command).items()}
    kind, out = None, []
    for word in words:
        kind = known.get(word) if word.startswith("--") else kind
        stands = kind is not None and PLACEHOLDER.fullmatch(word)
        out.append(example(kind, word) if stands else word)
    return out


def example(kind: Kind, word: str) -> str:
    """Return a word that a setting takes in the place of a placeholder."""
    if kind.choices:
        return str(kind.choices[0])
    return "2" if kind.scalar in (int, float) else word


def functions(path: Path) -> set[str]:
    """Return the names of a file's tests."""
    if path.suffix != ".py":
        return set()
    return set(re.findall(r"^def (test_\w+)", text_of(path), flags=re.M))


def paper(name):
    """The text of a paper, which lies beside the project and is not a part of it."""
    path = ROOT.parent / "shared" / "papers" / f"{name}.md"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    return path.read_text(encoding="utf-8")
