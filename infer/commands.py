"""The commands that draw, walk and edit, and those on files of weights: names alone."""

from latentgeo.core.run.commands import Command, Group

COMMANDS = (
    Group(
        "draw",
        (
            Command(
                "sample",
                "latentgeo.infer.sampling.settings:Sample",
                "latentgeo.infer.sampling.run:sample_images",
                "draw images from prompts, or of a model without text",
            ),
        ),
    ),
    Group(
        "walk",
        (
            Command(
                "interpolate",
                "latentgeo.infer.walks.settings:Interpolate",
                "latentgeo.infer.walks.run:interpolate_images",
                "walk between seeds, prompts or images",
            ),
            Command(
                "directions",
                "latentgeo.infer.directions.settings:Directions",
                "latentgeo.infer.directions.run:draw_directions",
                "find a noise's principal directions and draw along them",
            ),
            Command(
                "inject-content",
                "latentgeo.infer.directions.settings:InjectContent",
                "latentgeo.infer.directions.inject_content:inject_content",
                "draw images with the bottleneck of others added",
            ),
        ),
    ),
    Group(
        "edit",
        (
            Command(
                "edit-text",
                "latentgeo.infer.text_edits.settings:EditText",
                "latentgeo.infer.text_edits.run:edit_images",
                "edit an image by its description",
            ),
            Command(
                "edit-semantic",
                "latentgeo.infer.semantic.settings:EditSemantic",
                "latentgeo.infer.semantic.run:edit_semantic",
                "edit images by directions in a frozen model's bottleneck (Asyrp)",
            ),
            Command(
                "drag",
                "latentgeo.infer.drags.settings:Drag",
                "latentgeo.infer.drags.run:drag_image",
                "drag points of an image to other places (DragDiffusion)",
            ),
            Command(
                "invert",
                "latentgeo.infer.inversion.settings:Invert",
                "latentgeo.infer.inversion.run:invert_images",
                "find the noise of an image and the null texts that lead back",
            ),
            Command(
                "reconstruct",
                "latentgeo.infer.inversion.settings:Reconstruct",
                "latentgeo.infer.inversion.run:reconstruct_images",
                "make the image of an inversion again",
            ),
        ),
    ),
    Group(
        "data",
        (
            Command(
                "convert",
                "latentgeo.models.formats.settings:Convert",
                "latentgeo.models.formats.convert:convert_weights",
                "write a model or a LoRA in another program's layout",
            ),
            Command(
                "inspect",
                "latentgeo.models.formats.settings:Inspect",
                "latentgeo.models.formats.inspection:inspect_weights",
                "say what a file of weights is and fits",
            ),
        ),
    ),
)
