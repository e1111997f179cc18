"""Linear separability measured: support vector machines on latents, against what a judge reads.

Isometric Diffusion (arXiv 2407.11451), Appendix D, after StyleGAN: per attribute the half of the
images of which the judge is surest, a support vector machine on their latents, the conditional
entropy of the judge's classes given the machine's.

Open in the paper, and chosen here: a latent has more dimensions than there are images, so that a
machine separates any labels that it was trained on (LS = 1); classes are therefore those of
machines that have not seen the image (5 folds). Entropies are in nats and add up in the exponent.
Latents are divided by √n, C = 1, and the radial kernel is exp(-γ ‖x - x'‖²) with γ = 1 there. An
attribute may have more than two classes, which raises LS: compare models under one judge alone.
scikit-learn is the extra `separability`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from latentgeo.core.run.seeds import generator
from latentgeo.core.separability import conditional_entropy, linear_separability
from latentgeo.eval.runs.statistics import Estimate, exponential, jackknife
from latentgeo.models.judges.classifier import AttributeClassifier

Kernel = Literal["linear", "radial"]
Read = Callable[[Tensor], Mapping[str, Tensor]]  # images (N, 3, H, W) to (N, K) by attribute
KERNELS: tuple[Kernel, ...] = ("linear", "radial")
FOLDS = 5
KEPT = 0.5  # share of the images that an attribute is judged on, the surest


@dataclass(frozen=True, kw_only=True)
class Tables:
    """Which of the judge's classes went with which of the machine's, image by image."""

    joint: Mapping[str, Tensor]  # by attribute: (N, K, K), 1 at (Y, X), 0 where not judged

    def estimate(self) -> Estimate:
        """Return LS with an interval over images.

        Iso Eq. 9   LS = exp(Σ_i H(Y_i|X_i))
        """
        return exponential(jackknife(self._log, len(self)))

    def ratio(self, first: "Tables") -> Estimate:
        """Return LS over that of another model on the same noises, paired by noise."""

        def log_ratio(kept: NDArray[np.int64]) -> float:
            return self._log(kept) - first._log(kept)

        return exponential(jackknife(log_ratio, len(self)))

    def _log(self, kept: NDArray[np.int64]) -> float:
        """Return ln LS over some of the images."""
        tables = (one[kept].sum(0) for one in self.joint.values())
        found = torch.stack([conditional_entropy(one) for one in tables])
        return float(linear_separability(found).log())

    def __len__(self) -> int:
        return len(next(iter(self.joint.values())))

    def entropies(self) -> dict[str, float]:
        """Return H(Y|X) in nats by attribute."""
        return {name: float(conditional_entropy(one.sum(0))) for name, one in self.joint.items()}

    def unknown(self) -> dict[str, float]:
        """Return H(Y) in nats by attribute: what a machine leaves open that sees nothing."""
        return {
            name: float(conditional_entropy(one.sum((0, 2))[:, None]))
            for name, one in self.joint.items()
        }


def check_installed() -> None:
    """Raise ValueError where scikit-learn is not."""
    if find_spec("sklearn") is None:
        raise ValueError("ls needs scikit-learn: pip install 'latentgeo[separability]'")


def reader(classifier: AttributeClassifier) -> Read:
    """Return a classifier as a function of images to probabilities (N, K) by attribute."""
    device = next(classifier.parameters()).device

    @torch.no_grad()
    def read(images: Tensor) -> Mapping[str, Tensor]:
        logits = classifier(images.to(device, torch.float32))
        return {name: scores.softmax(1).cpu() for name, scores in logits.items()}

    return read


def tables(
    latents: Tensor, attributes: Mapping[str, Tensor], kernel: Kernel, seed: int = 0
) -> Tables:
    """Return what a machine of this kernel makes of latents (N, ...), against probabilities (N, K).

    Exact labels are probabilities of 0 and 1; which half is kept is then drawn by the seed. Raises
    ValueError unless there is a row for each latent, and for a kernel that there is not.
    """
    gram = gram_matrix(latents, kernel)
    found = {}
    for name, shares in attributes.items():
        if len(shares) != len(latents):
            raise ValueError(f"{name}: got {len(shares)} rows, wanted {len(latents)}")
        kept = surest(shares, generator(seed, "separability", name))
        truth = shares.argmax(1)
        seen = predicted(gram[np.ix_(kept, kept)], truth[kept].numpy())
        joint = torch.zeros(len(shares), shares.shape[1], shares.shape[1], dtype=torch.float64)
        joint[kept, truth[kept], torch.from_numpy(seen)] = 1
        found[name] = joint
    return Tables(joint=found)


def surest(shares: Tensor, draw: torch.Generator) -> NDArray[np.int64]:
    """Return the half of N images whose best class is surest, by shares (N, K), in random order.

    Iso Sec. Da   1,000 of 2,000
    """
    order = torch.randperm(len(shares), generator=draw)
    best = shares.amax(1)[order].argsort(descending=True, stable=True)
    kept = order[best[: max(2, round(KEPT * len(shares)))]]
    return kept[torch.randperm(len(kept), generator=draw)].numpy()


def gram_matrix(latents: Tensor, kernel: Kernel) -> NDArray[np.float64]:
    """Return the kernel (N, N) of latents (N, ...), which are divided by √n first.

    Raises ValueError for a kernel that there is not.
    """
    x = latents.flatten(1).double().cpu()
    products = x @ x.mT / x.shape[1]
    if kernel == "linear":
        return products.numpy()
    if kernel != "radial":
        raise ValueError(f"kernel: got {kernel!r}, wanted linear or radial")
    squares = products.diagonal()
    distances = squares[:, None] + squares[None] - 2 * products
    return (-distances.clamp(min=0)).exp().numpy()


def predicted(gram: NDArray[np.float64], truth: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the class (N,) that a machine gives each row which was trained on the other folds."""
    from sklearn.svm import SVC

    found = np.empty_like(truth)
    folds = np.arange(len(truth)) % min(FOLDS, len(truth))
    for fold in set(folds.tolist()):
        out, rest = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        if len(set(truth[rest].tolist())) == 1:
            found[out] = truth[rest][0]
            continue
        machine = SVC(kernel="precomputed", C=1.0).fit(gram[np.ix_(rest, rest)], truth[rest])
        found[out] = machine.predict(gram[np.ix_(out, rest)])
    return found
