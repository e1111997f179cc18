"""Attention where the width of all heads is not the width of the pixels."""

import torch

from latentgeo.models.layers import Attention


def test_attention_of_a_width_of_its_own():
    """LDM Sec. 3.3: head by head softmax(Q Kᵀ / √d) V, of 2 heads of 5 in 7 channels."""
    torch.manual_seed(0)
    layer = Attention(7, heads=2, head_width=5, context=3).double()
    x, context = torch.randn(2, 11, 7).double(), torch.randn(2, 13, 3).double()
    q, k, v = layer.to_q(x), layer.to_k(context), layer.to_v(context)
    heads = [
        torch.softmax(q[..., part] @ k[..., part].mT / 5**0.5, dim=-1) @ v[..., part]
        for part in (slice(0, 5), slice(5, 10))
    ]
    wanted = layer.to_out[0](torch.cat(heads, dim=-1))
    torch.testing.assert_close(layer(x, context), wanted)
