"""The ONNX operators that the installed ONNX Runtime runs, and those that its training package differentiates.

Both are asked of the library, not written down: from the registry of kernels where the build shows it, else by a trial
model of one node for each operator.
"""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, Optional

import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as library

from .settings import pin
from .trial import Trial, trial

#: The operator set that a Program has at least.
OPSET = 21

#: What the gradient builder says of an operator that it cannot differentiate.
NOT_REGISTERED = "The gradient builder has not been registered"


def executable() -> List[str]:
    """Operators with a kernel that is valid at the Program's operator set or a newer one, and those whose function
    ONNX Runtime inlines itself."""
    schemas = _live(library.get_all_operator_schema())
    kernels = {
        kernel.op_name
        for kernel in library.get_all_opkernel_def()
        if kernel.domain == "" and kernel.version_range[1] >= OPSET
    }
    inlined = {name for name, schema in schemas.items() if name not in kernels and _runs(_trial(schema))}
    return sorted(kernels & set(schemas) | inlined)


def trainable() -> List[str]:
    """Operators that run and have a gradient, or have no output that could need one."""
    import onnx

    from .rewritings import REWRITINGS

    schemas = _live(schema for schema in onnx.defs.get_all_schemas_with_history() if schema.since_version <= OPSET)
    # workaround: the gradient builder does not list what it can differentiate, so every operator is tried
    found = {name for name, schema in schemas.items() if _trains(_trial(schema))}
    return sorted(found | set(REWRITINGS))


def _live(schemas: Iterable[Any]) -> Dict[str, Any]:
    """The newest schema of each operator of ONNX's own domain, without the deprecated ones."""
    newest: Dict[str, Any] = {}
    for schema in schemas:
        known = newest.get(schema.name)
        if schema.domain == "" and (known is None or known.since_version < schema.since_version):
            newest[schema.name] = schema
    return {name: schema for name, schema in newest.items() if not schema.deprecated}


def _trial(schema: Any) -> Optional[Trial]:
    return trial(schema, max(OPSET, schema.since_version))


def _runs(attempt: Optional[Trial]) -> bool:
    if attempt is None:
        return False
    try:
        onnxruntime.InferenceSession(attempt.model, _quiet(), providers=["CPUExecutionProvider"])
    except Exception:  # no kernel, or nothing that a trial without shapes can tell
        return False
    return True


def _trains(attempt: Optional[Trial]) -> bool:
    if not _runs(attempt):
        return False
    if not attempt.inputs or not attempt.outputs:
        return True
    loss = attempt.outputs[0]
    try:
        builder = library.GradientGraphBuilder(attempt.model, {loss}, set(attempt.inputs), loss, _quiet())
        builder.build()
    except Exception as error:  # the trial leaves out what some gradients read; only this says that there is none
        return NOT_REGISTERED not in str(error)
    return True


def _quiet() -> onnxruntime.SessionOptions:
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 4
    settings.intra_op_num_threads = 1
    # workaround: the first session of a process decides how the calling thread treats denormals in all later ones
    pin(settings)
    return settings
