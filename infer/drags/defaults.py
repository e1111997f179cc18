"""How a model is dragged where the user does not say: the released settings, or measured ones.

Stable Diffusion's are those of DragDiffusion's released code (infer/drag.Dragging). Those of small
models keep its optimisation and differ in what the embedded model was measured to need:

Identity   the embedded model attends at its two coarsest resolutions alone, so a LoRA on attention
           cannot hold what a face looks like; and all its faces are in one place, so it is shown
           copies that are moved, or it denoises a dragged face back to where faces are.
Tolerance  a cell is 2 of 64 pixels, not of 512.
"""

from latentgeo.infer.drags.drag import Dragging
from latentgeo.infer.drags.identity import Identity
from latentgeo.models.bundles.text_to_image import TextToImage

SMALL_SIDE = 128  # pixels; a model of at most this size gets SMALL
SMALL = Dragging(
    steps=25,
    strength=0.6,
    refine=1,
    tolerance=0.25,
    protect=True,
    identity=Identity(rank=4, layers="all", steps=250, lr=4e-3, shift=10),
)


def dragging_of(bundle: TextToImage) -> Dragging:
    """Return the settings for a model, by the size of its images."""
    return SMALL if bundle.config.sampling.size <= SMALL_SIDE else Dragging()
