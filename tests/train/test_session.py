"""Compiled networks: the same gradients and names, and eager wherever the loop draws samples."""

import torch

from latentgeo.models.layers import ResnetBlock
from latentgeo.train.session import as_written, compiled


def test_a_compiled_network_is_the_same_network() -> None:
    torch.manual_seed(0)
    block = ResnetBlock(8, 8, 4, 1e-5, 16)
    x, temb = torch.randn(2, 8, 6, 6), torch.randn(2, 16)
    names = list(block.state_dict())
    block(x, temb).square().sum().backward()
    wanted = {name: weight.grad.clone() for name, weight in block.named_parameters()}  # type: ignore[union-attr]
    block.zero_grad()
    compiled(block)
    assert list(block.state_dict()) == names
    block(x, temb).square().sum().backward()
    for name, weight in block.named_parameters():
        torch.testing.assert_close(weight.grad, wanted[name], rtol=1e-4, atol=1e-4, msg=name)


def test_samples_compile_nothing() -> None:
    """A batch of another shape runs the network as written: no new graph is made for it."""
    network = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.SiLU())
    compiled(network)
    torch._dynamo.reset()
    counters = torch._dynamo.utils.counters
    counters.clear()
    with as_written():
        network(torch.ones(5, 3))
    assert counters["stats"]["unique_graphs"] == 0
    network(torch.ones(2, 3)).sum().backward()
    assert counters["stats"]["unique_graphs"] == 1
