"""Reference networks written by hand, as JAX users write them: functions of a dictionary of arrays."""
