"""What the tests meet of the package's sentences: a hook that holds tests/messages to it.

Listed tests that do not meet their sentence fail; LATENTGEO_MESSAGES names a file to which is added
what each test meets (tests/sentences.py).
"""

import functools
import json
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import pytest

from latentgeo.core.run import main
from latentgeo.infer.data.items import BadItem
from latentgeo.infer.pictures.decoding import Unreadable
from tests import sentences
from tests.sentences import FOLDERS, MEND, rows, sites_of


class Met(NamedTuple):
    """A sentence that was said: where it stands, and what was said."""

    file: str
    sentence: str
    said: str


@functools.cache
def _real(name: str) -> Path:
    return Path(name).resolve()


def _met(file: str, line: int, said: str) -> Iterator[Met]:
    path = _real(file)
    if path.is_relative_to(sentences.ROOT) and path.relative_to(sentences.ROOT).parts[0] in FOLDERS:
        over = [site for site in sites_of(path) if site.first <= line <= site.last]
        for site in over[-1:]:  # the innermost
            yield Met(path.relative_to(sentences.ROOT).as_posix(), site.sentence, said)


class Recorder:
    """Notes the sentences that a test meets.

    Those of errors that `pytest.raises` expects or that a command prints, with the errors behind
    them; of warnings; and of what is kept to be told at the end (`BadItem`, `Unreadable`).
    """

    def __init__(self) -> None:
        self.met: list[Met] = []

    def error(self, error: BaseException | None) -> None:
        """Note an error and those it came from, each where it was raised."""
        seen: set[int] = set()
        while error is not None and id(error) not in seen:
            seen.add(id(error))
            frames = list(traceback.walk_tb(error.__traceback__))
            if frames:
                frame, line = frames[-1]
                self.met += _met(frame.f_code.co_filename, line, str(error))
            error = error.__cause__ or error.__context__

    def frame(self, frame: FrameType, said: object) -> None:
        """Note what is said at a frame."""
        self.met += _met(frame.f_code.co_filename, frame.f_lineno, str(said))

    def install(self) -> None:
        """Listen at the places where sentences come by."""
        _before(pytest.RaisesExc, "__exit__", lambda _self, _type, error, _tb: self.error(error))
        _before(main, "_fail", lambda *_: self.error(sys.exc_info()[1]))
        # and not `warnings.warn` itself, which TorchScript has to know by its identity
        _before(warnings, "_showwarnmsg", lambda one: self.frame(sys._getframe(2), one.message))
        for kept in (BadItem, Unreadable):
            _before(kept, "__init__", lambda _self, *text: self.frame(sys._getframe(2), text))


def _before(owner: Any, name: str, note: Callable[..., object]) -> None:
    """Have `note` called with the arguments of a function before it."""
    usual = getattr(owner, name)

    @functools.wraps(usual)
    def noted(*args: Any, **kwargs: Any) -> Any:
        note(*args, **kwargs)
        return usual(*args, **kwargs)

    setattr(owner, name, noted)


RECORDER = Recorder()
RECORDER.install()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Fail a test that does not meet a sentence which the lists say it meets."""
    RECORDER.met.clear()
    result = yield
    met = {(one.file, one.sentence) for one in RECORDER.met}
    if record := os.environ.get("LATENTGEO_MESSAGES"):
        with open(record, "a", encoding="utf-8") as file:
            for one in dict.fromkeys([(), *RECORDER.met]):
                file.write(json.dumps([item.nodeid, *one], ensure_ascii=False) + "\n")
    else:
        lost = tests_of().get(item.nodeid, set()) - met
        assert not lost, f"tests/messages says that this test meets {sorted(lost)}; {MEND}"
    return result


@functools.cache
def tests_of() -> dict[str, set[tuple[str, str]]]:
    """Return what each test of the lists has to meet."""
    found: dict[str, set[tuple[str, str]]] = {}
    for file, listed in rows().items():
        for sentence, test in listed.items():
            found.setdefault(test, set()).add((file, sentence))
    return found
