"""`latentgeo zoo`: the embedded family from nothing to its last adapter, and its numbers.

Each step is a command in a process of its own, whose output is in `logs/NAME.txt`. Files: a folder
per step, `state`, and `report.html`, which is written after each step.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from latentgeo.core.run.cli import line
from latentgeo.core.run.files import atomic_write
from latentgeo.core.run.progress import Sections, clock, say
from latentgeo.eval.zoo.chain import MEASURE, MODELS, Step, chosen, read_chain, scaled, words
from latentgeo.eval.zoo.kept import Kept
from latentgeo.eval.zoo.layout import lay_together
from latentgeo.eval.zoo.measured import write_pages
from latentgeo.eval.zoo.page import report
from latentgeo.eval.zoo.settings import Zoo

LAST = 20  # lines of its output that a step's failure shows
BYTES = 10_000  # of an output that are looked at
GRACE = 120.0  # seconds that a step has to keep what it has


class PieceOver(Exception):
    """The minutes of this call are over."""


class Steps(Sections):
    """The line over the steps, and behind it the last line that the current one has written."""

    logs = Path()

    def words(self) -> list[str]:
        """Return which step it is, the time left, and what its command says of itself."""
        log = self.logs / f"{self.now}.txt"
        said = last_lines(log, 1) if self.now and log.is_file() else ""
        return [*super().words(), *filter(None, [said.strip()])]


def run_zoo(cmd: Zoo) -> list[str | Path]:
    """Do the steps that are asked for and do not stand; return what to print."""
    steps = read_chain(cmd.chain)
    if cmd.embedded:
        steps = [step for step in steps if step.part == MEASURE]
    asked = scaled(chosen(steps, cmd.only, cmd.from_), cmd.minutes)
    longer = {step.name: step for step in asked}
    steps = [longer.get(step.name, step) for step in steps]
    kept = Kept(cmd.out, cmd.embedded)
    check(kept, asked, cmd)
    left, text = planned(kept, asked)
    if cmd.plan:
        return [text]
    say(text, sys.stderr)
    end = time.monotonic() + 60 * (cmd.piece or float("inf"))
    try:
        with ended_by_signal(), Steps(left, "zoo") as progress:
            progress.logs = cmd.out / "logs"
            for step in asked:
                if kept.stands(step):
                    if step.name in left:
                        progress.skip(step.name)
                    continue
                with progress.section(step.name):
                    perform(step, cmd, kept, end)
                atomic_write(cmd.out / "report.html", report(cmd, steps, kept))
    except PieceOver:
        return [f"{cmd.piece:g} minutes are over; to go on:\n    {going_on(cmd)}"]
    except (KeyboardInterrupt, SystemExit):
        say(f"stopped; to go on:\n    {going_on(cmd)}", sys.stderr)
        raise
    changed = write_pages(cmd.pages, asked, kept) if cmd.pages is not None else []
    return [atomic_write(cmd.out / "report.html", report(cmd, steps, kept)), *changed]


def going_on(cmd: Zoo) -> str:
    """Return the command that goes on."""
    options = {name: getattr(cmd, name) for name in cmd.__dataclass_fields__}
    chain = None if cmd.chain == "embedded" else cmd.chain
    device = None if cmd.device == "auto" else cmd.device
    return line("zoo", **options | {"chain": chain, "device": device})


def check(kept: Kept, asked: Sequence[Step], cmd: Zoo) -> None:
    """Raise ValueError where a step needs one that is neither there nor asked for.

    And FileNotFoundError where the pages are of no source tree.
    """
    if cmd.pages is not None and not (cmd.pages / "models" / "zoo").is_dir():
        raise FileNotFoundError(f"pages: {cmd.pages} is no source tree: it has no models/zoo")
    names = {step.name for step in asked} | ({MODELS} if cmd.embedded else set())
    for step in asked:
        for need in step.needs:
            if need not in names and not kept.result(need):
                raise ValueError(
                    f"only: {step.name} needs the result of {need}, which {cmd.out} does not have: "
                    f"do {need} first, or leave out --only and --from"
                )


def planned(kept: Kept, asked: Sequence[Step]) -> tuple[dict[str, float], str]:
    """Return the seconds of each step that is to be done, and the plan as text."""
    left: dict[str, float] = {}
    rows = []
    for step in asked:
        after = [name for name in step.needs if name in left]
        if not after and kept.stands(step):
            rows.append((step, "stands"))
            continue
        left[step.name] = 60 * step.minutes
        goes_on = not after and kept.goes_on(step)
        again = f"after {', '.join(after)}" if after else "again" if kept.record(step.name) else ""
        rows.append((step, "goes on" if goes_on else again or "new"))
    width = max((len(step.name) for step in asked), default=0)
    lines = [
        f"{step.part:<14} {step.name:<{width}}  {clock(60 * step.minutes):>8}  {state}"
        for step, state in rows
    ]
    total = f"{len(left)} of {len(asked)} steps are to be done: about {clock(sum(left.values()))}"
    return left, "\n".join([*lines, f"{total} on the machine that the chain is for"])


def perform(step: Step, cmd: Zoo, kept: Kept, end: float) -> None:
    """Do a step, going on with one that was stopped; RuntimeError if its command fails."""
    kept.begin(step)
    start, done = time.monotonic(), False
    try:
        if step.files:
            lay_together(step, cmd.out)
        else:
            run_command(step, cmd, end)
        done = True
    finally:
        kept.spend(step, time.monotonic() - start, done)


def run_command(step: Step, cmd: Zoo, end: float) -> None:
    """Run a step's command to its end, or to that of the piece, and keep its output."""
    typed = words(step, cmd.out, cmd.embedded, cmd.device)
    if any((cmd.out / step.name / "checkpoints").glob("step-*")):
        typed.append("--resume")
    (cmd.out / step.name).mkdir(parents=True, exist_ok=True)
    log = cmd.out / "logs" / f"{step.name}.txt"
    log.parent.mkdir(exist_ok=True)
    child = launched(typed, log)
    try:
        status = child.wait(max(end - time.monotonic(), 0) if end < float("inf") else None)
    except subprocess.TimeoutExpired:
        stop(child)
        raise PieceOver from None
    except BaseException:
        stop(child)
        raise
    if status:
        say(last_lines(log, LAST), sys.stderr)
        raise RuntimeError(f"step {step.name}: its command ended with {status}: {log}")


def last_lines(log: Path, count: int) -> str:
    """Return the last lines of an output, which may still be written."""
    with log.open("rb") as file:
        file.seek(max(file.seek(0, os.SEEK_END) - BYTES, 0))
        text = file.read().decode(errors="replace")
    return "\n".join(text.splitlines()[-count:])


def launched(typed: Sequence[str], log: Path) -> "subprocess.Popen[bytes]":
    """Start a command in a process that no Ctrl-C of ours reaches, its output behind a log."""
    start = [sys.executable, "-m", "latentgeo.core.run", *typed]
    with log.open("ab") as file:
        return subprocess.Popen(start, stdout=file, stderr=file, start_new_session=True)


def stop(child: "subprocess.Popen[bytes]") -> None:
    """End a command as a system does that shuts down: trainings keep a checkpoint."""
    child.terminate()
    try:
        child.wait(GRACE)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


@contextmanager
def ended_by_signal() -> Iterator[None]:
    """Let SIGTERM end a `with` block by SystemExit, so that its command is ended too."""

    def note(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
