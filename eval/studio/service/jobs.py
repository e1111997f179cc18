"""Computations one at a time, each in a thread that can be stopped as Ctrl-C stops a command.

A job calls functions of commands in a folder of its own, which is gone when it ends. Before every
layer of a network it looks whether it is to stop, and then raises KeyboardInterrupt there: what a
command does at Ctrl-C it does here. Layers that take an image or a latent are counted: how many of
those that are expected is how far the job is.
"""

import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook

from latentgeo.core.run.cli import command_name
from latentgeo.core.run.config import from_text, kinds
from latentgeo.core.run.main import commands, sentence
from latentgeo.core.run.progress import progress
from latentgeo.core.run.screen import clock, shown
from latentgeo.eval.studio.service.models import Models
from latentgeo.eval.studio.service.typed import as_line
from latentgeo.infer.sampling.loading import Kept, keeping

IMAGE_CHANNELS = (3, 4)  # of an image, and of a latent
PAUSE = 0.2  # seconds between two looks at a job
MOST = 20  # jobs that may wait

Owner = tuple[str, str]  # a session and one of its tabs


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a job looks like to who waits for it."""

    text: str = ""  # how it is going
    share: float | None = None  # of it that is done
    error: str = ""
    html: str = ""  # a result, or one on its way
    said: tuple[str, ...] = ()  # warnings
    lines: tuple[str, ...] = ()  # the commands that it was made of, once they have run


class Job:
    """One computation, made of commands: `work(job)` runs them and returns HTML.

    `settings` are those of the command that its errors are about.
    """

    def __init__(self, work: Callable[["Job"], str], settings: type, models: Kept) -> None:
        self.work, self.settings, self.models = work, settings, models
        self.stopping, self.ended = threading.Event(), threading.Event()
        self.folder = Path()
        self.lines: list[str] = []
        self.said: list[str] = []
        self.html = self.error = ""
        self.replaced = False  # by a newer job of its owner
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.begun = 0.0

    def start(self) -> None:
        """Begin."""
        self.begun = time.monotonic()
        self.thread.start()

    def stop(self) -> None:
        """Ask it to stop, which it does before the next layer of a network."""
        self.stopping.set()

    def run(self, settings: Any, passes: float, **more: Any) -> Any:
        """Run a command as the command line does, and return what it returns.

        What `settings` write lies in the job's folder. `passes` is how many images the networks are
        expected to look at; `more` goes to the command's function.
        """
        name = command_name(type(settings))
        line = as_line(relative(settings, self.folder))
        with self._watched(name, passes):
            found = commands()[name].work_function()(settings, **more)
        self.lines.append(line)
        return found

    @contextmanager
    def _watched(self, name: str, passes: float) -> Iterator[None]:
        with progress(total=max(1, round(passes)), label=name, unit="pass") as bar:

            def before(layer: nn.Module, given: tuple[Any, ...]) -> None:
                if self.stopping.is_set():
                    raise KeyboardInterrupt
                if is_first(layer):
                    bar.update(len(given[0]))

            hook = register_module_forward_pre_hook(before)
            try:
                yield
            finally:
                hook.remove()

    def seen(self) -> Seen:
        """Return what there is to see now."""
        if not self.ended.is_set():
            share, text = shown()
            return Seen(text=text or "begins", share=share, html=self.html)
        said, spent = tuple(self.said), clock(time.monotonic() - self.begun)
        if self.error:
            return Seen(error=self.error, said=said)
        return Seen(
            text=f"done in {spent}", share=1.0, html=self.html, said=said, lines=tuple(self.lines)
        )

    def value(self, name: str, text: str) -> Any:
        """Return the value of a field that is written in the page; None if nothing is."""
        if not text.strip():
            return None
        try:
            return from_text(kinds(self.settings)[name], text.strip())
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None

    def _run(self) -> None:
        try:
            with (
                TemporaryDirectory(prefix="latentgeo-studio-") as folder,
                keeping(self.models),
                self._heard(),
            ):
                self.folder = Path(folder)
                self.html = self.work(self)
        except KeyboardInterrupt:
            self.error = "stopped"
        except (ValueError, RuntimeError, OSError) as error:
            self.error = self.worded(error)
        except Exception as error:
            traceback.print_exc()
            self.error = f"{type(error).__name__}: a fault of the studio; its terminal says more"
        finally:
            self.ended.set()

    @contextmanager
    def _heard(self) -> Iterator[None]:
        """Take what users are warned of, to be shown in the page."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", UserWarning)
            warnings.showwarning = lambda message, *place: self.said.append(
                self.worded(str(message))
            )
            yield

    def worded(self, said: Exception | str) -> str:
        """Return an error or a warning as the command line has it, without the job's folder."""
        return sentence(self.settings, said).replace(f"{self.folder}/", "")


def is_first(layer: nn.Module) -> bool:
    """Whether a layer takes an image or a latent; one of an adapter, without a bias, does not."""
    first = isinstance(layer, nn.Conv2d) and layer.in_channels in IMAGE_CHANNELS
    return first and layer.bias is not None


def relative(settings: Any, folder: Path) -> Any:
    """Return settings whose paths in a folder are as from within it."""

    def inside(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(map(inside, value))
        there = isinstance(value, Path) and value.is_relative_to(folder)
        return value.relative_to(folder) if there else value

    found = {one.name: inside(getattr(settings, one.name)) for one in fields(settings)}
    return replace(settings, **found)


class Jobs:
    """The jobs that run or wait, in their order; of an owner there is one, the newest."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.line: list[tuple[Owner, Job]] = []
        self.models = Models()

    def follow(self, owner: Owner, work: Callable[[Job], str], settings: type) -> Iterator[Seen]:
        """Do the work when its turn comes, and yield now and then what there is to see of it.

        It stops when nobody iterates any more, and for a newer one of the same owner: then there is
        no more to see of it.
        """
        self.stop(owner, newer=True)
        job = Job(work, settings, self.models)
        with self.lock:
            full = len(self.line) >= MOST
            self.line += [] if full else [(owner, job)]
        if full:
            yield Seen(error=f"{MOST} jobs are waiting already; try again later")
            return
        try:
            while not job.ended.is_set():
                before = self.before(job)
                if not job.begun and job.stopping.is_set():
                    job.error = "stopped"
                    job.ended.set()
                    break
                if not before and not job.begun:
                    job.start()
                yield job.seen() if job.begun else Seen(text=f"{before} before this one")
                job.ended.wait(PAUSE)
            if not job.replaced:
                yield job.seen()
        finally:
            job.stop()
            if job.begun:
                job.thread.join()
            with self.lock:
                self.line = [(whose, one) for whose, one in self.line if one is not job]

    def before(self, job: Job) -> int:
        """Return how many jobs come before one."""
        with self.lock:
            return [one for _, one in self.line].index(job)

    def stop(self, owner: Owner, newer: bool = False) -> None:
        """Stop the job of an owner, if there is one; of a session without a tab, all of them."""
        session, tab = owner
        with self.lock:
            for (whose, place), job in self.line:
                if whose == session and tab in ("", place):
                    job.replaced = newer
                    job.stop()
