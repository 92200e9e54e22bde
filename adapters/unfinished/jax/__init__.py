"""JAX: a Program becomes one function that XLA compiles, or its operators are called one by one (mode eager).

What XLA reads from variables when JAX starts is pinned here, before any module imports it.
"""

import os

#: Ways of computing that may not give what the operators say; the user's other flags stay.
_EXACT = ("--xla_cpu_enable_fast_math=false", "--xla_cpu_enable_fast_min_max=false")

# workaround: JAX has no setting for threads. XLA's CPU client makes both of its pools of as many as this variable says.
os.environ["PJRT_NPROC"] = os.environ.get("OMP_NUM_THREADS") or str(len(os.sched_getaffinity(0)))
os.environ["XLA_FLAGS"] = " ".join([os.environ.get("XLA_FLAGS", ""), *_EXACT]).strip()
# Memory of a GPU is taken as it is needed: two workers share one, and what is used can be told.
os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
