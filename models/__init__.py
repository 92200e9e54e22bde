"""The model zoo: one script a model. Each has a TITLE and a build() that returns the ONNX model with its recipe."""
