"""The moving average of the weights, which is what samples are drawn with and what is saved."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class EMA:
    """Moving average of named parameters; decay 0 is the parameters themselves."""

    def __init__(self, parameters: Mapping[str, nn.Parameter], decay: float) -> None:
        self.parameters, self.decay, self.count = parameters, decay, 0
        self.average = {n: p.detach().clone() for n, p in parameters.items()} if decay else {}

    @torch.no_grad()
    def update(self) -> None:
        """Move towards the parameters, with a decay that starts small.

        w̄ ← w̄ + (1 - d_n)(w - w̄),   d_n = min(d, (1 + n) / (10 + n)) after n updates
        """
        self.count += 1
        if not self.average:
            return
        decay = min(self.decay, (1 + self.count) / (10 + self.count))
        weights = [self.parameters[name].detach() for name in self.average]
        torch._foreach_lerp_(list(self.average.values()), weights, 1 - decay)

    @contextmanager
    def swapped(self) -> Iterator[None]:
        """Compute with the average in the parameters' place, then put them back."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    @torch.no_grad()
    def _exchange(self) -> None:
        for name, average in self.average.items():
            weight = self.parameters[name]
            held = weight.detach().clone()
            weight.copy_(average)
            average.copy_(held)

    def state(self) -> dict[str, Tensor | int]:
        """Return the averages, of the parameters' shapes, by name; under "" how many updates."""
        return {**self.average, "": self.count}

    @torch.no_grad()
    def load_state(self, state: Mapping[str, Tensor | int]) -> None:
        """Continue from what `state` returned, of the same shapes; ValueError if names differ."""
        names = set(state) - {""}
        if names != set(self.average):
            raise ValueError(
                f"the moving average has {len(names)} tensors, wanted {len(self.average)}; "
                "was --ema switched on or off?"
            )
        self.count = int(state[""])
        for name, average in self.average.items():
            average.copy_(torch.as_tensor(state[name]))
