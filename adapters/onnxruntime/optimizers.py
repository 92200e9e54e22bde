"""ONNX's optimizers (ai.onnx.preview.training 1) as ONNX nodes behind a gradient graph.

ONNX Runtime's own optimizers are Adam and plain SGD, so the others are graphs of ours. Formulas: docs/architecture.md.
"""

from __future__ import annotations

from typing import Callable, Dict, List, Tuple

from ..kit.arrays import element_count
from ..kit.program import Optimizer, Program, Tensor
from .writer import MICROSOFT, Writer

#: The number of steps made before, a state of every optimizer whose formula reads it.
STEP = "step/T"

# workaround: AdamOptimizer uses one thread, and several nodes of many threads are faster beyond so many threads and
# elements.
_FEW, _LITTLE = 2, 1 << 14

Replaced = List[Tuple[str, str]]


def append_optimizer(
    writer: Writer, program: Program, gradients: Dict[str, str], threads: int
) -> Tuple[Tuple[Tensor, ...], Replaced]:
    """Append one optimizer step for every parameter.

    gradients: {parameter: tensor that is its gradient}. threads: that one operator may use. Returns the state tensors,
    and (before, after) names of parameters and state.
    """
    optimizer = program.training.optimizer
    rule = _RULES[optimizer.op](writer, optimizer)
    state: List[Tensor] = []
    replaced: Replaced = []
    for name, gradient in gradients.items():
        parameter = program.tensors[name]
        before = [Tensor(f"step/{key}/{name}", parameter.dtype, parameter.shape) for key in rule.states]
        fused = parameter.dtype == "float32" and (threads <= _FEW or element_count(parameter.shape) <= _LITTLE)
        apply = rule.apply_fused if fused else rule.apply
        after = apply(name, gradient, [tensor.name for tensor in before], parameter.dtype)
        state += before
        replaced += zip([name, *(tensor.name for tensor in before)], after)
    if rule.counts:
        state.append(Tensor(STEP, "int64", ()))
        replaced.append((STEP, writer.op("Add", [STEP, writer.constant(1, "int64")])))
    return tuple(state), replaced


class _Rule:
    """One optimizer. states: what it keeps for a parameter. counts: whether its formula reads T."""

    states: Tuple[str, ...] = ()
    counts = False

    def __init__(self, writer: Writer, optimizer: Optimizer):
        self.writer = writer
        self.rate = optimizer.learning_rate
        self.attributes = optimizer.attributes
        self._scalars: Dict[str, str] = {}

    def apply(self, x: str, g: str, states: List[str], dtype: str) -> List[str]:
        """Append the nodes; returns the names of the new parameter and the new states."""
        raise NotImplementedError

    def apply_fused(self, x: str, g: str, states: List[str], dtype: str) -> List[str]:
        """The same in fewer nodes that use one thread each, where ONNX Runtime has them."""
        return self.apply(x, g, states, dtype)

    def mul(self, x: str, factor: float, dtype: str) -> str:
        return x if factor == 1.0 else self.writer.op("Mul", [x, self.writer.constant(factor, dtype)])

    def add(self, a: str, b: str) -> str:
        return self.writer.op("Add", [a, b])

    def regularized(self, x: str, g: str, dtype: str) -> str:
        """G' = norm_coefficient*X + G."""
        coefficient = self.attributes["norm_coefficient"]
        return g if coefficient == 0.0 else self.add(self.mul(x, coefficient, dtype), g)

    def scalar(self, dtype: str, make: Callable[[], str]) -> str:
        """A scalar that is the same for all parameters, computed once in float64 and rounded once."""
        if dtype not in self._scalars:
            self._scalars[dtype] = self.writer.op("Cast", [make()], to=_ONNX_FLOATS[dtype])
        return self._scalars[dtype]

    def step(self) -> str:
        return self.writer.op("Cast", [STEP], to=_ONNX_FLOATS["float64"])

    def after_first(self, later: str, first: str) -> str:
        """`later` where T > 0, else `first`."""
        return self.writer.op(
            "Where", [self.writer.op("Greater", [STEP, self.writer.constant(0, "int64")]), later, first]
        )


class _Momentum(_Rule):
    states = ("V",)

    def __init__(self, writer: Writer, optimizer: Optimizer):
        super().__init__(writer, optimizer)
        self.counts = self.attributes["beta"] != 1.0

    def apply(self, x: str, g: str, states: List[str], dtype: str) -> List[str]:
        alpha = self.attributes["alpha"]
        g = self.regularized(x, g, dtype)
        fresh = self.writer.op("Mul", [g, self.scalar(dtype, self._dampening)]) if self.counts else g
        v = self.add(self.mul(states[0], alpha, dtype), fresh)
        direction = self.add(g, self.mul(v, alpha, dtype)) if self.attributes["mode"] == "nesterov" else v
        return [self.writer.op("Sub", [x, self.mul(direction, self.rate, dtype)]), v]

    def _dampening(self) -> str:
        return self.after_first(
            self.writer.constant(self.attributes["beta"], "float64"), self.writer.constant(1.0, "float64")
        )


class _Adam(_Rule):
    states = ("V", "H")
    counts = True
    _spare = ""

    def apply(self, x: str, g: str, states: List[str], dtype: str) -> List[str]:
        alpha, beta = self.attributes["alpha"], self.attributes["beta"]
        g = self.regularized(x, g, dtype)
        v = self.add(self.mul(states[0], alpha, dtype), self.mul(g, 1.0 - alpha, dtype))
        h = self.add(self.mul(states[1], beta, dtype), self.mul(self.writer.op("Mul", [g, g]), 1.0 - beta, dtype))
        root = self.add(self.writer.op("Sqrt", [h]), self.writer.constant(self.attributes["epsilon"], dtype))
        change = self.writer.op("Div", [self.writer.op("Mul", [v, self.scalar(dtype, self._rate)]), root])
        result = self.writer.op("Sub", [x, change])
        return [self.mul(result, 1.0 - self.attributes["norm_coefficient_post"], dtype), v, h]

    def apply_fused(self, x: str, g: str, states: List[str], dtype: str) -> List[str]:
        """ONNX Runtime's own Adam, its correction of bias left out: the rate that it is given is R'."""
        g = self.regularized(x, g, dtype)
        outputs = [self.writer.name("adam") for _ in range(4)]
        inputs = [self.scalar(dtype, self._rate), self._spare_count(), x, g, *states]
        settings = {key: self.attributes[key] for key in ("alpha", "beta", "epsilon")}
        settings.update({"lambda": 0.0, "do_bias_correction": 0, "weight_decay_mode": 1})
        self.writer.node("AdamOptimizer", inputs, outputs, self.writer.name("adam"), domain=MICROSOFT, **settings)
        _, v, h, result = outputs
        return [self.mul(result, 1.0 - self.attributes["norm_coefficient_post"], dtype), v, h]

    # workaround: AdamOptimizer counts up the number of steps that it is given in place, be it a constant.
    def _spare_count(self) -> str:
        """A number that nobody else reads; without its own correction of bias AdamOptimizer does not either."""
        self._spare = self._spare or self.writer.op("Neg", [STEP])
        return self._spare

    def _rate(self) -> str:
        """R' = R*sqrt(1-beta**T)/(1-alpha**T) if T > 0 else R."""
        write, step, rate = self.writer, self.step(), self.writer.constant(self.rate, "float64")
        one = write.constant(1.0, "float64")
        left = [
            write.op("Sub", [one, write.op("Pow", [write.constant(self.attributes[key], "float64"), step])])
            for key in ("alpha", "beta")
        ]
        corrected = write.op("Div", [write.op("Mul", [rate, write.op("Sqrt", [left[1]])]), left[0]])
        return self.after_first(corrected, rate)


class _Adagrad(_Rule):
    states = ("H",)

    def __init__(self, writer: Writer, optimizer: Optimizer):
        super().__init__(writer, optimizer)
        self.counts = self.attributes["decay_factor"] != 0.0

    def apply(self, x: str, g: str, states: List[str], dtype: str) -> List[str]:
        g = self.regularized(x, g, dtype)
        h = self.add(states[0], self.writer.op("Mul", [g, g]))
        root = self.add(self.writer.op("Sqrt", [h]), self.writer.constant(self.attributes["epsilon"], dtype))
        change = self.writer.op("Div", [self.writer.op("Mul", [g, self.scalar(dtype, self._rate)]), root])
        return [self.writer.op("Sub", [x, change]), h]

    def _rate(self) -> str:
        """R' = R/(1+T*decay_factor)."""
        rate = self.writer.constant(self.rate, "float64")
        if not self.counts:
            return rate
        decay = self.writer.op("Mul", [self.step(), self.writer.constant(self.attributes["decay_factor"], "float64")])
        return self.writer.op("Div", [rate, self.add(self.writer.constant(1.0, "float64"), decay)])


_RULES = {"Momentum": _Momentum, "Adam": _Adam, "Adagrad": _Adagrad}

_ONNX_FLOATS = {"float32": 1, "float64": 11}
