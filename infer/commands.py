"""The commands that draw, walk and edit, and those on files of weights: names alone."""

from latentgeo.core.run.commands import Command

# fmt: off
COMMANDS = (  # group, name, room, work; help
    Command("draw", "sample", "infer.sampling", "run:sample_images",
            "draw images from prompts, or of a model without text"),
    Command("walk", "interpolate", "infer.walks", "run:interpolate_images",
            "walk between seeds, prompts or images"),
    Command("walk", "directions", "infer.directions", "run:draw_directions",
            "find a noise's principal directions and draw along them"),
    Command("walk", "inject-content", "infer.directions", "inject_content:inject_content",
            "draw images with the bottleneck of others added"),
    Command("edit", "edit-text", "infer.text_edits", "run:edit_images",
            "edit an image by its description"),
    Command("edit", "edit-semantic", "infer.semantic", "run:edit_semantic",
            "edit images by directions in a frozen model's bottleneck (Asyrp)"),
    Command("edit", "drag", "infer.drags", "run:drag_image",
            "drag points of an image to other places (DragDiffusion)"),
    Command("edit", "invert", "infer.inversion", "run:invert_images",
            "find the noise of an image and the null texts that lead back"),
    Command("edit", "reconstruct", "infer.inversion", "run:reconstruct_images",
            "make the image of an inversion again"),
    Command("data", "convert", "models.formats", "convert:convert_weights",
            "write a model or a LoRA in another program's layout"),
    Command("data", "inspect", "models.formats", "inspection:inspect_weights",
            "say what a file of weights is and fits"),
)
# fmt: on
