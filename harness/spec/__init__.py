"""From an ONNX file to the static Program that every adapter lowers, and to what its right answers are."""
