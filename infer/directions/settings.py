"""The settings of `directions` and `inject-content`."""

import math
from dataclasses import dataclass
from typing import Literal

from latentgeo.core.run.cli import option
from latentgeo.infer.sampling.settings import Unprompted


@dataclass(frozen=True, kw_only=True)
class Directions(Unprompted):
    """Find a noise's principal directions (Local Basis) and draw the images along them."""

    seed: int = option(0, "seed of the noise whose directions are found")
    at: float = option(
        1.0, "time of the noisy image that is moved, as a share of T: 1 is pure noise"
    )
    count: int = option(4, "how many directions: those with the largest singular values")
    gammas: tuple[float, ...] = option(
        (-2.0, -1.0, 0.0, 1.0, 2.0), "how far to move along each direction: γ, in units of --angle"
    )
    angle: float = option(10.0, "angle on the sphere of noise, in degrees, of a move by γ = 1")
    move: Literal["arc", "line"] = option(
        "arc", "arc moves on the sphere, line straight on: x + γ Δx"
    )
    pair: tuple[int, ...] = option(
        (), "two directions, by number from 1, to combine in a square of images; unset: no square"
    )
    shoot: int = option(
        0, "also follow geodesics by shooting, in so many steps per unit of γ; 0: do not"
    )
    shoot_rank: int = option(
        10, "shooting: how many directions represent the velocity; --count or more", was="rank"
    )
    tolerance: float = option(
        0.01,
        "accuracy of the singular vectors: largest residual, as a share of the largest singular"
        " value",
    )

    def __post_init__(self) -> None:
        """Refuse what no run could use, before torch is imported."""
        if self.count < 1 or self.shoot < 0:
            got = f"{self.count} and {self.shoot}"
            raise ValueError(f"count must be at least 1 and shoot not negative, got {got}")
        if self.shoot and self.shoot_rank < self.count:
            raise ValueError(
                f"shoot_rank must be at least --count {self.count}, got {self.shoot_rank}"
            )
        for name, most in (("at", 1), ("angle", 90)):
            if not 0 < getattr(self, name) <= most:
                raise ValueError(f"{name} must be in (0, {most}], got {getattr(self, name)}")
        if not self.gammas or not all(map(math.isfinite, self.gammas)):
            raise ValueError(f"gammas: got {list(self.gammas)}, wanted finite numbers")
        if not 0 < self.tolerance < 1:
            raise ValueError(f"tolerance must be in (0, 1), got {self.tolerance}")
        known = range(1, self.count + 1)
        if self.pair and (len(self.pair) != 2 or not all(one in known for one in self.pair)):
            raise ValueError(f"pair: got {list(self.pair)}, wanted none or two of 1 to {known[-1]}")
        if self.shoot and any(not (self.shoot * abs(one)).is_integer() for one in self.gammas):
            raise ValueError(f"shoot: got {self.shoot}, wanted whole steps to each of --gammas")


@dataclass(frozen=True, kw_only=True)
class InjectContent(Unprompted):
    """Draw images with the bottleneck of others added to their own, a row per image."""

    seeds: tuple[int, ...] = option(
        (0, 1, 2), "seeds of the images that are edited; each gets a row"
    )
    content_seeds: tuple[int, ...] = option(
        (3, 4, 5), "seeds of the images whose content is added; each gets a column", was="sources"
    )
    weight: float = option(1.5, "weight of the content that is added to the bottleneck h")

    def __post_init__(self) -> None:
        """Refuse what no run could use, before torch is imported."""
        if not self.seeds or not self.content_seeds:
            got = f"{len(self.seeds)} and {len(self.content_seeds)}"
            raise ValueError(f"seeds and content_seeds: got {got}, wanted one of each at least")
        if not math.isfinite(self.weight):
            raise ValueError(f"weight must be finite, got {self.weight}")
