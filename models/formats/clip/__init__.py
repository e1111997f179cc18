"""CLIP's files: transformers' and OpenAI's names."""
