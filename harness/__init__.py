"""Compare deep-learning frameworks fairly: one ONNX model, every framework, one clock."""
