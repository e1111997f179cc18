"""An image edited by its description: six methods behind one signature."""
