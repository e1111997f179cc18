"""What a run tells: one JSON line per record, TensorBoard if it is installed, a progress bar.

Only rank 0 writes. A run that is resumed from step n first drops the records after n, so that the
file reads as if nothing had happened.
"""

import json
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from latentgeo.core.run.files import atomic_write
from latentgeo.core.run.progress import progress

SHOWN = ("loss", "reg", "a")  # in the progress bar, where a record has them


def read_log(path: Path) -> list[dict[str, Any]]:
    """Return the records of a `log.jsonl`; a half-written last line is left out."""
    records = []
    for line in path.read_text("utf-8").splitlines() if path.is_file() else []:
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return records


class Log:
    """Writes the records of one run."""

    def __init__(
        self,
        folder: Path,
        steps: int,
        start: int,
        active: bool = True,
        seconds: float | None = None,
    ) -> None:
        """Go on after step `start`; the run ends at step `steps`, or `seconds` from now."""
        self.path, self.steps, self.active = folder / "log.jsonl", steps, active
        self.bar: Any = None
        self.board: Any = None
        if not active:
            return
        folder.mkdir(parents=True, exist_ok=True)
        if self.path.exists():
            kept = [r for r in read_log(self.path) if r["step"] <= start]
            atomic_write(self.path, "".join(json.dumps(r) + "\n" for r in kept))
        if find_spec("tensorboard") is not None:
            from torch.utils.tensorboard import SummaryWriter

            self.board = SummaryWriter(str(folder / "tensorboard"), purge_step=start + 1)
        self.bar = progress(total=steps, initial=start, label="training", seconds=seconds)

    def write(self, record: Mapping[str, float | int]) -> None:
        """Append one record, and show it; an OSError leaves the file as it was."""
        if not self.active:
            return
        self._append(json.dumps(record) + "\n")
        if self.board is not None:
            for name, value in record.items():
                self.board.add_scalar(name, value, record["step"])
        shown = {name: f"{record[name]:.4g}" for name in SHOWN if name in record}
        self.bar.set_postfix(**shown)

    def _append(self, line: str) -> None:
        size = self.path.stat().st_size if self.path.exists() else 0
        try:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            if self.path.exists():
                os.truncate(self.path, size)  # half a record would hide the ones after it
            raise

    def advance(self) -> None:
        """Move the progress bar by one step."""
        if self.bar is not None:
            self.bar.update()

    def aside(self) -> AbstractContextManager[None]:
        """Return a context for what is no part of any step."""
        return nullcontext() if self.bar is None else self.bar.aside()

    def stopping(self) -> None:
        """Show that the run ends with the step that is being computed."""
        if self.bar is not None:
            self.bar.label = "stopping after this step; Ctrl-C again stops at once"

    def close(self) -> None:
        """Finish the progress bar and TensorBoard's file."""
        for writer in (self.bar, self.board):
            if writer is not None:
                writer.close()
