"""Triton's interpreter beside today's numpy: scalars are arrays of one number, also as indices.

Triton 3.6 turns such an array into the bound of a loop by `int`, which numpy refuses from 2.4 on;
later versions take its item.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import triton
from triton.runtime import interpreter


def interpreted() -> AbstractContextManager[Any]:
    """Return a context for launches in which the interpreter counts by scalars."""
    major, minor = map(int, triton.__version__.split(".")[:2])
    return nullcontext() if (major, minor) > (3, 6) else _mended()


@contextmanager
def _mended() -> Iterator[None]:
    patch = interpreter._patch_lang_tensor

    def mended(tensor: Any, scope: Any) -> None:
        patch(tensor, scope)
        scope.set_attr(tensor, "__index__", lambda self: int(self.handle.data.item()))

    interpreter._patch_lang_tensor = mended
    try:
        yield
    finally:
        interpreter._patch_lang_tensor = patch
