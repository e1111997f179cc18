"""Training of the judges of edits: small CLIP, classifier, segmenter."""
