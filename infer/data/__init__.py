"""Data: what `--data` names, read as captioned images, to be streamed in training or drawn from."""
