"""Content injection: which bottleneck each edit is decoded with."""

import pytest
import torch

from latentgeo.core import ddim
from latentgeo.core.injection import injected, side_by_side
from latentgeo.core.schedule import linear

N, M = 2, 3
SCHEDULE = linear(7)


def encode(x, t):
    return x**2 / (t[:, None] + 1), (x,)


def decode(h, skips, t):
    return h.sin() + 0.3 * skips[0]


def plain(x, t):
    return decode(*encode(x, t), t)


def noises():
    generator = torch.Generator().manual_seed(1)
    draws = torch.randn(N + M, 5, generator=generator, dtype=torch.float64)
    return draws[:N], draws[N:]


def test_edits_are_decoded_with_the_sum():
    """Iso Sec. G: at each step h_t + 1.5 h'_t of the two trajectories, and the edit's own skips.

    Derived by sampling the trajectories one by one, and an edit from their recorded bottlenecks.
    """
    x, others = noises()
    times = (7, 4, 1, 0)
    predict = injected(encode, decode, N, M)
    found = ddim.sample(predict, SCHEDULE, side_by_side(x, others), times)
    for i in range(N):
        for j in range(M):
            seen: dict[int, list[torch.Tensor]] = {}

            def recorded(x_t, t, seen=seen):
                seen.setdefault(int(t), []).append(encode(x_t, t)[0])
                return plain(x_t, t)

            alone = ddim.sample(recorded, SCHEDULE, x[i : i + 1], times)
            theirs = ddim.sample(recorded, SCHEDULE, others[j : j + 1], times)

            def edited(x_t, t, seen=seen):
                h, h_other = seen[int(t)]
                return decode(h + 1.5 * h_other, (x_t,), t)

            wanted = ddim.sample(edited, SCHEDULE, x[i : i + 1], times)
            torch.testing.assert_close(found[i : i + 1], alone)
            torch.testing.assert_close(found[N + j : N + j + 1], theirs)
            torch.testing.assert_close(found[N + M + i * M + j][None], wanted)
            assert not torch.allclose(wanted, alone, atol=1e-3)


def test_without_weight_every_edit_is_the_original():
    """Iso Sec. G, at a weight of 0."""
    x, others = noises()
    predict = injected(encode, decode, N, M, 0.0)
    found = ddim.sample(predict, SCHEDULE, side_by_side(x, others), (7, 3, 0))
    torch.testing.assert_close(found[N + M :], found[:N].repeat_interleave(M, 0))


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="x_t: got 5 samples, wanted 11"):
        injected(encode, decode, N, M)(torch.zeros(5, 5), torch.ones(5))
    with pytest.raises(ValueError, match="originals, sources: got 0 and 3, wanted 1 or more"):
        injected(encode, decode, 0, M)
