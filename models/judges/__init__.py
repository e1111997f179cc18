"""Networks that judge images: classifier, segmenter, small CLIP, and the words they know."""
