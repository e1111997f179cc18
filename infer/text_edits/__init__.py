"""An image edited by its description: four methods behind one signature."""
