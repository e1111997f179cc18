"""Isometric Diffusion measured: PPL, mRTL, MCN, VoR and linear separability of models."""
