"""Limits of a command's fields: a value beyond them is a ValueError that names field and value.

Most functions take a dataclass and the names of some of its fields; the last two are of the sides
of images. No torch import.
"""


def at_least(settings: object, least: float, *names: str) -> None:
    """Raise `ValueError` naming the first field that is set and below `least`, or not a number.

    A field that holds several numbers may hold none that is.
    """
    for name in names:
        values = getattr(settings, name)
        for value in values if isinstance(values, tuple) else (values,):
            if value is not None and not value >= least:
                raise ValueError(f"{name} must be at least {least}, got {value}")


def positive(settings: object, *names: str) -> None:
    """Raise `ValueError` naming the first field that is set and not above 0."""
    for name in names:
        value = getattr(settings, name)
        if value is not None and not value > 0:
            raise ValueError(f"{name} must be positive, got {value}")


def within(settings: object, low: float, high: float, *names: str) -> None:
    """Raise `ValueError` naming the first field outside [low, high)."""
    for name in names:
        if not low <= getattr(settings, name) < high:
            got = getattr(settings, name)
            raise ValueError(f"{name} must be at least {low} and below {high}, got {got}")


def each_once(settings: object, *names: str) -> None:
    """Raise `ValueError` naming the first field that is empty or holds a value twice."""
    for name in names:
        values = getattr(settings, name)
        if not values or len(set(values)) != len(values):
            raise ValueError(f"{name}: got {list(values)}, wanted at least one, each once")


def nearest(side: int, cell: int) -> str:
    """Return in words the positive multiples of `cell` next to a side in pixels: "16 or 24"."""
    below = max(side // cell, 1) * cell
    return f"{below}" if below >= side else f"{below} or {below + cell}"


def check_size(size: int, cell: int) -> None:
    """Raise `ValueError` with those next to it unless `size` is a positive multiple of `cell`."""
    if size < cell or size % cell:
        raise ValueError(
            f"size must be a positive multiple of {cell} pixels, got {size}; {nearest(size, cell)} "
            "would do"
        )


def check_seed(seed: int, name: str = "seed") -> None:
    """Raise `ValueError` unless the seed is one of torch's generators: 64 bits without a sign."""
    if not 0 <= seed < 2**64:
        raise ValueError(f"{name} must be at least 0 and below 2**64, got {seed}")
