"""Inside torch.compile, fullgraph: kernels run, derivatives are right, and none is dropped.

The kernels run in Triton's interpreter, in float64.
"""

import os
import subprocess
import sys

import pytest

pytest.importorskip("triton")
CODE = """
import torch
from latentgeo.kernels.attention import triton as attention_triton
from latentgeo.kernels.attention.op import attention
from latentgeo.kernels.gates.op import geglu
from latentgeo.kernels.norms.launch import TritonNorm
from latentgeo.kernels.norms.op import group_norm_silu, layer_norm

seen = []
for place, name in ((TritonNorm, "forward"), (TritonNorm, "vjp"), (attention_triton, "forward"),
                    (attention_triton, "vjp")):
    def noted(*args, original=getattr(place, name), name=f"{place.__name__[-6:]}.{name}"):
        seen.append(name)
        return original(*args)
    setattr(place, name, noted)

g = torch.Generator().manual_seed(0)
draw = lambda *shape: torch.randn(*shape, generator=g, dtype=torch.float64)
x = draw(2, 6, 5, 3)
weights = [w.requires_grad_() for w in (draw(6), draw(6), draw(12, 6), draw(6, 6))]

def f(x):
    gamma, beta, w, text = weights
    h = group_norm_silu(x, 3, gamma, beta).flatten(2).transpose(1, 2)  # (2, 15, 6)
    q = h.unflatten(2, (2, 3)).transpose(1, 2)
    k = (text[None] * 1.5).expand(2, 6, 6).unflatten(2, (2, 3)).transpose(1, 2)
    h = h + attention(q, q, q * 0.5).transpose(1, 2).flatten(2)
    h = h + attention(q, k, k).transpose(1, 2).flatten(2)
    return geglu(torch.nn.functional.linear(layer_norm(h), w))

compiled = torch.compile(f, fullgraph=True, backend="aot_eager")
for layout in (torch.contiguous_format, torch.channels_last):
    leaf = x.contiguous(memory_format=layout).requires_grad_()
    inputs = leaf, *weights
    wanted = torch.autograd.grad(f(leaf).sin().sum(), inputs)
    seen.clear()
    got = torch.autograd.grad(compiled(leaf).sin().sum(), inputs)
    assert {"onNorm.forward", "onNorm.vjp", "triton.forward", "triton.vjp"} <= {*seen}, seen
    for one, other in zip(got, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-11)

try:
    (inner,) = torch.autograd.grad(compiled(leaf).sum(), leaf, create_graph=True)
    torch.autograd.grad(inner.sum(), leaf)
except RuntimeError as error:
    assert "double backward" in str(error) or "create_graph=False" in str(error), error
else:
    raise AssertionError("a second derivative was dropped")

print("right")
"""


@pytest.mark.filterwarnings("ignore")
def test_a_compiled_graph_has_the_kernels_and_their_derivatives():
    """Reverse, in both layouts of images; a second reverse raises."""
    env = {**os.environ, "TRITON_INTERPRET": "1", "LATENTGEO_KERNELS": "triton"}
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, env=env)
    assert done.stdout == "right\n", done.stderr[-2000:]
