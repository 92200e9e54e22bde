"""What ONNX Runtime's best users write: a plain session with bound inputs and outputs, and its training API."""
