"""SiLU and the gate of GEGLU, with first and second derivatives."""
