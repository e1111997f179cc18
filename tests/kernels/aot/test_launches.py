"""Launches that are seen and not made, and names that stand for something else for a while."""

import sys

import pytest
import torch

from latentgeo.kernels.aot.launches import intercepted, kernels_on_meta, replaced
from latentgeo.kernels.gates.op import silu


def stand_in(argument):
    return f"in place of {argument}"


class Holder:
    """Something with an attribute to replace."""

    name = "original"


def test_replacements_last_for_the_block_and_no_longer():
    """By the dotted name, and also when the block fails."""
    here = sys.modules[__name__]
    with (
        pytest.raises(KeyError),
        replaced(f"{__name__}:Holder.name", "other"),
        replaced(f"{__name__}:stand_in", len),
    ):
        assert Holder.name == "other" and here.stand_in("abc") == 3
        raise KeyError
    assert Holder.name == "original" and stand_in("x") == "in place of x"


def test_operators_launch_on_the_meta_device():
    pytest.importorskip("triton")
    seen = []
    x = torch.empty(2, 3, 5, device="meta")
    with kernels_on_meta(), intercepted(lambda *launch: seen.append(launch)):
        y = silu(x)
    ((kernel, grid, args, kwargs),) = seen
    assert kernel.__name__ == "silu_kernel" and grid == (1, 1)
    assert args[0].shape == (1, 2, 3, 5) and args[3].shape == y[None].shape
    assert kwargs["BLOCK"] == 2048


def test_launches_are_made_again_after_the_block():
    triton = pytest.importorskip("triton")
    interface = triton.runtime.jit.KernelInterface
    before = interface.__getitem__
    with intercepted(lambda *launch: None):
        assert interface.__getitem__ is not before
    assert interface.__getitem__ is before
