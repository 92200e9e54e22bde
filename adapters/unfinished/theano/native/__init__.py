"""The reference models by hand, as Theano's tutorials and Lasagne write them: functions of shared variables."""
