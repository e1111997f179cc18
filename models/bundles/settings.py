"""What the settings of many commands say of models: dtypes, presets."""

from typing import Literal

Dtype = Literal["fp32", "bf16", "fp16", "fp64"]

Preset = Literal["sd15", "avatars", "tiny"]

Prediction = Literal["eps", "v", "x_0"]

PREDICTION = "what the UNet predicts, where its file does not say or is wrong"

MODEL_CONFIG = (
    "shape of a model without text, where its file does not say: a preset's name or a JSON file"
)
