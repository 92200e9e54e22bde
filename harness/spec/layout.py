"""Channels-first to channels-last: one plan for the whole Program.

ONNX keeps images as N, C, H, W. A framework that wants N, H, W, C would pay two Transposes around every operator
if each were converted alone, so the layout is planned for the whole graph. For every tensor the planner knows the
*forms* in which it is at hand; a form is a permutation of axes, as in `Tensor.permutation`. It goes through the
nodes once:

- an image operator of rank 4 (`IMAGE_OPERATORS`) takes and gives N, H, W, C, and is marked `layout="NHWC"`;
- an operator that works in any order of axes keeps the form of its input, its axes renumbered;
- a Transpose of a tensor that is not in ONNX's order only renames the axes, so pairs cancel;
- every other operator gets its inputs in ONNX's order.

A form that is not at hand costs one Transpose, once per tensor, or a Reshape where only axes of extent 1 move.
Inputs and initializers are stored in the one form that is asked of them; where several are, in ONNX's.
Images of rank 3 and 5 stay channels-first.

Kernels of Conv go from O, I, H, W to H, W, I, O, those of ConvTranspose from I, O, H, W to H, W, O, I: the same
permutation. Kernels of depthwise and grouped convolutions too: [kh, kw, C / groups, M].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy

from harness.collector import collector_paused
from harness.kit import program as kit

Form = tuple[int, ...]

NHWC: Form = (0, 2, 3, 1)
KERNEL: Form = (2, 3, 1, 0)

#: Operators that take an image, and the forms of their inputs; further inputs stay in ONNX's order.
IMAGE_OPERATORS: dict[str, tuple[Form, ...]] = {
    "Conv": (NHWC, KERNEL),
    "ConvTranspose": (NHWC, KERNEL),
    **dict.fromkeys(
        (
            "AveragePool",
            "BatchNormalization",
            "DepthToSpace",
            "GlobalAveragePool",
            "GlobalLpPool",
            "GlobalMaxPool",
            "GroupNormalization",
            "InstanceNormalization",
            "LRN",
            "LpPool",
            "MaxPool",
            "NegativeLogLikelihoodLoss",
            "SoftmaxCrossEntropyLoss",
            "SpaceToDepth",
        ),
        (NHWC,),
    ),
}

#: Operators whose every output element depends on the input elements of the same (broadcast) position.
ELEMENTWISE = frozenset(
    """
    Abs Acos Acosh Add And Asin Asinh Atan Atanh BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Cast Ceil Celu
    Clip Cos Cosh Div Dropout Elu Equal Erf Exp Floor Gelu Greater GreaterOrEqual HardSigmoid HardSwish Identity
    IsInf IsNaN LeakyRelu Less LessOrEqual Log Max Mean Min Mish Mod Mul Neg Not Or PRelu Pow Reciprocal Relu Round
    Selu Shrink Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Sub Sum Swish Tan Tanh ThresholdedRelu Where Xor
    """.split()  # noqa: SIM905
)

#: What an operator's attributes become when its input is kept in a form, and the form of its output.
Rule = Callable[[dict[str, Any], Form], tuple[dict[str, Any], Form]]


def planned(program: kit.Program, wanted: str) -> kit.Program | None:
    """A Program in the layout that an adapter wants; None where that is ONNX's own."""
    return channels_last(program) if wanted == "channels-last" else None


@collector_paused()
def channels_last(program: kit.Program) -> kit.Program:
    """The same Program with images in N, H, W, C. Takes a Program in ONNX's layout; linear in its size."""
    return _Planner(program).plan()


def identity(rank: int) -> Form:
    return tuple(range(rank))


class _Planner:
    def __init__(self, program: kit.Program):
        self.program = program
        self.sources = {tensor.name for tensor in (*program.inputs, *program.initializers)}
        self.kept_names = {tensor.name for tensor in program.outputs}
        self.wanting_images = _tensors_wanted_as_images(program)
        self.tensors: dict[str, kit.Tensor] = {}
        self.nodes: list[kit.Node] = []
        # The forms in which a tensor is at hand, the one it was made in first, and their names.
        self.forms: dict[str, dict[Form, str]] = {name: {} for name in self.sources}
        # Operands of lower rank that were given axes: (name, form of the higher rank) to the new name.
        self.extended: dict[tuple[str, Form], str] = {}

    def plan(self) -> kit.Program:
        for node in self.program.nodes:
            self._place(node)
        training = self.program.training
        if training is not None:
            updates = {name: self._in_onnx_order(value) for name, value in training.updates.items()}
            for name in updates:
                self._in_onnx_order(name)
            training = replace(training, loss=self._in_onnx_order(training.loss), updates=updates)
        stored, before, names = self._store_sources()
        nodes = [_renamed(node, names) for node in (*before, *self.nodes)]
        self.tensors.update(stored)
        return replace(
            self.program,
            inputs=tuple(self.tensors[tensor.name] for tensor in self.program.inputs),
            outputs=tuple(self.tensors[tensor.name] for tensor in self.program.outputs),
            initializers=tuple(stored[tensor.name] for tensor in self.program.initializers),
            nodes=tuple(nodes),
            tensors={**stored, **self.tensors},
            training=training,
            weights={name: _viewed(array, stored[name].permutation) for name, array in self.program.weights.items()},
        )

    # Forms

    def _shape(self, name: str) -> tuple[int, ...]:
        """The shape in ONNX's order of axes."""
        return self.program.tensors[name].shape

    def _made_as(self, name: str) -> Form:
        """The form in which a tensor was made. A source has ONNX's until the end."""
        if name in self.sources:
            return identity(len(self._shape(name)))
        return next(iter(self.forms[name]))

    def _define(self, name: str, original: str, form: Form) -> str:
        """Describe a new tensor: `original` in a form."""
        tensor = self.program.tensors[original]
        shape = tuple(tensor.shape[axis] for axis in form)
        permutation = None if form == identity(len(form)) else form
        self.tensors[name] = kit.Tensor(name, tensor.dtype, shape, permutation)
        self.forms.setdefault(original, {})[form] = name
        return name

    def _fresh(self, name: str, form: Form) -> str:
        fresh = f"{name}@{''.join(map(str, form))}"
        while fresh in self.program.tensors or fresh in self.tensors:
            fresh += "'"
        return fresh

    def _as(self, name: str, form: Form) -> str:
        """The name of a tensor in a form; made by a Transpose where it is not at hand."""
        at_hand = self.forms[name]
        if form not in at_hand:
            if name in self.sources:
                self._define(name if form == identity(len(form)) else self._fresh(name, form), name, form)
            else:
                made = self._made_as(name)
                source = at_hand[made]
                self.nodes.append(self._move(source, made, self._define(self._fresh(name, form), name, form), form))
        return at_hand[form]

    def _in_onnx_order(self, name: str) -> str:
        return self._as(name, identity(len(self._shape(name)))) if name else name

    def _move(self, source: str, old: Form, target: str, new: Form) -> kit.Node:
        """The node that brings a tensor from one form into another."""
        perm = [old.index(axis) for axis in new]
        shape = self.tensors[target].shape
        if _moves_only_ones(perm, self.tensors[source].shape):
            return kit.Node("Reshape", f"reshape:{target}", (source,), (target,), {"shape": list(shape)})
        return kit.Node("Transpose", f"transpose:{target}", (source,), (target,), {"perm": perm})

    def _store_sources(self) -> tuple[dict[str, kit.Tensor], list[kit.Node], dict[str, str]]:
        """How inputs and initializers are kept, the moves that are left, and names that fall away."""
        stored: dict[str, kit.Tensor] = {}
        moves: list[kit.Node] = []
        names: dict[str, str] = {}
        for original in (*self.program.inputs, *self.program.initializers):
            name, forms = original.name, self.forms[original.name]
            plain = identity(len(original.shape))
            if len(forms) == 1 and plain not in forms and name not in self.kept_names:
                (placeholder,) = forms.values()
                stored[name] = replace(self.tensors.pop(placeholder), name=name)
                names[placeholder] = name
                continue
            stored[name] = self.tensors[name] = original
            moves += [self._move(name, plain, target, form) for form, target in forms.items() if form != plain]
        return stored, moves, names

    # Nodes

    def _place(self, node: kit.Node) -> None:
        if _takes_image(node, self.program.tensors):
            self._place_image(node)
        elif not ((_keeps_form(node) and self._place_in_form(node)) or self._relabel(node)):
            self._place_plain(node)

    def _place_in_form(self, node: kit.Node) -> bool:
        return self._place_elementwise(node) if node.op in ELEMENTWISE else self._place_by_rule(node)

    def _emit(self, node: kit.Node, inputs: Sequence[str], form: Form | None, **changes: Any) -> None:
        """Add a node whose outputs of the form's rank are in the form, the others in ONNX's order."""
        for name in filter(None, node.outputs):
            rank = len(self._shape(name))
            self._define(name, name, form if form is not None and len(form) == rank else identity(rank))
        operands = {key: self._in_onnx_order(name) for key, name in node.operands.items()}
        self.nodes.append(replace(node, inputs=tuple(inputs), operands=operands, **changes))

    def _place_image(self, node: kit.Node) -> None:
        wanted = IMAGE_OPERATORS[node.op]
        inputs = [self._as(name, form) for name, form in zip(node.inputs, wanted, strict=False)]
        inputs += [self._in_onnx_order(name) for name in node.inputs[len(wanted) :]]
        self._emit(node, inputs, NHWC, attributes={**node.attributes, "layout": "NHWC"})

    def _place_plain(self, node: kit.Node) -> None:
        if node.op in _RESHAPES and node.inputs[0] and not node.operands and self._reshape_in_place(node):
            return
        self._emit(node, [self._in_onnx_order(name) for name in node.inputs], None)

    def _reshape_in_place(self, node: kit.Node) -> bool:
        """A Reshape reads any form that differs from ONNX's only by axes of extent 1."""
        name = node.inputs[0]
        form, plain = self._made_as(name), identity(len(self._shape(name)))
        if form == plain or plain in self.forms[name] or not _moves_only_ones(form, self._shape(name)):
            return False
        shape = list(self._shape(node.outputs[0]))
        self._emit(node, [self._as(name, form)], None, op="Reshape", attributes={"shape": shape})
        return True

    def _place_elementwise(self, node: kit.Node) -> bool:
        form = self._common_form(node.inputs, node.outputs[0])
        self._emit(node, [self._broadcast(name, form) if name else name for name in node.inputs], form)
        return True

    def _place_by_rule(self, node: kit.Node) -> bool:
        """Operators with axes: the first input, or for Concat every input, decides the form."""
        images = node.inputs if node.op == "Concat" else node.inputs[:1]
        form = self._common_form(images, images[0])
        if form == identity(len(form)):
            return False
        attributes, result = _RULES[node.op](node.attributes, form)
        inputs = [self._as(name, form) for name in images]
        inputs += [self._in_onnx_order(name) for name in node.inputs[len(images) :]]
        self._emit(node, inputs, result, attributes=attributes)
        return True

    def _common_form(self, inputs: Sequence[str], result: str) -> Form:
        """The form that the largest inputs have; one that an image operator waits for, where they are free."""
        shape = self._shape(result)
        full = [name for name in inputs if name and len(self._shape(name)) == len(shape)]
        computed = [name for name in full if name not in self.sources]
        largest = max((prod(self._shape(name)) for name in computed), default=0)
        for name in computed:
            form = self._made_as(name)
            if form != identity(len(form)) and prod(self._shape(name)) == largest:
                return form
        waited_for = result in self.wanting_images and len(computed) <= 1
        return NHWC if waited_for and full else identity(len(shape))

    def _broadcast(self, name: str, form: Form) -> str:
        """An operand so that it broadcasts against tensors in a form."""
        shape = self._shape(name)
        missing = len(form) - len(shape)
        if prod(shape) == 1:
            return self._as(name, self._made_as(name))
        if form[:missing] == identity(missing):
            return self._as(name, tuple(axis - missing for axis in form[missing:]))
        return self._extended(name, form)

    def _extended(self, name: str, form: Form) -> str:
        """A tensor of lower rank, given leading axes of extent 1, in a form of the higher rank."""
        if (name, form) in self.extended:
            return self.extended[name, form]
        plain = self._in_onnx_order(name)
        shape = [1] * (len(form) - len(self._shape(name))) + list(self._shape(name))
        dtype = self.program.tensors[name].dtype
        wide = self._fresh(name, identity(len(form)))
        target = self.extended[name, form] = self._fresh(name, form)
        moved = tuple(shape[axis] for axis in form)
        self.tensors[target] = kit.Tensor(target, dtype, moved)
        if _moves_only_ones(form, shape):
            self.nodes.append(kit.Node("Reshape", f"reshape:{target}", (plain,), (target,), {"shape": list(moved)}))
        else:
            self.tensors[wide] = kit.Tensor(wide, dtype, tuple(shape))
            self.nodes.append(kit.Node("Reshape", f"reshape:{wide}", (plain,), (wide,), {"shape": shape}))
            self.nodes.append(kit.Node("Transpose", f"transpose:{target}", (wide,), (target,), {"perm": list(form)}))
        return target

    def _relabel(self, node: kit.Node) -> bool:
        """A Transpose of a tensor that is not in ONNX's order, or one into N, C, H, W, is only another name."""
        if node.op != "Transpose" or node.domain:
            return False
        name, result = node.inputs[0], node.outputs[0]
        held = self._made_as(name)
        perm = node.attributes.get("perm", list(reversed(range(len(held)))))
        form = tuple(perm.index(axis) for axis in held)
        if result in self.kept_names or (held == identity(len(held)) and form != NHWC):
            return False
        self.forms[result] = {form: self._as(name, held)}
        return True


def _viewed(array: numpy.ndarray, form: Form | None) -> numpy.ndarray:
    """An array in a form, not copied: weights can be large, and a bundle holds them in ONNX's order anyway."""
    return array if form is None else numpy.transpose(array, form)


def _moves_only_ones(perm: Sequence[int], shape: Sequence[int]) -> bool:
    moved = [axis for axis in perm if shape[axis] != 1]
    return moved == sorted(moved)


def _takes_image(node: kit.Node, tensors: dict[str, kit.Tensor]) -> bool:
    """Indices of a MaxPool count in ONNX's order of axes, so such a pool stays channels-first."""
    if node.domain or node.op not in IMAGE_OPERATORS or node.operands:
        return False
    return len(tensors[node.inputs[0]].shape) == 4 and not (node.op == "MaxPool" and any(node.outputs[1:]))


def _keeps_form(node: kit.Node) -> bool:
    if node.domain:
        return False
    if node.op in ELEMENTWISE:
        return True
    return node.op in _RULES and not node.operands and (node.op != "Squeeze" or "axes" in node.attributes)


def _renamed(node: kit.Node, names: dict[str, str]) -> kit.Node:
    if names.keys().isdisjoint((*node.inputs, *node.operands.values())):
        return node
    operands = {key: names.get(name, name) for key, name in node.operands.items()}
    return replace(node, inputs=tuple(names.get(name, name) for name in node.inputs), operands=operands)


def _tensors_wanted_as_images(program: kit.Program) -> set[str]:
    """Tensors of rank 4 that only image operators read, directly or through operators that keep the form."""
    wanted: set[str] = set()
    unwanted: set[str] = {""}
    for node in reversed(program.nodes):
        if _takes_image(node, program.tensors):
            images = set(node.inputs[:1])
        elif _keeps_form(node) and node.outputs[0] in wanted and node.outputs[0] not in unwanted:
            images = set(node.inputs)
        else:
            images = set()
        wanted |= {name for name in images if name and len(program.tensors[name].shape) == 4}
        unwanted |= {*node.inputs, *node.operands.values()} - images
    return wanted - unwanted


# How operators with axes are rewritten for a form. `form.index(axis)` is where ONNX's axis went.


def _axis(default: int) -> Rule:
    """One axis, of the attribute `axis`."""

    def rule(attributes: dict[str, Any], form: Form) -> tuple[dict[str, Any], Form]:
        axis = attributes.get("axis", default)
        return {**attributes, "axis": form.index(axis % len(form))}, form

    return rule


def _dropped(form: Form, axes: set[int]) -> Form:
    """The form of what is left of a tensor without some of ONNX's axes."""
    left = [axis for axis in form if axis not in axes]
    order = sorted(left)
    return tuple(order.index(axis) for axis in left)


def _arg_reduce(attributes: dict[str, Any], form: Form) -> tuple[dict[str, Any], Form]:
    axis = attributes.get("axis", 0) % len(form)
    result = form if attributes.get("keepdims", 1) else _dropped(form, {axis})
    return {**attributes, "axis": form.index(axis)}, result


def _reduce(attributes: dict[str, Any], form: Form) -> tuple[dict[str, Any], Form]:
    axes = {axis % len(form) for axis in attributes.get("axes") or ()}
    if not axes:
        if attributes.get("noop_with_empty_axes", 0):
            return attributes, form
        axes = set(form)
    result = form if attributes.get("keepdims", 1) else _dropped(form, axes)
    return {**attributes, "axes": sorted(form.index(axis) for axis in axes)}, result


def _axes(attributes: dict[str, Any], form: Form) -> tuple[dict[str, Any], Form]:
    return {**attributes, "axes": [form.index(axis % len(form)) for axis in attributes["axes"]]}, form


def _mean_variance(attributes: dict[str, Any], form: Form) -> tuple[dict[str, Any], Form]:
    return _axes({"axes": [0, 2, 3], **attributes}, form)


def _pad(attributes: dict[str, Any], form: Form) -> tuple[dict[str, Any], Form]:
    axes = attributes.get("axes")
    return _axes({**attributes, "axes": list(range(len(form))) if axes is None else axes}, form)


def _tile(attributes: dict[str, Any], form: Form) -> tuple[dict[str, Any], Form]:
    return {**attributes, "repeats": [attributes["repeats"][axis] for axis in form]}, form


def _resize(attributes: dict[str, Any], form: Form) -> tuple[dict[str, Any], Form]:
    return _axes({**attributes, "axes": attributes.get("axes") or list(range(len(form)))}, form)


def _squeeze(attributes: dict[str, Any], form: Form) -> tuple[dict[str, Any], Form]:
    axes = {axis % len(form) for axis in attributes["axes"]}
    return {**attributes, "axes": sorted(form.index(axis) for axis in axes)}, _dropped(form, axes)


_REDUCTIONS = ["L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare"]

_RESHAPES = ("Flatten", "Reshape", "Squeeze", "Unsqueeze")

_RULES: dict[str, Rule] = {
    **{f"Reduce{name}": _reduce for name in _REDUCTIONS},
    **dict.fromkeys(("Concat", "Split"), _axis(0)),
    **dict.fromkeys(("Hardmax", "LogSoftmax", "Softmax", "TopK"), _axis(-1)),
    **dict.fromkeys(("ArgMax", "ArgMin"), _arg_reduce),
    "CumSum": _axis(0),
    "MeanVarianceNormalization": _mean_variance,
    "Pad": _pad,
    "Resize": _resize,
    "Slice": _axes,
    "Squeeze": _squeeze,
    "Tile": _tile,
}
