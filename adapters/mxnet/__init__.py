"""Apache MXNet: ONNX operators on its symbols, run by its cached operator or one by one."""
