"""What the steps of a run leave behind until they are read: losses and terms, on their device."""

import math

import torch
from torch import Tensor

from latentgeo.core.precision import widest
from latentgeo.core.run.ranks import all_reduce_mean
from latentgeo.train.loop.task import Terms


class Taken:
    """The losses and terms of the steps taken since they were last read."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.losses: list[Tensor] = []
        self.terms: dict[str, list[Tensor]] = {}
        self.partial: set[str] = set()  # terms that some steps do not have, where they are NaN

    def add(self, terms: Terms, partial: bool = False) -> None:
        """Keep a step's terms, without a wait for the device; `partial` ones may be NaN."""
        self.partial |= terms.keys() if partial else set()
        exact = widest(self.device)
        for name, value in terms.items():
            kept = torch.as_tensor(value).detach().to(exact, copy=True)
            self.terms.setdefault(name, []).append(kept)

    def read_losses(self, step: int) -> tuple[float, int | None]:
        """Return the first loss that is not finite and its step; else the last, and None.

        `step` is the number of the last one.
        """
        losses = torch.stack(self.losses).tolist()
        self.losses.clear()
        for ahead, loss in enumerate(losses, start=1 - len(losses)):
            if not math.isfinite(loss):
                return loss, step + ahead
        return losses[-1], None

    def means(self) -> dict[str, float]:
        """Return the terms' means over the steps that had them, and over ranks."""
        names = sorted(self.terms)
        sizes = [len(self.terms[name]) for name in names]
        on_device = [value.to(self.device) for name in names for value in self.terms[name]]
        values = torch.stack(on_device).cpu().split(sizes)
        self.terms.clear()
        found = {
            name: one[~one.isnan()] if name in self.partial else one
            for name, one in zip(names, values, strict=True)
        }
        found = {name: one for name, one in found.items() if len(one)}
        means = torch.stack([one.mean() for one in found.values()]).float()
        reduced = all_reduce_mean(means.to(self.device)).tolist()
        return dict(zip(found, reduced, strict=True))
