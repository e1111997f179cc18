"""LoRA files of five grammars, and a LoRA apart from any of them."""
