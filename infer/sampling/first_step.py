"""What the first step of sampling says of a model: an x̂_0 that can be of none is warned of.

At t near T, x_t is noise, and a network that is read rightly takes nearly all of it away. One that
predicts v and is read as ε leaves it there, times 1/√ᾱ_t; one that predicts ε and is read as v or
x_0 returns the noise itself. The numbers lie far apart: with the embedded model, x̂_0 has a spread
of 0.4 to 0.5 and a correlation with x_t of at most 0.5 where it is read rightly, else of 1.0.
"""

import warnings

import torch
from torch import Tensor

from latentgeo.core.parameterization import Predict, x_0_from_eps
from latentgeo.core.schedule import Schedule

NOISY = 0.1  # ᾱ_t up to which x_t is taken for noise
MOST = 0.5  # of the noise in x_t that may be left in x̂_0, as a spread
ALIKE = 0.9  # correlation of x̂_0 and x_t


def watched(predict: Predict, schedule: Schedule) -> Predict:
    """Return the same predict(x_t, t) -> ε, which warns if its first x̂_0 (B, ...) is impossible."""
    seen = False

    def watching(x_t: Tensor, t: Tensor) -> Tensor:
        nonlocal seen
        eps = predict(x_t, t)
        if not seen:
            seen = True
            if said := fault_of_first(schedule, x_t, eps, t):
                warnings.warn(said, stacklevel=2)
        return eps

    return watching


def fault_of_first(schedule: Schedule, x_t: Tensor, eps: Tensor, t: Tensor) -> str:
    """Return in words why the x̂_0 of a first step can be no image's, or nothing if it can."""
    bar = float(schedule.alpha_bar[int(t.flatten()[0])])
    if bar > NOISY:
        return ""
    x_0 = x_0_from_eps(schedule, x_t, eps, t).double().flatten()
    spread, noise = float(x_0.std()), x_t.double().flatten()
    alike = float(torch.corrcoef(torch.stack([noise, x_0]))[0, 1])
    if not (spread > MOST / bar**0.5 or abs(alike) > ALIKE):
        return ""
    return (
        f"the first step's x̂_0 has a spread of {spread:.2g} and a correlation of {alike:.2f} with "
        "the noise, which no image has: the model may predict something else, see --prediction "
        "(eps, v or x0)"
    )
