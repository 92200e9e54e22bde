"""Rules of ours for operators that have no ONNX function body: each a function in ONNX's own text format.

The optimizers follow ai.onnx.preview.training 1, with the names that its documents use: R the learning rate, T the
number of steps made before, X a parameter, G its gradient, V and H what is kept of earlier ones.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy
import onnx
from onnx import FunctionProto, NodeProto, helper, numpy_helper

from harness.spec.renaming import instantiate
from harness.spec.training_view import TRAINING_DOMAIN

_ML = "ai.onnx.ml"

#: G' = norm_coefficient * X + G, and whether a step was made before: what all three begin with.
_BEGIN = """
    norm_float = Constant <value_float: float = @norm_coefficient> ()
    norm = CastLike (norm_float, X)
    decay = Mul (norm, X)
    Gradient = Add (decay, G)
    zero_int = Constant <value_int: int = 0> ()
    later = Greater (T, zero_int)
    one_float = Constant <value_float: float = 1.0> ()
    one = CastLike (one_float, X)
    steps = CastLike (T, X)
"""

_MOMENTUM = (
    _BEGIN
    + """
    alpha_float = Constant <value_float: float = @alpha> ()
    alpha = CastLike (alpha_float, X)
    beta_float = Constant <value_float: float = @beta> ()
    beta_cast = CastLike (beta_float, X)
    beta = Where (later, beta_cast, one)
    kept = Mul (alpha, V)
    added = Mul (beta, Gradient)
    V_new = Add (kept, added)
"""
)

#: Per domain and operator: formal inputs, formal outputs, body.
_TEXTS = {
    (TRAINING_DOMAIN, "Momentum standard"): (
        "R, T, X, G, V",
        "X_new, V_new",
        _MOMENTUM
        + """
    change = Mul (R, V_new)
    X_new = Sub (X, change)
""",
    ),
    (TRAINING_DOMAIN, "Momentum nesterov"): (
        "R, T, X, G, V",
        "X_new, V_new",
        _MOMENTUM
        + """
    onward = Mul (alpha, V_new)
    ahead = Add (Gradient, onward)
    change = Mul (R, ahead)
    X_new = Sub (X, change)
""",
    ),
    (TRAINING_DOMAIN, "Adagrad"): (
        "R, T, X, G, H",
        "X_new, H_new",
        _BEGIN
        + """
    slowing_float = Constant <value_float: float = @decay_factor> ()
    slowing = CastLike (slowing_float, X)
    slowed = Mul (steps, slowing)
    divisor = Add (one, slowed)
    rate = Div (R, divisor)
    square = Mul (Gradient, Gradient)
    H_new = Add (H, square)
    root = Sqrt (H_new)
    epsilon_float = Constant <value_float: float = @epsilon> ()
    epsilon = CastLike (epsilon_float, X)
    scale = Add (root, epsilon)
    step = Mul (rate, Gradient)
    change = Div (step, scale)
    X_new = Sub (X, change)
""",
    ),
    (TRAINING_DOMAIN, "Adam"): (
        "R, T, X, G, V, H",
        "X_new, V_new, H_new",
        _BEGIN
        + """
    alpha_float = Constant <value_float: float = @alpha> ()
    alpha = CastLike (alpha_float, X)
    beta_float = Constant <value_float: float = @beta> ()
    beta = CastLike (beta_float, X)
    V_kept = Mul (alpha, V)
    alpha_rest = Sub (one, alpha)
    V_added = Mul (alpha_rest, Gradient)
    V_new = Add (V_kept, V_added)
    H_kept = Mul (beta, H)
    beta_rest = Sub (one, beta)
    square = Mul (Gradient, Gradient)
    H_added = Mul (beta_rest, square)
    H_new = Add (H_kept, H_added)
    beta_power = Pow (beta, steps)
    beta_left = Sub (one, beta_power)
    beta_root = Sqrt (beta_left)
    faster_by = Where (later, beta_root, one)
    alpha_power = Pow (alpha, steps)
    alpha_left = Sub (one, alpha_power)
    slower_by = Where (later, alpha_left, one)
    faster = Mul (R, faster_by)
    rate = Div (faster, slower_by)
    root = Sqrt (H_new)
    epsilon_float = Constant <value_float: float = @epsilon> ()
    epsilon = CastLike (epsilon_float, X)
    scale = Add (root, epsilon)
    step = Mul (rate, V_new)
    change = Div (step, scale)
    moved = Sub (X, change)
    post_float = Constant <value_float: float = @norm_coefficient_post> ()
    post = CastLike (post_float, X)
    post_rest = Sub (one, post)
    X_new = Mul (post_rest, moved)
""",
    ),
    ("", "ConstantOfShape"): (
        "input",
        "output",
        """
    one_element = Constant <value: tensor = @value> ()
    element = Squeeze (one_element)
    output = Expand (element, input)
""",
    ),
    (_ML, "Binarizer"): (
        "X",
        "Y",
        """
    threshold_float = Constant <value_float: float = @threshold> ()
    threshold = CastLike (threshold_float, X)
    above = Greater (X, threshold)
    Y = CastLike (above, X)
""",
    ),
}


def rule_for(schema: Any, node: NodeProto, prefix: str) -> list[NodeProto]:
    """The nodes that a rule puts in place of a call; empty where there is no rule.

    schema: the operator's `onnx.defs.OpSchema`. prefix: makes the names of inner tensors unique.
    """
    defaults = [attribute.default_value for attribute in schema.attributes.values() if attribute.default_value.name]
    given = {attribute.name: attribute for attribute in (*defaults, *node.attribute)}
    if node.op_type == "ConstantOfShape" and "value" not in given:
        given["value"] = helper.make_attribute("value", numpy_helper.from_array(numpy.zeros(1, numpy.float32)))
    name = node.op_type
    if name == "Momentum":
        name += " " + given["mode"].s.decode()
    if (node.domain, name) not in _TEXTS:
        return []
    body = _parsed(node.domain, name)
    result = []
    for index, (inputs, outputs) in enumerate(_calls(node, body)):
        names = dict(zip([*body.input, *body.output], [*inputs, *outputs], strict=True))
        result += instantiate(body.node, names, f"{prefix}{index}/", given)
    return result


def _calls(node: NodeProto, body: FunctionProto) -> list[tuple[list[str], list[str]]]:
    """Inputs and outputs of each call: an optimizer's node has R and T, and then many of X, many of G, ..."""
    if node.domain != TRAINING_DOMAIN:
        return [(list(node.input), list(node.output))]
    shared, rest = list(node.input[:2]), list(node.input[2:])
    count = len(rest) // (len(body.input) - 2)
    return [(shared + rest[index::count], list(node.output[index::count])) for index in range(count)]


@cache
def _parsed(domain: str, name: str) -> FunctionProto:
    inputs, outputs, text = _TEXTS[domain, name]
    header = '<domain: "rules", opset_import: ["" : 21]>'
    return onnx.parser.parse_function(f"{header}\nRule ({inputs}) => ({outputs})\n{{{text}}}")
