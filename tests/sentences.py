"""The sentences of errors and warnings in the package, and which test meets which.

A sentence is what a `raise` or a `warnings.warn` says, as it stands in the code: `steps must be at
least 1, got {steps}`. tests/messages/<folder>.toml lists each by its file, with a test that meets
it; tests/recorder.py sees to it that this test does, and tests/test_sentences.py that the lists are
whole. To mend them after a change:

    LATENTGEO_MESSAGES=met.jsonl pytest tests/core  # add to a file what these tests meet
    python -m tests.sentences met.jsonl             # mend the lists by it; say what is missing
"""

import ast
import functools
import json
import re
import sys
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

MEND = "see tests/sentences.py for how to mend the lists"
ROOT = Path(__file__).parents[1]
LISTS = ROOT / "tests" / "messages"
FOLDERS = ("core", "kernels", "models", "train", "infer", "eval")
PASSED_ON = ("stop", "lost", "bad", "item", "file.refused", "self.refused[i]")  # raised elsewhere
NOT_FOR_USERS = {  # exceptions that no command prints as a line
    *("TypeError", "KeyError", "LookupError", "NotImplementedError", "pickle.UnpicklingError"),
    *("SystemExit", "KeyboardInterrupt"),
    # caught by those who call
    *("Late", "Refused", "Unparsed", "DeviceLost", "WrongResult", "Left", "PieceOver"),
}


class Site(NamedTuple):
    """A place in the code that says something to users."""

    first: int  # lines of its file
    last: int
    function: str
    sentence: str


def sites(source: str) -> list[Site]:
    """Return the sites of a file; a sentence that it has twice is told apart by the function."""
    found = list(_sites(ast.parse(source), ""))
    count = Counter(site.sentence for site in found)
    return [
        site._replace(sentence=f"{site.sentence} ({site.function})")
        if count[site.sentence] > 1
        else site
        for site in found
    ]


def _sites(node: ast.AST, function: str) -> Iterator[Site]:
    for child in ast.iter_child_nodes(node):
        inside = function
        if isinstance(child, ast.FunctionDef | ast.ClassDef):
            inside = f"{function}.{child.name}".lstrip(".")
        said = _said(child)
        if said is not None:
            yield Site(child.lineno, child.end_lineno or child.lineno, function, said)
        yield from _sites(child, inside)


def _said(node: ast.AST) -> str | None:
    """Return the sentence of a `raise` or of a call of `warnings.warn`."""
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "warnings.warn":
        return render(node.args[0])
    if not isinstance(node, ast.Raise) or node.exc is None:
        return None
    if not isinstance(node.exc, ast.Call):
        return None if ast.unparse(node.exc) in (*PASSED_ON, *NOT_FOR_USERS) else render(node.exc)
    call = node.exc
    name = ast.unparse(call.func)
    if name in NOT_FOR_USERS:
        return None
    plain = name in ("ValueError", "RuntimeError", "FileNotFoundError") and len(call.args) == 1
    return render(call.args[0] if plain else call)


def render(node: ast.AST) -> str:
    """Return a text with {what is filled in}, and other code as it stands."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr():
            return "".join(map(render, node.values))
        case ast.FormattedValue():
            return "{" + ast.unparse(node.value) + "}"
        case ast.BinOp(op=ast.Add()):
            return render(node.left) + render(node.right)
        case ast.IfExp():
            return f"({render(node.body)} | {render(node.orelse)})"
        case ast.Call():
            return f"{ast.unparse(node.func)}({', '.join(map(render, node.args))})"
    return "{" + ast.unparse(node) + "}" if isinstance(node, ast.expr) else ast.unparse(node)


@functools.cache
def sites_of(path: Path) -> list[Site]:
    return sites(path.read_text(encoding="utf-8"))


def all_sites() -> dict[str, list[Site]]:
    """Return the sites of the package by file."""
    paths = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
    found = {path.relative_to(ROOT).as_posix(): sites_of(path) for path in paths}
    return {file: there for file, there in found.items() if there}


def rows() -> dict[str, dict[str, str]]:
    """Return the lists: file -> sentence -> the test that meets it."""
    listed: dict[str, dict[str, str]] = {}
    for path in sorted(LISTS.glob("*.toml")):
        listed |= tomllib.loads(path.read_text(encoding="utf-8"))
    return listed


def mended(
    listed: Mapping[str, Mapping[str, str]], met: Iterable[Sequence[str]]
) -> dict[str, dict[str, str]]:
    """Return the lists without what is gone, and with tests of a record for what they lack.

    A test whose file was recorded and which did not meet its sentence gives its place to one that
    did.
    """
    tests: dict[tuple[str, str], set[str]] = {}
    ran = set()
    for test, *what in met:
        ran.add(test)
        if what:
            tests.setdefault((what[0], what[1]), set()).add(test)
    files = {_file(test) for test in ran}
    found: dict[str, dict[str, str]] = {}
    for file, there in all_sites().items():
        for site in there:
            test = listed.get(file, {}).get(site.sentence)
            meet = tests.get((file, site.sentence), set())
            if test in ran - meet or (meet and test not in meet and _file(test) in files):
                test = None
            if test is None and meet:
                test = min(meet, key=lambda one: _rank(one, file))
            if test is not None:
                found.setdefault(file, {})[site.sentence] = test
    return found


def _file(test: str | None) -> str:
    return (test or "").partition("::")[0]


def _rank(test: str, file: str) -> tuple[object, ...]:
    """Return what the best of several tests has least of: that of the file, with a stable name."""
    own = f"tests/{file.rpartition('/')[0]}/test_{Path(file).stem}"
    return not test.startswith(own), "[" in test, bool(re.search(r"\d\W*\]", test)), len(test), test


def unlisted(listed: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Return the sentences that the lists lack, each with its place."""
    return [
        f"{file}:{site.first}: {site.sentence}"
        for file, there in all_sites().items()
        for site in there
        if site.sentence not in listed.get(file, {})
    ]


def stale(listed: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Return the rows of sentences that the code no longer has."""
    there = {(file, site.sentence) for file, several in all_sites().items() for site in several}
    return [
        f"{file}: {sentence}"
        for file, listed_there in listed.items()
        for sentence in listed_there
        if (file, sentence) not in there
    ]


def write(listed: Mapping[str, Mapping[str, str]]) -> None:
    """Write the lists, a file for each folder of the package."""
    LISTS.mkdir(exist_ok=True)
    for folder in FOLDERS:
        tables = [
            "\n".join(
                [f"[{_quoted(file)}]", *(f"{_quoted(a)} = {_quoted(b)}" for a, b in there.items())]
            )
            for file, there in listed.items()
            if file.split("/")[0] == folder
        ]
        text = (
            f"# What {folder} says to users, and a test that meets it: see tests/sentences.py\n\n"
        )
        (LISTS / f"{folder}.toml").write_text(text + "\n\n".join(tables) + "\n", encoding="utf-8")


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def main(records: Sequence[str]) -> None:
    """Mend the lists by records, if there are any; print what is missing and what is stale."""
    listed = rows()
    if records:
        lines = [line for one in records for line in Path(one).read_text("utf-8").splitlines()]
        listed = mended(listed, map(json.loads, lines))
        write(listed)
    for title, found in (("missing", unlisted(listed)), ("stale", stale(listed))):
        print(f"{title}: {len(found)}", *found, sep="\n  ")


if __name__ == "__main__":
    main(sys.argv[1:])
