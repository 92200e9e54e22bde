"""What a network says of itself, with the graph that its session really executes, after all optimisations."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from typing import Any, Dict, Union

import onnxruntime

from ..kit.interface import Options
from . import settings
from .onnx_file import OnnxFile
from .session import create_session, nodes_on_cpu

#: The domain of convolutions in blocks of channels, as the CPU's vector registers want them.
_BLOCKED = "com.microsoft.nchwc"

_CONVOLUTIONS = ("Conv", "FusedConv", "ConvTranspose", "ConvGrad")


#: Weights of more bytes are not written to a file only to count nodes.
_MOST_BYTES = 1 << 28


class Facts:
    """What a network says of its session. What has to be tried is tried once, after the network has run: a cold start
    does not pay for it.

    model, folder: what the session was made of. weight_bytes: of the weights that are part of the model.
    """

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        model: Union[str, bytes],
        device: str,
        options: Options,
        folder: str = "",
        weight_bytes: int = 0,
    ):
        self._session = session
        self._graph_of = (model, device, options, folder)
        self._small = weight_bytes <= _MOST_BYTES
        self._tried: Dict[str, Any] = {}

    def describe(self, has_run: bool) -> Dict[str, Any]:
        facts = {**settings.describe(self._session), "graph": "session", "layout": None, "operators": None}
        on_cpu = nodes_on_cpu(self._session)
        if on_cpu is not None:
            facts["nodes_on_cpu"] = on_cpu
        if has_run and not self._tried:
            self._tried = optimised_graph(*self._graph_of) if self._small else {}
            self._tried["flush_denormals"] = settings.flushes_denormals(facts["threads"])
        return {**facts, **self._tried}


def optimised_graph(model: Union[str, bytes], device: str, options: Options, folder: str) -> Dict[str, Any]:
    """Facts about it, from a file that is thrown away."""
    # workaround: a session cannot be asked for the graph that it runs, only made to write it when it is created; so a
    # second one is made
    with tempfile.TemporaryDirectory() as scratch:
        path = os.path.join(scratch, "optimised.onnx")
        create_session(model, device, options, folder, optimised=path)
        with open(path, "rb") as stream:
            nodes = OnnxFile(stream.read()).nodes
    kinds = Counter(f"{node.domain}.{node.op}" if node.domain else node.op for node in nodes)
    domains = {node.domain for node in nodes if node.op in _CONVOLUTIONS}
    layout = "blocked" if _BLOCKED in domains else "NCHW" if domains else None
    return {"operators": len(nodes), "kinds": dict(kinds.most_common()), "layout": layout}
