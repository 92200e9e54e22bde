"""TensorFlow's adapter. What TensorFlow reads while it is imported is pinned here, before any module imports it."""

import os

#: Ways of computing that may not give what the operators say; the user's other flags stay.
_EXACT_XLA = ("--xla_cpu_enable_fast_math=false", "--xla_cpu_enable_fast_min_max=false")

os.environ["TF_ENABLE_ONEDNN_OPTS"] = "1"  # oneDNN's kernels on a CPU, the default on x86
os.environ["TF_CUDNN_USE_AUTOTUNE"] = "1"  # cuDNN's algorithms are tried, the default on a GPU
os.environ["XLA_FLAGS"] = " ".join([os.environ.get("XLA_FLAGS", ""), *_EXACT_XLA]).strip()
