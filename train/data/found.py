"""What a source of images holds, in one line for who starts a training."""

from latentgeo.infer.data.images import Framing
from latentgeo.infer.data.shards import Shards
from latentgeo.train.data.cache import Cached
from latentgeo.train.data.stream import Source


def found(source: Source | Shards, read: int | None) -> str:
    """Return how many images there are, how many cannot be used, and what became of their sizes.

    `read` of them were read and can be used; None if they are read when they are wanted.
    """
    size, rejects = source.framing.size, source.rejects
    why = ", ".join(f"{n} {reason}" for reason, n in rejects.count.most_common())
    skipped = f"{rejects.count.total()} skipped" + (f" ({why})" if why else "")
    if isinstance(source, Shards):
        number = len(source.paths)
        return (
            f"found {number} shard{'s' if number > 1 else ''}, read while training, {size} x {size}"
        )
    if isinstance(source, Cached):
        return f"found {len(source)} encoded images, {skipped}, {size} x {size}"
    if read is None:
        return f"found {len(source)} images, {skipped} so far, {size} x {size}, read while training"
    return f"found {read} images, {skipped}, {size} x {size}, {framed(source.framing)}"


def framed(framing: Framing) -> str:
    """Return what cutting to a square and resizing did to the images."""
    seen, size = framing.seen, framing.size
    words = [f"up to {seen.cut} pixels cut off a side" if seen.cut else "nothing cut off"]
    if seen.smallest is not None and seen.smallest < size:
        words.append(f"the smallest enlarged from {seen.smallest} pixels")
    if seen.largest > size:
        words.append(f"the largest reduced from {seen.largest}")
    return ", ".join(words)
