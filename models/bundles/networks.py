"""What models of several networks have in common: they move and freeze as one."""

from typing import Self

import torch
from torch import nn


class Networks:
    """Some networks by name, on one device in one dtype."""

    @property
    def modules(self) -> dict[str, nn.Module]:
        """The networks by name."""
        raise NotImplementedError

    def to(self, device: torch.device | str, dtype: torch.dtype) -> Self:
        """Move the networks and return self."""
        for module in self.modules.values():
            module.to(device, dtype)
        return self

    def eval(self) -> Self:
        """Freeze the networks for inference and return self."""
        for module in self.modules.values():
            module.eval().requires_grad_(False)
        return self
