"""The networks of the zoo as a TensorFlow user writes them by hand, one file each."""
