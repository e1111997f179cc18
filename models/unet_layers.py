"""The layers of a UNet by name, in the order in which they run, and where it is cut in two.

Asyrp (Kwon, Jeong & Uh, arXiv 2210.10960), App. D.3, Fig. 14, which numbers them from 1.

Names   in, the first convolution; down.i, resolution i on the way down, 0 the finest, with what
        leads to the next; h, the middle: the bottleneck; up.i, the same on the way up
Number  h is the eighth of the paper's network, which has six resolutions
Skips   what a layer on the way down returns is a skip, too: cut there, a shift of it is in both
"""

from torch import Tensor

Skips = tuple[Tensor, ...]  # finest first; the last is the newest
H = "h"  # the bottleneck


def layers(resolutions: int) -> tuple[str, ...]:
    """Return the names of all layers of a UNet with so many resolutions."""
    down = [f"down.{i}" for i in range(resolutions)]
    return ("in", *down, H, *(f"up.{i}" for i in reversed(range(resolutions))))


def number(layer: str, resolutions: int) -> int:
    """Return a layer's number; ValueError where there is none of that name.

    Asyrp Sec. D.3   layers by number along the sequence of operation: h is the 8th
    """
    known = layers(resolutions)
    if layer not in known:
        raise ValueError(f"layer: got {layer!r}, wanted one of {', '.join(known)}")
    return known.index(layer) + 1


def until(layer: str, resolutions: int) -> tuple[str, ...]:
    """Return the layers up to one, itself the last; ValueError where there is none such."""
    return layers(resolutions)[: number(layer, resolutions)]


def behind(layer: str, resolutions: int) -> tuple[str, ...]:
    """Return the layers behind one; ValueError where there is none such."""
    return layers(resolutions)[number(layer, resolutions) :]


def taken(layer: str, h: Tensor, skips: Skips) -> Skips:
    """Return the skips with h, what a layer returned and maybe shifted since, where it is one."""
    return (*skips[:-1], h) if layer == "in" or layer.startswith("down.") else skips


def place(layer: str) -> tuple[str, int]:
    """Return a layer's kind and its resolution, -1 of those that are of none."""
    kind, _, i = layer.partition(".")
    return kind, int(i) if i else -1
