"""The commands that train, and those that make data: names alone."""

from latentgeo.core.run.commands import Command, Group

COMMANDS = (
    Group(
        "train",
        (
            Command(
                "train-vae",
                "latentgeo.train.settings:TrainVae",
                "latentgeo.train.vae:train",
                "train the image autoencoder",
            ),
            Command(
                "train-diffusion",
                "latentgeo.train.settings:TrainDiffusion",
                "latentgeo.train.diffusion:train",
                "train the denoising UNet and its text encoder",
            ),
            Command(
                "train-ddpm",
                "latentgeo.train.settings:TrainDdpm",
                "latentgeo.train.ddpm:train",
                "train a diffusion model of images without text",
            ),
            Command(
                "train-smooth",
                "latentgeo.train.smoothing.settings:TrainSmooth",
                "latentgeo.train.smoothing.smooth:train",
                "fine-tune for a smooth latent space (Smooth Diffusion)",
            ),
            Command(
                "sweep-smooth",
                "latentgeo.train.smoothing.settings:SweepSmooth",
                "latentgeo.train.smoothing.sweep:sweep",
                "train-smooth for several weights of the regularizer and ranks",
            ),
            Command(
                "train-isometric",
                "latentgeo.train.isometry.settings:TrainIsometric",
                "latentgeo.train.isometry.text_to_image:train",
                "train a model with an isometric encoder (Isometric Diffusion)",
            ),
            Command(
                "train-asyrp",
                "latentgeo.train.semantic.settings:TrainAsyrp",
                "latentgeo.train.semantic.run:train",
                "train directions in a frozen model's bottleneck from pairs of texts (Asyrp)",
            ),
            Command(
                "train-diffusion-clip",
                "latentgeo.train.semantic.settings:TrainDiffusionClip",
                "latentgeo.train.semantic.whole_model:train",
                "fine-tune a whole model to one edit, to compare (DiffusionCLIP)",
            ),
            Command(
                "train-judge",
                "latentgeo.train.judges.settings:TrainJudge",
                "latentgeo.train.judges.judge:train",
                "train a small CLIP that judges edits",
            ),
            Command(
                "train-segmenter",
                "latentgeo.train.judges.settings:TrainSegmenter",
                "latentgeo.train.judges.segmenter:train",
                "train a small segmenter of faces",
            ),
            Command(
                "train-classifier",
                "latentgeo.train.judges.settings:TrainClassifier",
                "latentgeo.train.judges.classifier:train_classifier",
                "train the classifier of the avatars' attributes",
            ),
        ),
    ),
    Group(
        "data",
        (
            Command(
                "cache",
                "latentgeo.train.settings:Cache",
                "latentgeo.train.cache_writer:write_cache",
                "encode images and captions once, for training",
            ),
            Command(
                "render-avatars",
                "latentgeo.train.sets.settings:RenderAvatars",
                "latentgeo.train.sets.avatars:render_avatars",
                "draw a captioned avatar data set (needs the 'data' extra)",
            ),
            Command(
                "render-masks",
                "latentgeo.train.sets.settings:RenderMasks",
                "latentgeo.train.sets.avatar_masks:render_masks",
                "draw the part masks of those avatars",
            ),
            Command(
                "render-pairs",
                "latentgeo.train.sets.settings:RenderPairs",
                "latentgeo.train.sets.avatar_pairs:render_pairs",
                "draw pairs of avatars that differ in one attribute",
            ),
            Command(
                "emoji-folder",
                "latentgeo.train.sets.settings:EmojiFolder",
                "latentgeo.train.sets.emoji:emoji_folder",
                "turn an emoji archive into a captioned image folder",
            ),
        ),
    ),
)
