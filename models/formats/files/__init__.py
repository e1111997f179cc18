"""Files of weights, whatever is in them: read and written, checked, told apart."""
