"""The zoo's networks written by hand with Gluon: one module per model, each with a `load`."""
