"""Ranges for profilers."""

import threading

import pytest
import torch

from latentgeo.kernels.bench.marks import marked


def test_backward_passes_run_on_the_callers_thread_and_afterwards_may_not():
    """NVTX's ranges are per thread."""
    assert torch.autograd.is_multithreading_enabled()
    with marked("case", "contender", torch.device("cpu")):
        assert not torch.autograd.is_multithreading_enabled()
    assert torch.autograd.is_multithreading_enabled()


def test_a_gpus_range_is_nvtxs_by_the_case_and_the_contender(monkeypatch):
    open_ranges, seen = [], []
    monkeypatch.setattr(torch.cuda.nvtx, "range_push", open_ranges.append)
    monkeypatch.setattr(torch.cuda.nvtx, "range_pop", lambda: open_ranges.pop())
    with (
        pytest.raises(KeyError),
        marked("geglu-b1", "eager", torch.device("cuda")),
    ):
        seen.append((list(open_ranges), threading.get_ident()))
        raise KeyError
    assert seen == [(["geglu-b1 eager"], threading.get_ident())] and open_ranges == []
