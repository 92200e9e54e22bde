"""PyTorch with a fault of choice, for the gate to find."""
