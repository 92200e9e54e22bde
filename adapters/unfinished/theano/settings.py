"""What Theano is told before it is imported, once for the whole process, and what can be asked of it.

BLAS is the OpenBLAS inside SciPy's wheel: the newer of the two that an environment has, and one that starts its
threads after denormals were pinned, which NumPy's has done before.
"""

from __future__ import annotations

import atexit
import ctypes
import ctypes.util
import functools
import glob
import os
import platform
import shutil
import struct
import sys
import sysconfig
import tempfile
from typing import Any, Dict, Optional, Tuple

import numpy
import scipy

from ..kit.interface import Options, Unsupported

#: OpenMP and OpenBLAS take their number of threads when they are loaded.
THREADS = int(os.environ.get("OMP_NUM_THREADS", "1"))

#: Where this is 1, a process starts with nothing compiled, and leaves nothing.
FRESH = "HARNESS_FRESH_CACHE"

#: Where glibc's fenv_t keeps the control word of a machine's floating-point unit, and the bits that flush denormals.
_CONTROL_WORDS = {"x86_64": (28, 0x8040), "aarch64": (0, 1 << 24)}


def start() -> None:
    """Pin denormals and write Theano's flags. To be called before Theano is imported."""
    _flush_denormals()
    found = blas()
    flags = {
        "device": "cpu",
        "floatX": "float32",
        "mode": "FAST_RUN",
        "base_compiledir": compile_folder()[0],
        "cxx": shutil.which("g++") or "",
        "blas.ldflags": "-L%s -l:%s" % os.path.split(found) if found else "",
        "openmp": THREADS > 1,
        # Results keep their memory from step to step, as in frameworks that plan it.
        "allow_gc": False,
        "on_opt_error": "raise",
        "warn_float64": "ignore",
        "warn.round": False,
    }
    os.environ["THEANO_FLAGS"] = ",".join("%s=%s" % pair for pair in flags.items())
    os.environ["THEANORC"] = os.devnull


def _flush_denormals() -> None:
    """Denormals are zero in this thread, and in every thread that it starts later: they inherit it."""
    # workaround: Theano has no switch for denormals
    if platform.machine() not in _CONTROL_WORDS:
        return
    offset, bits = _CONTROL_WORDS[platform.machine()]
    library, environment = ctypes.CDLL(ctypes.util.find_library("m")), ctypes.create_string_buffer(64)
    library.fegetenv(environment)
    (word,) = struct.unpack_from("<I", environment, offset)
    struct.pack_into("<I", environment, offset, word | bits)
    library.fesetenv(environment)


def blas() -> str:
    """The file of SciPy's own OpenBLAS, or "". Theano's modules find it by its name, for SciPy has loaded it."""
    # workaround: Theano looks for a BLAS of the system, and without one its OpenMP code crashes
    beside = os.path.join(os.path.dirname(scipy.__file__), os.pardir, "scipy.libs", "libopenblas*")
    return next(iter(sorted(map(os.path.abspath, glob.glob(beside)))), "")


@functools.lru_cache(maxsize=None)
def compile_folder() -> Tuple[str, bool]:
    """Where compiled modules are kept, and whether they are kept beyond this process.

    By default that is in the user's home; here it is in the environment, and goes with it.
    """
    if os.environ.get(FRESH) != "1" and os.access(sys.prefix, os.W_OK):
        return os.path.join(sys.prefix, "theano-compiled"), True
    folder = tempfile.mkdtemp(prefix="theano-compiled-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder, False


def compiled_modules() -> int:
    """How many modules are compiled, by whatever process."""
    return len(glob.glob(os.path.join(compile_folder()[0], "compiledir_*", "tmp*", "*.so")))


#: The modules that were there when this process began.
COMPILED_BEFORE = compiled_modules()


def obstacle() -> str:
    """Why Theano cannot compile here; "" if it can."""
    if not shutil.which("g++"):
        return "Theano compiles C++, and there is no g++ here: install it (on Debian: apt install g++)"
    if not os.path.isfile(os.path.join(sysconfig.get_paths()["include"], "Python.h")):
        return "Theano compiles C++ for this Python, whose headers (Python.h) are not here: install them"
    if not blas():
        return "Theano needs a BLAS, and this SciPy has no OpenBLAS of its own: install SciPy's wheel"
    return ""


def check(device: str, options: Options) -> None:
    """Raise `Unsupported` for what Theano cannot honour, but for the mode."""
    if device != "cpu":
        raise Unsupported("no device %r: Theano's GPU backend, libgpuarray, is not on PyPI" % device)
    if options.precision != "fp32":
        raise Unsupported("Theano computes in fp32 on a CPU, not in %s" % options.precision)
    if options.threads != THREADS:
        raise Unsupported(
            "%d threads are asked for, but Theano was started with %d: set OMP_NUM_THREADS" % (options.threads, THREADS)
        )
    problem = obstacle()
    if problem:
        raise Unsupported(problem)


def _openblas() -> Optional[ctypes.CDLL]:
    return ctypes.CDLL(blas()) if blas() else None


def denormals_flushed() -> Optional[bool]:
    """Whether a matrix product that all threads share has zeros where it is less than float32's smallest normal."""
    library = _openblas()
    if library is None:
        return None
    side = 64 * THREADS
    a, b = numpy.full((side, side), 1e-30, numpy.float32), numpy.full((side, side), 1e-10, numpy.float32)
    c = numpy.ones((side, side), numpy.float32)
    pointer, number = ctypes.POINTER(ctypes.c_float), ctypes.c_float
    left, right, product = (array.ctypes.data_as(pointer) for array in (a, b, c))
    row_major, plain = 101, 111
    library.cblas_sgemm(
        row_major, plain, plain, side, side, side, number(1), left, side, right, side, number(0), product, side
    )
    return not c.any()


def describe() -> Dict[str, Any]:
    """The keys that mean the same in every adapter, and what Theano compiles with."""
    import theano

    folder, kept = compile_folder()
    return {
        "threads": THREADS,
        "interop_threads": 1,
        "cpu_capability": " ".join(theano.gof.cmodule.GCC_compiler.march_flags or []) or None,
        "flush_denormals": denormals_flushed(),
        "tf32": False,
        "autotune": False,
        "cudnn": False,
        "deterministic": None,
        "fast_math": "-ffast-math" in theano.config.gcc.cxxflags,
        "openmp": bool(theano.config.openmp),
        "compiler": obstacle() or "g++ " + theano.gof.cmodule.gcc_version(),
        "compile_cache": ("kept in the environment" if kept else "of this process only"),
        "compiled_before": COMPILED_BEFORE,
    }
