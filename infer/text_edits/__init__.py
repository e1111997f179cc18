"""An image edited by its description: five methods behind one signature."""
