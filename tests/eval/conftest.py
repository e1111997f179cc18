"""Rows of walks between prompts whose numbers are made up, so that all is known."""

import numpy as np
import pytest

FACTOR = {"index": 1.0, "optimal": 0.8, "random": 1.1}


def rows(pairs=25, noises=2):
    """Walks whose LPIPS under a coupling is that of the index times its factor, to 1 %."""
    rng = np.random.default_rng(0)
    found = []
    for pair in range(pairs):
        base, w2 = rng.uniform(0.5, 2.0), rng.uniform(3.0, 5.0)
        for noise in range(noises):
            steps = base * np.array([0.1, 0.3, 0.2]) * (1 + noise)
            walks = {
                name: {
                    "lpips": (factor * steps * rng.uniform(0.99, 1.01)).tolist(),
                    "pixels": (2 * factor * steps).tolist(),
                    "path": factor * w2,
                }
                for name, factor in FACTOR.items()
            }
            clouds = {"padded": 0.5, "padding_cost": 0.25, "moved": 0.75, "moved_real": 0.5}
            distances = {"w2": w2, "w2_index": 1.25 * w2, "w2_gaussian": 0.5 * w2}
            found.append(
                {
                    "pair": pair,
                    "noise": noise,
                    "similarity": pair / pairs,
                    "bin": pair * 5 // pairs,
                    "couplings": walks,
                    **clouds,
                    **distances,
                }
            )
    return found


@pytest.fixture(scope="session")
def walk_rows():
    """A function that returns such rows."""
    return rows
