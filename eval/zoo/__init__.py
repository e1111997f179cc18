"""The embedded family as one chain: its steps, what of them stands, its page, its numbers."""
