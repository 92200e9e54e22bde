"""An adapter that computes and trains with numpy, honestly: what the cheats beside it are bad copies of."""
