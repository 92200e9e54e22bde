"""The ONNX operators for which the installed ONNX Runtime has kernels."""

from __future__ import annotations

from typing import List

from onnxruntime.capi import onnxruntime_pybind11_state as library

#: The operator set that a Program has at least.
OPSET = 21


def operators_with_kernels(provider: str) -> List[str]:
    """Operators of ONNX's own domain with a kernel of this provider that is valid at the Program's operator set."""
    return sorted(
        {
            kernel.op_name
            for kernel in library.get_all_opkernel_def()
            if kernel.domain == "" and kernel.provider == provider and kernel.version_range[1] >= OPSET
        }
    )
