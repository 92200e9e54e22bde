"""An adapter that computes with numpy, correctly: what the others are bad copies of."""
