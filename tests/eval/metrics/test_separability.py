"""Support vector machines on latents whose attributes are, or are not, half-spaces."""

import math

import numpy as np
import pytest
import torch

from latentgeo.eval.metrics import separability
from latentgeo.eval.metrics.separability import (
    check_installed,
    gram_matrix,
    predicted,
    reader,
    surest,
    tables,
)
from latentgeo.models.judges.classifier import AttributeClassifier, ClassifierConfig

N, C, SIDE = 201, 2, 3


def latents(seed=0):
    return torch.randn(N, C, SIDE, generator=torch.Generator().manual_seed(seed))


def certain(labels, classes=2):
    """Exact labels as probabilities."""
    return torch.nn.functional.one_hot(labels, classes).double()


def test_a_half_space_is_separable_and_a_coin_is_not():
    """Iso Eq. 9: LS is near 1, and near exp H(Y) = 2."""
    pytest.importorskip("sklearn")
    x = latents()
    side = (x[:, 0, 0] + x[:, 1, 2] > 0).long()
    coin = torch.arange(N) % 2
    for kernel in ("linear", "radial"):
        known = tables(x, {"side": certain(side)}, kernel)
        assert known.estimate().value < 1.35
        blind = tables(x, {"coin": certain(coin)}, kernel)
        assert 1.9 < blind.estimate().value <= 2.01
        ratio = blind.ratio(known)
        assert ratio.low > 1.3 and ratio.n == N
        assert math.log(2) - 1e-2 < blind.unknown()["coin"] <= math.log(2)  # half of them by chance


def test_a_ball_takes_the_radial_kernel():
    """Iso Eq. 9: inside or outside a sphere is no half-space."""
    pytest.importorskip("sklearn")
    x = latents()
    sizes = x.flatten(1).norm(dim=1)
    label = {"inside": certain((sizes > sizes.median()).long())}
    linear, radial = (
        tables(x, label, kernel).entropies()["inside"] for kernel in ("linear", "radial")
    )
    assert radial < 0.8 * linear


def test_separability_of_several_attributes_multiplies():
    """Iso Eq. 9: exp(Σ H), with attributes of more than two classes."""
    pytest.importorskip("sklearn")
    x = latents()
    thirds = certain(torch.arange(N) % 3, 3)
    found = tables(x, {"coin": certain(torch.arange(N) % 2), "thirds": thirds}, "linear")
    total = sum(found.entropies().values())
    assert found.estimate().value == pytest.approx(math.exp(total))


def test_no_machine_sees_what_it_is_asked():
    """Of as many directions as images it would tell any labels, had it been trained on them."""
    pytest.importorskip("sklearn")
    gram = np.eye(40)
    truth = np.arange(40) // 20
    assert (predicted(gram, truth) == truth).mean() < 0.7
    assert (predicted(gram, np.zeros(40, dtype=np.int64)) == 0).all()


def test_the_surest_half_is_kept():
    """Iso Sec. Da: of four images the two whose best class has the largest share."""
    shares = torch.tensor([[0.5, 0.5], [0.9, 0.1], [0.2, 0.8], [0.4, 0.6]])
    assert sorted(surest(shares, torch.Generator().manual_seed(0)).tolist()) == [1, 2]


def test_kernels_are_of_latents_of_unit_size():
    x = latents()[:3]
    flat = x.flatten(1).double().numpy() / (C * SIDE) ** 0.5
    np.testing.assert_allclose(gram_matrix(x, "linear"), flat @ flat.T)
    apart = ((flat[:, None] - flat[None]) ** 2).sum(2)
    np.testing.assert_allclose(gram_matrix(x, "radial"), np.exp(-apart), rtol=1e-12)
    with pytest.raises(ValueError, match="kernel: got 'cubic'"):
        gram_matrix(x, "cubic")


def test_a_classifier_is_read_as_probabilities():
    torch.manual_seed(0)
    classifier = AttributeClassifier(ClassifierConfig(size=8, channels=(8,), groups=4)).eval()
    found = reader(classifier)(torch.zeros(2, 3, 8, 8))
    for name, values in classifier.config.attributes.items():
        assert found[name].shape == (2, len(values))
        torch.testing.assert_close(found[name].sum(1), torch.ones(2))


def test_bad_input_is_named(monkeypatch):
    with pytest.raises(ValueError, match="coin: got 2 rows, wanted 201"):
        tables(latents(), {"coin": torch.ones(2, 2)}, "linear")
    monkeypatch.setattr(separability, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install 'latentgeo\[separability\]'"):
        check_installed()
