"""The training loop: what every method shares, from the first batch to the last checkpoint.

A `Task` says what is trained and what its loss is. The loop does the rest: AdamW with its rate,
accumulation, gradients averaged over ranks once per optimiser step, clipping, the moving average,
the log, sample grids, checkpoints, and an end from which a later call continues bit for bit.

Ranks      A batch is counted over all ranks; sample n of the run has its own noise
           (train/data/draws.py). The gradient is the same up to rounding, however many ranks
           compute it.
GPU        A step asks a GPU for nothing: losses and terms stay there, and are read once per record
           of the log, and before anything is written. Several ranks agree once per step.
Disk       A checkpoint, record or grid that the disk refuses is one line on stderr, and the run
           goes on with the checkpoint before it. The last one of a run has to be written.
"""

import signal
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn

from latentgeo.core.run.files import atomic_write
from latentgeo.core.run.progress import progress, say
from latentgeo.core.run.ranks import average_gradients, barrier, on_any_rank, ranks
from latentgeo.core.run.seeds import capture_random_state, restore_random_state
from latentgeo.train.data.draws import Draws
from latentgeo.train.loop import checkpoint
from latentgeo.train.loop.ema import EMA
from latentgeo.train.loop.graph import Graphs
from latentgeo.train.loop.grids import save_grid
from latentgeo.train.loop.log import Log
from latentgeo.train.loop.phases import phases
from latentgeo.train.loop.session import as_written, autocast, refuse_to_overwrite
from latentgeo.train.loop.settings import Training
from latentgeo.train.loop.sharded import Sharded, cut_state, gathered, whole
from latentgeo.train.loop.stop import Stop
from latentgeo.train.loop.taken import Taken
from latentgeo.train.loop.task import Captioned, Data, Part, Staged, Task, Terms
from latentgeo.train.loop.told import changes, ended, tell
from latentgeo.train.loop.watch import Watch


class Loop:
    """One run of a task: its optimiser, averages, counters and files."""

    def __init__(
        self,
        task: Task,
        data: Data,
        settings: Training,
        device: torch.device,
        sharded: Sharded | None = None,
    ) -> None:
        self.task, self.data, self.settings, self.device = task, data, settings, device
        self.sharded, self.here = sharded, ranks()
        self.shows = self.here.is_main or sharded is not None  # a cut network runs on all or none
        self.part = settings.part(self.here.world)
        self.weights = task.parameters()
        self.optimizer = self.new_optimizer()
        self.ema = EMA(self.weights, settings.ema)
        self.folder = checkpoint.folder_of(settings.out)
        self.captions = task.captions if isinstance(task, Captioned) else []
        self.step, self.elapsed, self.spent = 0, 0.0, 0.0
        self.phase = phases(settings.nvtx)
        self.graphs: Graphs | None = None
        if getattr(settings, "graph", False):
            self.graphs = Graphs(self._compute)
        self.taken = Taken(device)

    def new_optimizer(self) -> torch.optim.Optimizer:
        """Return what takes the steps, with the settings' constants."""
        return torch.optim.AdamW(
            self.weights.values(),
            lr=self.settings.rate,
            betas=(self.settings.beta_1, self.settings.beta_2),
            eps=self.settings.epsilon,
            weight_decay=self.settings.weight_decay,
            fused=True if self.device.type == "cuda" else None,  # counts its steps on the GPU
        )

    def run(self) -> None:
        """Train to the last step or minute, and write the weights; resumable wherever it ends.

        Raises `RuntimeError` if the loss is not finite, `SystemExit` with 128 + the signal's number
        after a signal.
        """
        self.restore()
        self.watch = Watch(self.settings, self.step, self.spent)
        steps, left = self.settings.steps, self.watch.left()
        self.log = Log(self.settings.out, steps, self.step, self.here.is_main, left)
        stop = self.stop = Stop(self.log.stopping)
        try:
            with stop.listening():
                if self.step == 0 and self.settings.sample_every:
                    self._if_the_disk_lets(self._sample)
                self._steps(stop)
        finally:
            self.log.close()
            self.data.close()
        if stop.signal:
            raise SystemExit(128 + stop.signal)
        self._finish()

    def _finish(self) -> None:
        """Write the weights, and say what comes next."""
        if self.shows:
            with self.ema.swapped(), as_written(), progress(label="writing the weights"):
                self.task.save(self.settings.out)
        barrier()
        if text := ended(self.settings, self.step, self.captions):
            tell(text)

    def _steps(self, stop: Stop) -> None:
        ended = self.step >= self.settings.steps
        while not ended:
            self.compute_gradients()
            draw = self.here.is_main and self.watch.draw_due()
            flags = stop.signal > 0, self.watch.late(), self.watch.save_due(), draw
            bad = None
            if self._reads() or any(flags):
                loss, bad = self.taken.read_losses(self.step + 1)
            broken, stopped, late, due, show = on_any_rank([bad is not None, *flags], self.device)
            if broken:
                raise RuntimeError(
                    f"the loss is {loss} at step {bad or self.step + 1}; the last checkpoint is "
                    "intact, and --resume with a smaller --rate may go on from it"
                )
            self.update()
            stop.signal = signal.SIGTERM if stopped and not stop.signal else stop.signal
            ended = stopped or late or self.step >= self.settings.steps
            if self.step % self.settings.log_every == 0 or ended:
                self._if_the_disk_lets(self._log)
            if text := self.watch.duration(self.step):
                tell(text)
            last = ended and self.settings.sample_every > 0
            if not stopped and (show or last or self._every(self.settings.sample_every)):
                self._if_the_disk_lets(self._sample)
            if ended:
                self.save()
            elif due or self._every(self.settings.checkpoint_every):
                self._if_the_disk_lets(self.save)

    def compute_gradients(self) -> None:
        """Add up the gradients of one step's parts on this rank."""
        self.optimizer.zero_grad(set_to_none=self.graphs is None)  # a graph adds to what is there
        losses = []
        for _ in range(self.settings.accumulate):
            first = self.data.state()["position"] + self.here.rank * self.part
            with self.phase("data"):
                batch, draws = next(self.data), Draws(self.settings.seed, first, self.part)
            if self.graphs is None:
                found = self._backward(lambda: self.task.loss(batch, draws))  # noqa: B023
            else:
                part = cast(Staged, self.task).stage(batch, draws)
                found = dict(self.graphs.run(part))
            self.taken.add(found)
            losses.append(found["loss"])
        self.taken.losses.append(torch.stack(losses).mean())

    def _compute(self, part: Part) -> dict[str, Any]:
        return self._backward(lambda: cast(Staged, self.task).loss_of(part))

    def _backward(self, loss_of: Callable[[], tuple[Tensor, Terms]]) -> dict[str, Any]:
        """Add a part's gradients; return its loss and terms."""
        with self.phase("forward"), autocast(self.settings, self.device):
            loss, terms = loss_of()
        with self.phase("backward"):
            (loss / self.settings.accumulate).backward()
        return {"loss": loss.detach(), **terms}

    def update(self) -> None:
        """Take one optimiser step with the gradients averaged over ranks."""
        with self.phase("gradients"):
            if self.sharded is None:
                average_gradients(self.weights.values())
            else:
                self.sharded.let_go()
            if self.settings.clip:
                norm = nn.utils.clip_grad_norm_(self.weights.values(), self.settings.clip)
                self.taken.add({"gradient": whole(norm)})
        self.rate = self.settings.rate_at(self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate
        with self.phase("optimizer"):
            self.optimizer.step()
            self.ema.update()
        terms = self.task.end_step()
        self.taken.add(terms, partial=True)
        self.step += 1
        self.log.advance()

    def _reads(self) -> bool:
        """Whether this step waits for its loss: on a CPU, on ranks, or if anything is written."""
        step, made = self.step + 1, self.settings
        often = made.log_every, made.sample_every, made.checkpoint_every
        written = step >= made.steps or any(n and step % n == 0 for n in often)
        return written or self.here.world > 1 or self.device.type == "cpu"

    def _every(self, steps: int) -> bool:
        return steps > 0 and self.step % steps == 0

    def _log(self) -> None:
        if not self.taken.terms:
            return
        means, now = self.taken.means(), time.monotonic()
        steps, seconds = self.step - self.watch.logged[1], now - self.watch.logged[0]
        self.watch.logged = (now, self.step)
        self.log.write(
            {
                "step": self.step,
                **means,
                "rate": self.rate,
                "images_per_second": steps * self.settings.batch / seconds,
                "elapsed": self.elapsed + now - self.watch.begun,
            }
        )

    def _sample(self) -> None:
        if self.shows:
            with self.log.aside(), progress(label="drawing samples"), self.watch.draws():
                self._draw()

    def _draw(self) -> None:
        with self.ema.swapped(), as_written(), torch.no_grad(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "the first step's x̂_0")  # it has not learnt yet
            if self.sharded is None:
                images = self.stop.unless(self.task.sample_grid)
            else:  # which all ranks draw together
                images = self.task.sample_grid()
                self.sharded.let_go()
        if images is not None and self.here.is_main:
            folder = self.settings.out / "samples"
            save_grid(images, folder / f"step-{self.step:08d}.png")
            if self.captions:
                atomic_write(folder / "captions.txt", "\n".join(self.captions) + "\n")

    def _if_the_disk_lets(self, write: Callable[[], None]) -> None:
        """Write something that the run can do without; say in one line if it could not."""
        try:
            write()
        except OSError as error:
            say(f"step {self.step}: {error}; training goes on", sys.stderr)

    def save(self) -> None:
        """Write a checkpoint with all that `restore` needs, the random states of all ranks too."""
        states: list[Any] = [capture_random_state(self.device)]
        if self.here.world > 1:
            states = [None] * self.here.world
            torch.distributed.all_gather_object(states, capture_random_state(self.device))
        self.watch.saved = time.monotonic()
        if not self.shows:
            return
        state = {
            "step": self.step,
            "elapsed": self.elapsed + self.watch.elapsed(),
            "spent": self.watch.spent(),
            "weights": {name: weight.detach() for name, weight in self.weights.items()},
            "ema": self.ema.state(),
            "optimizer": self.optimizer.state_dict(),
            "task": self.task.state(),
            "data": self.data.state(),
            "random": states,
            "settings": self.settings.plain(),
        }
        state = gathered(state)
        if self.here.is_main:
            checkpoint.save(self.folder, self.step, state, self.settings.keep)

    def restore(self) -> None:
        """Continue from the newest whole checkpoint if asked to; refuse to overwrite one if not.

        Raises ValueError for a folder that holds a run, without `resume`.
        """
        refuse_to_overwrite(self.settings)
        state = checkpoint.load_newest(self.folder)
        if self.here.is_main:
            checkpoint.clear_temporary(self.folder)
        if state is None:
            if self.settings.resume:
                tell(f"{self.settings.out} has no checkpoint: the run begins")
            return
        tell(f"resuming from step {state['step']}")
        for text in changes(self.settings, state["settings"]):
            tell(text)
        if self.sharded is not None:
            cut_state(state, self.weights)
        self.step, self.elapsed = state["step"], state["elapsed"]
        if state["settings"].get("minutes") == self.settings.minutes:
            self.spent = state.get("spent", 0.0)
        checkpoint.load_weights(self.weights, state["weights"])
        self.ema.load_state(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.task.load_state(state["task"])
        self.data.load_state(state["data"])
        if len(state["random"]) == self.here.world:
            restore_random_state(state["random"][self.here.rank], self.device)
