"""What reports are made of: a page of HTML, plots, a canvas to draw on."""
