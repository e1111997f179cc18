"""What an edit wants, in the words of the avatars, and how far an image shows it.

An edit has two texts, of what images show and of what they shall show. What the second states and
the first does not is wanted: "a face" to "a face with glasses" wants the attribute `accessory` to
have the value "glasses", or a kind of it that adds a word ("round glasses"). What only the first
states shall go, where the attribute can be absent.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from latentgeo.models.judges.captions import ATTRIBUTES, parse_caption

Wanted = Mapping[str, tuple[str, ...]]  # attribute -> the values that will do


def wanted_of(source: str, target: str) -> dict[str, tuple[str, ...]]:
    """Return what an edit from one text to another wants.

    Raises ValueError where the texts state no difference in the avatars' words.
    """
    before, after = parse_caption(source), parse_caption(target)
    wanted = {
        name: kinds(name, value) for name, value in after.items() if before.get(name) != value
    }
    gone = [name for name in before if name not in after and "none" in ATTRIBUTES[name]]
    wanted |= {name: ("none",) for name in gone}
    if not wanted:
        raise ValueError(
            f"{source!r} to {target!r}: no change of an attribute in the avatars' words, which "
            "models/judges/captions.py has"
        )
    return wanted


def kinds(attribute: str, value: str) -> tuple[str, ...]:
    """Return the value, and those that are the same with words before it."""
    return tuple(one for one in ATTRIBUTES[attribute] if f" {one}".endswith(f" {value}"))


def shows(values: Mapping[str, str], wanted: Wanted) -> bool:
    """Whether an image with these values shows all that is wanted."""
    return all(values[name] in some for name, some in wanted.items())


def log_odds(logits: Mapping[str, Tensor], wanted: Wanted, values: Wanted) -> Tensor:
    """Return log p/(1-p) (B,), p the classifier's probability that what is wanted is there.

    `logits` (B, V) and `values` (V of them) are by attribute. Of several attributes it is the least
    one's. For a softmax over z, log p/(1-p) = logsumexp of the wanted z - logsumexp of the others.
    """
    found = []
    for name, some in wanted.items():
        here = torch.tensor([value in some for value in values[name]])
        z = logits[name].double()
        found.append(z[:, here].logsumexp(1) - z[:, ~here].logsumexp(1))
    return torch.stack(found).amin(0)
