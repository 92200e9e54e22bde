"""PyTorch: a Program becomes an fx GraphModule, that is, straight-line Python of torch calls.

ops.py and its neighbours hold one function per ONNX operator; tracing.py calls them once on values that know
their shape; adapter.py is what the worker talks to.
"""
