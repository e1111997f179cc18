"""Models as one object each: networks, tokenizer, schedule, configuration, presets."""
