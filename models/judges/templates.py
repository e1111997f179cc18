"""The 79 sentences that Asyrp's published code averages a text's direction over.

They are ImageNet's prompt templates of the published CLIP code without "a photo of many {}.".
"""

OBJECT = (  # sentences that hold for "a" and for "the"
    "a bad photo of {} {{}}.",
    "a cropped photo of {} {{}}.",
    "a bright photo of {} {{}}.",
    "a dark photo of {} {{}}.",
    "a close-up photo of {} {{}}.",
    "a black and white photo of {} {{}}.",
    "a blurry photo of {} {{}}.",
    "a good photo of {} {{}}.",
    "a low resolution photo of {} {{}}.",
    "a jpeg corrupted photo of {} {{}}.",
    "a pixelated photo of {} {{}}.",
    "a photo of {} {{}}.",
    "a sculpture of {} {{}}.",
    "a rendering of {} {{}}.",
    "a rendition of {} {{}}.",
    "a painting of {} {{}}.",
    "a drawing of {} {{}}.",
    "a sketch of {} {{}}.",
    "a doodle of {} {{}}.",
    "a tattoo of {} {{}}.",
    "graffiti of {} {{}}.",
    "art of {} {{}}.",
    "itap of {} {{}}.",  # "I took a picture"
)
KINDS = ("embroidered", "plastic", "origami", "toy", "cartoon", "plushie")
LOOKS = ("hard to see", "clean", "dirty", "cool", "large", "nice", "weird", "small")
ALONE = (
    "a photo of my {}.",
    "a photo of one {}.",
    "a {} in a video game.",
    "the {} in a video game.",
    "itap of my {}.",
)
IMAGENET = (
    *(sentence.format(article) for sentence in OBJECT for article in ("a", "the")),
    *(f"{article} {kind} {{}}." for kind in KINDS for article in ("a", "the")),
    *(f"a photo of {article} {look} {{}}." for look in LOOKS for article in ("a", "the")),
    *ALONE,
)
PLAIN = ("{}",)  # the text by itself
