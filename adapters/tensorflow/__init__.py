"""TensorFlow: the Program as one tf.function, its operators as plain TensorFlow calls."""
