"""Imperative execution: a symbol's operators, called one by one on arrays."""

from __future__ import annotations

import ctypes
import json

import mxnet
from mxnet.base import _LIB, c_str, check_call


class Imperative:
    """Calls a symbol's operators in order, from Python, as imperative MXNet does; takes arguments as a CachedOp does.

    Arrays that no later operator needs are let go at once, unless autograd holds them.
    """

    def __init__(self, symbol):
        graph = json.loads(symbol.tojson())
        nodes = graph["nodes"]
        positions = {name: i for i, name in enumerate(symbol.list_inputs())}
        last_use = {}
        for i, node in enumerate(nodes):
            for source in node["inputs"]:
                last_use[source[0]] = i
        kept = {head[0] for head in graph["heads"]}
        self._variables = [(i, positions[node["name"]]) for i, node in enumerate(nodes) if node["op"] == "null"]
        self._calls = [
            _Call(i, node, [n for n, last in last_use.items() if last == i and n not in kept])
            for i, node in enumerate(nodes)
            if node["op"] != "null"
        ]
        self._heads = [(head[0], head[1]) for head in graph["heads"]]
        self.operators = len(self._calls)

    def __call__(self, *arguments):
        """The symbol's outputs, a list where there are several."""
        values = {node: (arguments[position],) for node, position in self._variables}
        for call in self._calls:
            results = call.invoke([values[node][output] for node, output in call.inputs])
            values[call.node] = results if isinstance(results, list) else (results,)
            for node in call.done:
                del values[node]
        outputs = [values[node][output] for node, output in self._heads]
        return outputs[0] if len(outputs) == 1 else outputs


class _Call:
    def __init__(self, node, entry, done):
        handle = ctypes.c_void_p()
        check_call(_LIB.NNGetOpHandle(c_str(entry["op"]), ctypes.byref(handle)))
        attributes = entry.get("attrs", {})
        self.node = node
        self.inputs = [(source[0], source[1]) for source in entry["inputs"]]
        self.done = done
        self._arguments = (handle.value, list(attributes), list(attributes.values()))

    def invoke(self, arrays):
        handle, keys, values = self._arguments
        return mxnet.nd._internal._imperative_invoke(handle, arrays, keys, values, None, False, False)
