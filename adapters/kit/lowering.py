"""From a Program to framework calls: one Python function per ONNX operator, called in order."""

from __future__ import annotations

import inspect
from types import ModuleType
from typing import Any, Callable, Dict, List, Optional

from .interface import Unsupported
from .program import Node, Program, Tensor

Operators = Dict[str, Callable]


class NodeFailed(Exception):
    """The framework raised while it lowered or ran one node; says which."""


def operators_of(module: ModuleType) -> Operators:
    """The operator functions of an ops module: what it defines itself under a name with a capital."""
    return {
        name: value
        for name, value in vars(module).items()
        if name[:1].isupper() and inspect.isfunction(value) and value.__module__ == module.__name__
    }


def missing(program: Program, operators: Operators) -> List[str]:
    """Operators that the Program uses and the table lacks, each once, in the order of first use."""
    return list(dict.fromkeys(_qualified(node) for node in program.nodes if node.domain or node.op not in operators))


def lower(
    program: Program, operators: Operators, values: Dict[str, Any], bind: Optional[Callable[[Any, Tensor], Any]] = None
) -> Dict[str, Any]:
    """Call every node's function on the values of its inputs.

    values: inputs and initializers by name; it is filled with every tensor of the Program and returned.
    bind: given a result and the Tensor that describes it, what to keep as its value: for frameworks whose
    symbols do not know their own shape.

    Raises `Unsupported` for a missing operator, attribute or output, `NodeFailed` for anything else.
    """
    lacking = missing(program, operators)
    if lacking:
        raise Unsupported("no such operator in this adapter", operator=", ".join(lacking))
    for node in program.nodes:
        results = _call(node, operators[node.op], values)
        for name, result in zip(node.outputs, results):
            if name:
                values[name] = bind(result, program.tensors[name]) if bind else result
    return values


def _qualified(node: Node) -> str:
    return f"{node.domain}.{node.op}" if node.domain else node.op


def _call(node: Node, function: Callable, values: Dict[str, Any]) -> tuple:
    inputs = [values[name] if name else None for name in node.inputs]
    keywords = dict(node.attributes)
    keywords.update((key, values[name]) for key, name in node.operands.items())
    _check_call(node, function, len(inputs), keywords)
    try:
        results = function(*inputs, **keywords)
    except Unsupported as refusal:
        raise Unsupported(refusal.reason, refusal.operator or node.op, refusal.node or node.name) from None
    except Exception as error:
        raise NodeFailed(f"{node.op} ({node.name}): {type(error).__name__}: {error}") from error
    if not isinstance(results, tuple):
        results = (results,)
    wanted = max((i + 1 for i, name in enumerate(node.outputs) if name), default=0)
    if len(results) < wanted:
        raise Unsupported(f"output {wanted} is wanted; this adapter computes {len(results)}", node.op, node.name)
    return results


def _check_call(node: Node, function: Callable, inputs: int, keywords: Dict[str, Any]) -> None:
    """A steering operand that depends on data is passed only to a parameter that may also be positional."""
    parameters = inspect.signature(function).parameters
    for key in node.operands:
        if key not in parameters or parameters[key].kind is inspect.Parameter.KEYWORD_ONLY:
            raise Unsupported(f"its operand {key!r} is not a constant", node.op, node.name)
    for key in keywords:
        if key not in parameters:
            raise Unsupported(f"attribute {key!r} is not handled", node.op, node.name)
    positional = [p for p in parameters.values() if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    variadic = any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in parameters.values())
    if inputs > len(positional) and not variadic:
        raise Unsupported(f"input {inputs} is not handled", node.op, node.name)
