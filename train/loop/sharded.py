"""Full fine-tuning cut over ranks: weights, gradients and the optimiser's state, by FSDP2.

Every block of the UNet is one unit of PyTorch's `fully_shard`, what is left of it another. A unit's
weights are gathered for its forward pass; gradients are averaged over ranks by FSDP2 itself.

Routes       central-difference differentiates once: a unit lets go of its weights after each pass.
             double-backward reads the gathered weights again after autograd's first pass is over,
             so they stay until the gradients of a part are complete; gradients and AdamW's moments
             are cut all the same. reverse-over-forward passes dual numbers between the blocks, and
             FSDP2 has no hooks for those: it is refused by name.
Checkpoints  hold whole tensors, which rank 0 writes: a run resumes on any number of ranks.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.utils._pytree import tree_map_only

from latentgeo.core.run.ranks import is_main, ranks
from latentgeo.models.recompute import BLOCKS

S = TypeVar("S")


class Sharded:
    """A network that is cut over the ranks of the run."""

    def __init__(self, network: nn.Module, device: torch.device, keep: bool) -> None:
        """Cut the network in place; `keep` leaves gathered weights until `let_go`."""
        mesh = init_device_mesh(device.type, (ranks().world,))
        blocks = [module for module in network.modules() if isinstance(module, BLOCKS)]
        for module in (*blocks, network):
            fully_shard(module, mesh=mesh, reshard_after_forward=not keep)
        self.units = [module for module in network.modules() if isinstance(module, FSDPModule)]
        for unit in self.units:
            unit.set_reshard_after_backward(not keep)

    def let_go(self) -> None:
        """Free the gathered weights: what is trained and swapped are the parts."""
        for unit in self.units:
            unit.reshard()


def shard(network: nn.Module, device: torch.device, route: str) -> Sharded | None:
    """Cut the network over the run's ranks by what the route needs; None if there is one rank.

    Raises ValueError for a route whose passes FSDP2 cannot follow.
    """
    if ranks().world == 1:
        return None
    if route == "reverse-over-forward":
        raise ValueError(
            "route: got reverse-over-forward with --adapter full on several ranks, wanted "
            "double-backward or central-difference: FSDP2 passes no dual numbers"
        )
    return Sharded(network, device, keep=route == "double-backward")


def whole(part: Tensor) -> Tensor:
    """Return a tensor of any shape whole where it is cut; all ranks have to ask for it."""
    return part.full_tensor() if isinstance(part, DTensor) else part


def gathered(state: S) -> S:
    """Return a tree with every cut tensor whole, in rank 0's memory and empty on other ranks.

    All ranks have to ask for it. A tree without cut tensors comes back as it is.
    """

    def gather(part: DTensor) -> Tensor:
        full = part.full_tensor()
        return full.cpu() if is_main() else full.new_empty(0)

    found: S = tree_map_only(DTensor, gather, state)
    return found


def cut(full: Any, like: Tensor) -> Any:
    """Return this rank's part of a whole tensor, where `like` is cut and it has like's shape."""
    if not isinstance(like, DTensor) or not isinstance(full, Tensor) or full.shape != like.shape:
        return full
    place = full.to(like.device, like.dtype)
    return distribute_tensor(place, like.device_mesh, like.placements, src_data_rank=None)


def cut_state(state: dict[str, Any], weights: Mapping[str, Tensor]) -> None:
    """Cut weights, their average and the optimiser's moments in a checkpoint's state, in place.

    What has no weight's shape, as the number of steps, stays whole.
    """
    for part in ("weights", "ema"):
        for name in state[part].keys() & weights.keys():
            state[part][name] = cut(state[part][name], weights[name])
    moments = state["optimizer"]["state"]
    for i, weight in enumerate(weights.values()):
        if i in moments:
            moments[i] = {name: cut(value, weight) for name, value in moments[i].items()}
