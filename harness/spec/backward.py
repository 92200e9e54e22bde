"""What a backward pass must have from the forward pass, operator by operator.

Nothing is computed twice: where a derivative is a function of a tensor, that tensor has to be kept. Where several
would do, any of them is enough, and some operators need only a few bits of their own:

    Conv, MatMul, Gemm, Mul, ...         each operand whose partner's gradient is wanted
    Sigmoid, Tanh, Exp, Softmax, ...     input or output
    Gelu, Erf, Sin, ...                  input
    Relu, LeakyRelu, Clip, Abs, ...      input or output, or a bit per element
    MaxPool, ReduceMax, ...              input, or which element of the window it was: log2(window) bits per result
    BatchNormalization and its kin       input or output (they can be turned round), and one number per group: the
                                         deviation (the mean is not needed with the output)
    Dropout, Where                       a bit per element
    LSTM, GRU, RNN                       input and, for each step, hidden state (Y, where that is there), gates (4 for
                                         LSTM, 3 for GRU) and the cell
    SoftmaxCrossEntropyLoss              scores or logarithms of the probabilities
    Add, Concat, pools of means, ...     nothing, and so for operators that are not known here
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from harness.kit import Node, Program, arrays
from harness.spec.dataflow import Dataflow, packed

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}

#: What else than its hidden state a step of each must keep: gates and cell; of RNN the state says all.
_KEPT_PER_STEP = {"LSTM": 5, "GRU": 3, "RNN": 0}

_PRODUCTS = frozenset(("Conv", "ConvTranspose", "Gemm", "MatMul", "Mul"))

_INPUT = frozenset(
    """
    Cos Cosh Erf Gelu HardSwish Mish ReduceL2 ReduceLogSumExp ReduceProd ReduceSumSquare Sin Sinh Swish Tan
    """.split()  # noqa: SIM905
)

_EITHER = frozenset(
    """
    Acos Acosh Asin Asinh Atan Atanh Celu Elu Exp Log LogSoftmax Pow Reciprocal Selu Sigmoid Softmax Softplus Softsign
    Sqrt Tanh
    """.split()  # noqa: SIM905
)

_SIGNS = frozenset(
    ("Abs", "Clip", "HardSigmoid", "LeakyRelu", "Max", "Min", "PRelu", "ReduceL1", "Relu", "Shrink", "ThresholdedRelu")
)

_LARGEST = frozenset(("GlobalMaxPool", "MaxPool", "ReduceMax", "ReduceMin"))


@dataclass(frozen=True)
class Need:
    """Any one of `tensors`, or so many bytes that an operator puts aside for itself (None: only a tensor will do)."""

    tensors: tuple[str, ...] = ()
    own_bytes: int | None = None


Wanted = Callable[[str], bool]


class Gradients:
    """Which gradients a training step computes: of tensors that depend on a parameter and that the loss depends on."""

    def __init__(self, program: Program):
        training = program.training
        self.parameters = set(training.parameters) if training else set()
        depends = set(self.parameters)
        for node in program.nodes:
            if any(name in depends for name in node.inputs):
                depends.update(name for name in node.outputs if name)
        leads = {training.loss} if training else set()
        for node in reversed(program.nodes):
            if any(name in leads for name in node.outputs):
                leads.update(name for name in node.inputs if name)
        self._wanted = depends & leads

    def wanted(self, name: str) -> bool:
        return name in self._wanted

    def passes(self, node: Node) -> bool:
        """Whether the backward pass goes through a node."""
        return any(map(self.wanted, node.outputs)) and any(map(self.wanted, node.inputs))


def needs(program: Program, node: Node, wanted: Wanted) -> list[Need]:
    """What the backward pass through one node needs. wanted: whether the gradient of a tensor is wanted."""
    source, result = (node.inputs or ("",))[0], node.outputs[0]
    if node.op in _PRODUCTS:
        return _partners(node.inputs[:2], wanted)
    if node.op == "Einsum":
        return _partners(node.inputs, wanted)
    if node.op == "Div":
        return _of_division(node, wanted)
    if node.op in GATES:
        return _recurrent(program, node)
    if node.op in _INPUT:
        return [Need((source,))]
    if node.op in _EITHER:
        return [Need((source, result))]
    if node.op == "SoftmaxCrossEntropyLoss":
        return [Need((source, *node.outputs[1:2]))]
    if node.op in _SIGNS:
        bit = Need((source, result), packed(_count(program, source), 1))
        return [bit, *([Need((source,))] if node.op == "PRelu" and wanted(node.inputs[1]) else [])]
    if node.op in _LARGEST:
        return [Need((source,), packed(_count(program, result), _window_bits(program, node)))]
    if node.op == "Dropout":
        return [Need(tuple(node.outputs[1:2]), packed(_count(program, source), 1))]
    if node.op == "Where":
        return [Need((source,), packed(_count(program, source), 1))]
    return _of_normalisation(program, node, wanted)


def _partners(names: tuple[str, ...], wanted: Wanted) -> list[Need]:
    """Of factors: those with another one whose gradient is wanted."""
    return [
        Need((name,))
        for place, name in enumerate(names)
        if any(wanted(other) for at, other in enumerate(names) if at != place)
    ]


def _of_division(node: Node, wanted: Wanted) -> list[Need]:
    above, below = node.inputs
    return [Need((below,)), *([Need((above, node.outputs[0]))] if wanted(below) else [])]


def _window_bits(program: Program, node: Node) -> int:
    if "kernel_shape" in node.attributes:
        window = arrays.element_count(node.attributes["kernel_shape"])
    else:
        window = _count(program, node.inputs[0]) // max(1, _count(program, node.outputs[0]))
    return math.ceil(math.log2(window)) if window > 1 else 0


def _recurrent(program: Program, node: Node) -> list[Need]:
    """Steps * batch * directions * hidden elements of state, and so many of each gate."""
    steps, batch, _ = recurrent_extents(program, node)
    directions, rows, _ = program.tensors[node.inputs[1]].shape
    itemsize = arrays.carrier(program.tensors[node.inputs[0]].dtype).itemsize
    state = steps * batch * directions * rows // GATES[node.op] * itemsize
    every_step = tuple(name for name in node.outputs[:1] if name)
    return [Need((node.inputs[0],)), Need(every_step, state), Need((), _KEPT_PER_STEP[node.op] * state)]


def recurrent_extents(program: Program, node: Node) -> tuple[int, int, int]:
    """Steps, batch and width of the input of a LSTM, GRU or RNN."""
    first, second, width = program.tensors[node.inputs[0]].shape
    return (second, first, width) if node.attributes.get("layout") else (first, second, width)


def _of_normalisation(program: Program, node: Node, wanted: Wanted) -> list[Need]:
    groups = _normalised_groups(program, node)
    if groups is None:
        return []
    if node.op == "BatchNormalization" and not node.attributes.get("training_mode"):
        return [Need((node.inputs[0], node.outputs[0]))] if wanted(node.inputs[1]) else []
    itemsize = arrays.carrier(program.tensors[node.inputs[0]].dtype).itemsize
    return [Need((node.inputs[0], node.outputs[0])), Need((), groups * itemsize)]


def _normalised_groups(program: Program, node: Node) -> int | None:
    """How many deviations a normalisation divides by; None for another operator."""
    if node.op == "BatchNormalization":
        return math.prod(program.tensors[node.inputs[0]].shape[1:2])
    if node.op == "InstanceNormalization":
        return math.prod(program.tensors[node.inputs[0]].shape[:2])
    if node.op == "GroupNormalization":
        return program.tensors[node.inputs[0]].shape[0] * int(node.attributes["num_groups"])
    if node.op in ("LayerNormalization", "RMSNormalization"):
        shape = program.tensors[node.inputs[0]].shape
        return math.prod(shape[: node.attributes.get("axis", -1) % max(1, len(shape))])
    return None


def _count(program: Program, name: str) -> int:
    return arrays.element_count(program.tensors[name].shape)


@dataclass(frozen=True)
class Aside:
    """Bytes that lie between the passes, in whatever form: from the step `since` on, until the way back through node
    number `node`."""

    node: int
    since: int
    bytes: int


@dataclass(frozen=True)
class Saved:
    """What lies between the two passes.

    tensors: {memory: number of the first node whose backward pass needs it}, inputs and initializers among them.
    """

    tensors: dict[str, int]
    aside: list[Aside]

    def total_bytes(self, flow: Dataflow) -> int:
        """All of it, without inputs and initializers."""
        return sum(map(flow.bytes, self.tensors.keys() & flow.maker.keys())) + sum(one.bytes for one in self.aside)


@dataclass(frozen=True)
class _Choice:
    node: int
    memories: tuple[str, ...]
    own_bytes: int | None


def saved(flow: Dataflow, gradients: Gradients) -> Saved:
    """The least that has to be kept.

    Where any of several tensors would do, one that is kept anyway costs nothing. One that n operators could share is
    charged to each by an nth part: which of them are best kept is a covering problem, and this is a lower bound of it.
    """
    program = flow.program
    tensors: dict[str, int] = {}
    choices: list[_Choice] = []
    for number, node in enumerate(program.nodes):
        if not gradients.passes(node):
            continue
        inner = flow.memory(node.outputs[0]) in flow.attention
        for need in needs(program, node, gradients.wanted):
            memories = tuple(dict.fromkeys(flow.memory(name) for name in need.tensors if name))
            if flow.attention & set(memories) or (inner and need.own_bytes is not None):
                continue
            if len(memories) == 1 and need.own_bytes is None:
                tensors.setdefault(memories[0], number)
            else:
                choices.append(_Choice(number, memories, need.own_bytes))
    there = flow.fixed | tensors.keys()
    return Saved(tensors, _charged(flow, [choice for choice in choices if not there & set(choice.memories)]))


def _charged(flow: Dataflow, choices: list[_Choice]) -> list[Aside]:
    """The cheapest way of each choice. Its bytes begin when the forward pass has done with its tensors, or these would
    count twice."""
    sharers = Counter(memory for choice in choices for memory in choice.memories)
    charged = []
    for choice in choices:
        costs = [flow.bytes(memory) // sharers[memory] for memory in choice.memories]
        costs += [] if choice.own_bytes is None else [choice.own_bytes]
        last = [flow.last_reader(memory) for memory in choice.memories]
        charged.append(Aside(choice.node, max([choice.node, *last]) + 1, min(costs, default=0)))
    return charged
