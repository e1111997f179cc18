"""The commands that train, and those that make data: names alone."""

from latentgeo.core.run.commands import Command

# fmt: off
COMMANDS = (  # group, name, room, work; help
    Command("train", "train-vae", "train", "vae:train",
            "train the image autoencoder"),
    Command("train", "train-diffusion", "train", "diffusion:train",
            "train the denoising UNet and its text encoder"),
    Command("train", "train-ddpm", "train", "ddpm:train",
            "train a diffusion model of images without text"),
    Command("train", "train-smooth", "train.smoothing", "smooth:train",
            "fine-tune for a smooth latent space (Smooth Diffusion)"),
    Command("train", "sweep-smooth", "train.smoothing", "sweep:sweep",
            "train-smooth for several weights of the regularizer and ranks"),
    Command("train", "train-isometric", "train.isometry", "text_to_image:train",
            "train a model with an isometric encoder (Isometric Diffusion)"),
    Command("train", "train-asyrp", "train.semantic", "run:train",
            "train directions in a frozen model's bottleneck from pairs of texts (Asyrp)"),
    Command("train", "train-diffusion-clip", "train.semantic", "whole_model:train",
            "fine-tune a whole model to one edit, to compare (DiffusionCLIP)"),
    Command("train", "train-judge", "train.judges", "judge:train",
            "train a small CLIP that judges edits"),
    Command("train", "train-segmenter", "train.judges", "segmenter:train",
            "train a small segmenter of faces"),
    Command("train", "train-classifier", "train.judges", "classifier:train",
            "train the classifier of the avatars' attributes"),
    Command("data", "cache", "train", "cache_writer:write_cache",
            "encode images and captions once, for training"),
    Command("data", "render-avatars", "train.sets", "avatars:render_avatars",
            "draw a captioned avatar data set (needs the 'data' extra)"),
    Command("data", "render-masks", "train.sets", "avatar_masks:render_masks",
            "draw the part masks of those avatars"),
    Command("data", "render-pairs", "train.sets", "avatar_pairs:render_pairs",
            "draw pairs of avatars that differ in one attribute"),
    Command("data", "emoji-folder", "train.sets", "emoji:emoji_folder",
            "turn an emoji archive into a captioned image folder"),
)
# fmt: on
