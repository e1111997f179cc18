"""Which implementation runs, by the environment variable and what the tensors are."""

import pytest
import torch

from latentgeo.kernels.wiring.dispatch import interpreting, use_triton

X = torch.zeros(2)


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.delenv("LATENTGEO_KERNELS", raising=False)


@pytest.mark.parametrize("choice", ["auto", "reference", None])
def test_a_cpu_runs_the_reference(monkeypatch, choice):
    if choice:
        monkeypatch.setenv("LATENTGEO_KERNELS", choice)
    assert not use_triton(X)
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert not use_triton(X)


def test_kernels_on_a_cpu_need_the_interpreter(monkeypatch):
    monkeypatch.setenv("LATENTGEO_KERNELS", "triton")
    with pytest.raises(RuntimeError, match="LATENTGEO_KERNELS=triton: a tensor is on cpu"):
        use_triton(X)
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert interpreting()
    assert use_triton(X, X.double())


def test_what_an_operator_cannot_do_is_an_error_only_if_kernels_are_demanded(monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert not use_triton(X, obstacle="too wide")
    monkeypatch.setenv("LATENTGEO_KERNELS", "triton")
    with pytest.raises(RuntimeError, match="LATENTGEO_KERNELS=triton: too wide"):
        use_triton(X, obstacle="too wide")


def test_without_triton_kernels_cannot_be_demanded(monkeypatch):
    monkeypatch.setattr("latentgeo.kernels.wiring.dispatch._triton_is_installed", lambda: False)
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert not use_triton(X)
    monkeypatch.setenv("LATENTGEO_KERNELS", "triton")
    with pytest.raises(RuntimeError, match="not installed"):
        use_triton(X)


def test_a_bad_choice_names_the_variable(monkeypatch):
    monkeypatch.setenv("LATENTGEO_KERNELS", "cuda")
    with pytest.raises(ValueError, match="LATENTGEO_KERNELS: got 'cuda', wanted one of auto"):
        use_triton(X)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_a_gpu_runs_the_kernels_but_not_in_float64(monkeypatch):
    x = X.cuda()
    assert use_triton(x, x.bfloat16())
    assert not use_triton(x, X)
    assert not use_triton(x.double())
    monkeypatch.setenv("LATENTGEO_KERNELS", "triton")
    with pytest.raises(RuntimeError, match="float64"):
        use_triton(x.double())
