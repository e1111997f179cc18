"""The pages for readers: their command lines parse, what they point at is there, tables are tables.

Nothing is run. A word in capitals or with … in it stands for a value; `<command>` for any command.
"""

import ast
import importlib
import importlib.util
import re
import shlex
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from latentgeo.core.cli import flag, parse
from latentgeo.core.config import Kind, kinds
from latentgeo.eval.main import COMMANDS, command_class

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "core/README.md")]
PAGES += [ROOT / name for name in ("kernels/README.md", "models/README.md")]
PAGES += sorted((ROOT / "models" / "zoo").glob("*/README.md"))
FOLDERS = ("core", "kernels", "models", "infer", "train", "eval", "tests")
FILES = [path.relative_to(ROOT).as_posix() for name in FOLDERS for path in (ROOT / name).rglob("*")]
FILES += [path.name for path in ROOT.iterdir()]
OTHERS = {"--help", "--version", "--config", "--clock-control"}  # of all, or of another program
MAIN = "latentgeo.eval.main"
MODULES = {"latentgeo.train.classifier": "TrainClassifier"}  # commands without a name
PLACEHOLDER = re.compile(r"[A-Z][A-Z_]*|.*….*|\$[A-Z]+")

each_page = pytest.mark.parametrize(
    "page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix()
)


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def code_of(text: str) -> str:
    """Return the lines of the page's code, its continued lines joined; fences lose their marks."""
    fenced = re.findall(r"^```(?:bash|sh|console)?\n(.*?)^```", text, flags=re.M | re.S)
    plain = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    indented = [line[4:] for line in plain.splitlines() if line.startswith("    ")]
    return "\n".join([*fenced, *indented]).replace("\\\n", " ")


def spans_of(text: str) -> list[str]:
    plain = re.sub(r"^```.*?^```|^    .*?$", "", text, flags=re.M | re.S)
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", plain)]


def lines_of(code: str) -> Iterator[list[str]]:
    """Yield the words behind `latentgeo` of each command line; [--x] may be left out."""
    for line in code.splitlines():
        if "latentgeo" not in line:
            continue
        line = re.sub(r"\[(--[^]]*)\]", r"\1", line)
        words = shlex.split(line, comments=True)
        ends = [i for i, word in enumerate(words) if word in ("&&", "|", ";")]
        for start, end in zip([-1, *ends], [*ends, len(words)], strict=True):
            yield from ours(words[start + 1 : end])


def ours(words: list[str]) -> Iterator[list[str]]:
    """Yield what one program's words give to a command of ours, whatever runs it."""
    for i, (before, word) in enumerate(pairwise(["", *words])):
        if (word == "latentgeo" and before != "-p") or (before == "-m" and word == MAIN):
            yield words[i + 1 :]
            return
        if before == "-m" and word.startswith("latentgeo"):
            assert word in MODULES, f"{word} is no command"
            yield [word, *words[i + 1 :]]
            return


def class_of(name: str) -> type:
    if name in MODULES:
        found: type = getattr(importlib.import_module(name), MODULES[name])
        return found
    assert name in COMMANDS, f"no command {name!r}"
    return command_class(name)


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
    if kind.choices:
        return str(kind.choices[0])
    return "2" if kind.scalar in (int, float) else word


def check(words: list[str], whole: bool) -> None:
    """Raise ValueError or AssertionError for a line that its command would refuse.

    `whole` is False for a mention inside a sentence, which may leave out what is required.
    """
    if not words or words[0] in OTHERS or words[0].startswith("<"):
        return
    command = class_of(words[0])
    if words[1:] == ["--help"]:
        return
    try:
        parse(command, filled(command, words[1:]))
    except ValueError as error:
        if whole or " is required: " not in str(error):
            raise


@each_page
def test_every_command_line_parses(page, monkeypatch):
    monkeypatch.chdir(page.parent)  # recipes are named as they lie beside the page
    for words in lines_of(code_of(text_of(page))):
        try:
            check(words, whole=True)
        except (ValueError, FileNotFoundError, AssertionError) as error:
            pytest.fail(f"{page.name}: latentgeo {shlex.join(words)}: {error}")


@pytest.mark.parametrize(
    "line",
    [
        "latentgeo sampel --out out",
        "latentgeo sample --promts … --out out",
        "latentgeo sample --prompts 'a face'",
        "latentgeo sample --model PATH --count N [--clases …] --out OUT",
        "latentgeo edit-semantic --model MODEL --direction smile --out out",
        "python -m pip install . && latentgeo demo --out out --fast  # a minute",
        "torchrun -m latentgeo.eval.main train-smooth \\\n  --out out --rank few",
        "python -m latentgeo.train.clasifier --data faces",
    ],
)
def test_a_line_that_its_command_would_refuse_fails(line):
    page = f"Like this:\n\n    {line}\n".replace("\n  --", "\n      --")
    with pytest.raises((ValueError, AssertionError)):
        for words in lines_of(code_of(page)):
            check(words, whole=True)


@each_page
def test_every_mention_of_a_command_is_of_one(page, monkeypatch):
    monkeypatch.chdir(page.parent)
    for span in spans_of(text_of(page)):
        try:
            for words in lines_of(span):
                check(words, whole=False)
        except (ValueError, FileNotFoundError, AssertionError) as error:
            pytest.fail(f"{page.name}: `{span}`: {error}")


@each_page
def test_every_option_that_is_mentioned_is_of_some_command(page):
    known = {flag(name) for command in COMMANDS for name in kinds(command_class(command))}
    found = {span.split()[0] for span in spans_of(text_of(page)) if span.startswith("--")}
    assert not {one.replace("--no-", "--") for one in found} - known - OTHERS


@each_page
def test_every_link_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
        if re.match(r"[a-z]+:", target):
            continue
        place, _, anchor = target.partition("#")
        found = (page.parent / place) if place else page
        assert found.exists(), f"{page.name}: no {target}"
        assert not anchor or anchor in anchors(found), f"{page.name}: no heading {target}"


def anchors(page: Path) -> set[str]:
    """Return the names that a page's headings have in links."""
    titles = re.findall(r"^#+ (.*)$", text_of(page), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@each_page
def test_every_file_and_test_that_is_named_is_there(page):
    tests = {name for file in FILES if "/test_" in file for name in functions(ROOT / file)}
    for span in spans_of(text_of(page)):
        for word in re.findall(r"[\w./-]+\.(?:py|md)\b", span):
            assert any(f"/{file}".endswith("/" + word.lstrip("/")) for file in FILES), (
                f"no file {word}"
            )
        if re.fullmatch(r"test_\w+", span):
            assert span in tests, f"no test {span}"


def functions(path: Path) -> set[str]:
    if path.suffix != ".py":
        return set()
    return set(re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), flags=re.M))


@each_page
def test_every_table_has_a_head(page):
    """A row that an empty line parts from its table is shown as text."""
    lines = ["", *text_of(page).splitlines()]
    for before, line, after in zip(lines, lines[1:], [*lines[2:], ""], strict=False):
        if line.lstrip().startswith("|") and not before.lstrip().startswith("|"):
            assert re.fullmatch(r"\s*\|[\s:|-]+\|", after), f"{page.name}: {line}"


@each_page
def test_every_python_example_imports_what_there_is(page):
    for source in re.findall(r"^```python\n(.*?)^```", text_of(page), flags=re.M | re.S):
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("latentgeo"):
                missing = [one.name for one in node.names if not is_there(node.module, one.name)]
                assert not missing, f"{page.name}: {node.module} has no {missing}"


def is_there(module: str, name: str) -> bool:
    found = importlib.import_module(module)
    return hasattr(found, name) or importlib.util.find_spec(f"{module}.{name}") is not None


def test_the_readmes_table_has_every_command_once():
    rows = re.findall(r"^\| (`latentgeo .*?) \|", text_of(ROOT / "README.md"), flags=re.M)
    found = [name.split()[0] for row in rows for name in re.findall(r"`(?:latentgeo )?(.*?)`", row)]
    assert sorted(found) == sorted(COMMANDS)
