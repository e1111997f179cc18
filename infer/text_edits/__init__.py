"""An image edited by its description: seven methods behind one signature."""
