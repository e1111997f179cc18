"""The latentgeo command, in which rank 1 kills itself once, in its third step; for torchrun."""

import os
import signal
import sys
from pathlib import Path

from latentgeo.core.run.main import main
from latentgeo.train.loop.run import Loop

fatal, update = Path(sys.argv[1]), Loop.update


def dying(loop: Loop) -> None:
    """Take an optimiser step, or die in the place of it."""
    if loop.step == 2 and loop.here.rank == 1 and not fatal.exists():
        fatal.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    update(loop)


Loop.update = dying  # type: ignore[method-assign]
sys.exit(main(sys.argv[2:]))
