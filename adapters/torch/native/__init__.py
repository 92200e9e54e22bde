"""Networks as they are written by hand in PyTorch, one file a model. `_common.py` makes them kit Networks."""
