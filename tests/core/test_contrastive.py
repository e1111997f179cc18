"""CLIP's contrastive loss: against sums written out, and where its least value is."""

import math

import pytest
import torch
from torch import Tensor

from latentgeo.core.contrastive import contrastive_loss, prompt_loss


def unit(n: int, k: int, seed: int) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(n, k, dtype=torch.float64, generator=draw)
    return x / x.norm(dim=1, keepdim=True)


def test_is_the_mean_surprise_of_both_choices():
    """CLIP Sec. 2.3b: -log of the softmax over texts and over images, pair by pair, by hand."""
    images, texts, scale = unit(5, 7, 0), unit(5, 7, 1), 3.0
    total = 0.0
    for i in range(5):
        cosine = [[float(a @ b) for b in texts] for a in images]
        of_texts = sum(math.exp(scale * cosine[i][j]) for j in range(5))
        of_images = sum(math.exp(scale * cosine[j][i]) for j in range(5))
        p_text = math.exp(scale * cosine[i][i]) / of_texts
        p_image = math.exp(scale * cosine[i][i]) / of_images
        total -= (math.log(p_text) + math.log(p_image)) / 2
    found = contrastive_loss(images, texts, torch.tensor(scale, dtype=torch.float64))
    assert found.item() == pytest.approx(total / 5, rel=1e-12)


def test_prompts_are_told_apart_by_the_images_that_have_one():
    """CLIP Sec. 2.3b: -log of the softmax over prompts, by hand, where there is a label."""
    images, told, labels = unit(5, 7, 0), unit(3, 7, 1), torch.tensor([2, -1, 0, 0, -1])
    total = 0.0
    for image, label in zip(images, labels.tolist(), strict=True):
        weights = [math.exp(3.0 * float(image @ text)) for text in told]
        total -= math.log(weights[label] / sum(weights)) if label >= 0 else 0.0
    found = prompt_loss(images, told, torch.tensor(3.0, dtype=torch.float64), labels)
    assert found.item() == pytest.approx(total / 3, rel=1e-12)
    assert prompt_loss(images, told, torch.tensor(3.0), torch.full((5,), -1)).item() == 0


def test_what_says_nothing_costs_log_n():
    """CLIP Sec. 2.3b: with equal cosines every choice is one of N."""
    same = unit(1, 3, 2).expand(7, 3)
    found = contrastive_loss(same, same, torch.tensor(11.0, dtype=torch.float64))
    assert found.item() == pytest.approx(math.log(7))


def test_is_symmetric_and_falls_as_pairs_align():
    """CLIP Sec. 2.3b: images and texts may change places; equal pairs cost less than unequal."""
    images, texts, scale = unit(5, 7, 3), unit(5, 7, 4), torch.tensor(5.0, dtype=torch.float64)
    loss = contrastive_loss(images, texts, scale)
    assert loss.item() == pytest.approx(contrastive_loss(texts, images, scale).item())
    assert contrastive_loss(images, images, scale) < loss
    with pytest.raises(ValueError, match=r"got \(5, 7\) and \(3, 7\)"):
        contrastive_loss(images, texts[:3], scale)


def test_the_optimum_is_the_pointwise_mutual_information():
    """CLIP Sec. 2.3b: minimised over free logits, they are log p(i, j) / p(i) p(j) + const.

    The expected loss over batches of two pairs from a joint distribution of 2 × 3; its logits are
    columns of one-hot images times free texts, so the cosines are any.
    """
    joint = torch.tensor([[0.3, 0.1, 0.1], [0.05, 0.25, 0.2]], dtype=torch.float64)
    logits = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [logits],
        max_iter=100,
        tolerance_grad=1e-12,
        tolerance_change=1e-16,
        line_search_fn="strong_wolfe",
    )
    pairs = [(i, j) for i in range(2) for j in range(3)]

    def expected() -> Tensor:
        total = torch.zeros((), dtype=torch.float64)
        one_hot = torch.eye(2, dtype=torch.float64)
        for i, j in pairs:
            for k, m in pairs:
                images, texts = one_hot[[i, k]], logits[:, [j, m]].T
                loss = contrastive_loss(images, texts, torch.ones((), dtype=torch.float64))
                total = total + joint[i, j] * joint[k, m] * loss
        return total

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = expected()
        loss.backward()
        return loss

    optimizer.step(closure)
    information = (joint / joint.sum(1, keepdim=True) / joint.sum(0)).log()
    found = (logits - logits.mean()).detach()
    torch.testing.assert_close(found, information - information.mean(), rtol=0, atol=1e-5)
