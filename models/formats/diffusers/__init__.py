"""Folders of diffusers: their JSON files, their layout, their names."""
