"""Slopes of the loss along random directions, measured on the reference: what a framework's gradients are held against.

Derivatives are central differences in float64. A direction goes through all parameters at once. In the plain one each
parameter's part has norm 1. There the last layer's bias can drown what the weights of a recurrent layer do, so in the
others, the balanced ones, parts are scaled until each parameter weighs about the same. The scales come from the
gradients to be judged, as powers of two, so that honest frameworks are all held against the same directions. A gradient
that is too small gets a part that is too long, and so shows all the more.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy

from harness.kit import Program
from harness.spec.reference import Arrays, as_float64, evaluate_outputs, in_float64

#: A central difference goes so far that the loss changes by about this part on either side. In float64 the loss itself
#: is known to some 1e-15; what the kinks of Relu, Clip and MaxPool add grows with the distance.
_CHANGE = 1e-9

#: No parameter is taken to be more than 2**this times less steep than the steepest: a gradient that is zero but for
#: rounding (of a bias before BatchNormalization, say) must not have its rounding blown up.
_RANGE = 8

#: Noise on weights and inputs, relative, by which the rounding of float32 (2**-24) is imitated; it is larger than that
#: since a pass rounds many times.
_NOISE = 2.0**-20

#: How often it is drawn anew.
_DRAWS = 3

#: Balanced directions.
_BALANCED = 2

#: Standard deviation of what `nudged` adds to each parameter.
_NUDGE = 0.01

#: How much farther `steady` goes, and by how much a slope may then differ.
_FARTHER, _STEADY = 7.0, 1e-3

#: How far `level` goes, and what it takes for a slope, relative to the loss.
_LEVEL_STEP, _LEVEL_SLOPE = 1e-6, 1e-7


@dataclass(frozen=True)
class Slope:
    """The derivative of the loss along one random direction through all parameters.

    direction: per parameter, a random array. value: the derivative. rounding: by how much it changes where weights and
    inputs are off by float32's rounding: hardly, on a smooth loss; visibly, where it tips a Relu over. plain: is it the
    plain direction?
    """

    direction: Arrays
    value: float
    rounding: float
    plain: bool = False


@dataclass(frozen=True)
class Culprit:
    """The parameter whose gradient misses most of a slope: what it says of its part, and what was measured."""

    name: str
    says: float
    measured: float


def nudged(program: Program, seed: int) -> Arrays:
    """Parameters a little away from their first values, in float32.

    Gradients are checked there: at first, many networks sit exactly on the kinks of their Relus (zero biases behind
    constant channels), where every value between two slopes is a right derivative.
    """
    assert program.training is not None
    generator = numpy.random.Generator(numpy.random.PCG64([seed, 2**32]))
    moved = {}
    for name in program.training.parameters:
        weights = numpy.asarray(program.weights[name])
        moved[name] = (weights + _NUDGE * generator.standard_normal(weights.shape)).astype(weights.dtype)
    return moved


def near(program: Program, seed: int) -> Program:
    """The Program at its `nudged` parameters."""
    return replace(program, weights={**program.weights, **nudged(program, seed)})


def magnitudes(program: Program, gradients: Arrays) -> dict[str, int]:
    """Per parameter, how steep the loss typically is along a direction of norm 1 in it, by its gradient: the power of
    two nearest to |g|/sqrt(n), not below 2**-_RANGE of the steepest. A gradient that is missing or not finite is 0."""
    assert program.training is not None
    typical = {name: _typical(gradients.get(name)) for name in program.training.parameters}
    steepest = max(typical.values(), default=0.0)
    if not steepest > 0:
        return dict.fromkeys(typical, 0)
    least = _power(steepest) - _RANGE
    return {name: max(least, _power(size)) if size > 0 else least for name, size in typical.items()}


def directions(program: Program, seed: int, sizes: Mapping[str, int]) -> list[Arrays]:
    """The plain direction, and those in which norms even the `magnitudes` out."""
    plain = dict.fromkeys(sizes, 0)
    return [_direction(program, seed, index, sizes if index else plain) for index in range(1 + _BALANCED)]


def _direction(program: Program, seed: int, index: int, sizes: Mapping[str, int]) -> Arrays:
    assert program.training is not None
    generator = numpy.random.Generator(numpy.random.PCG64([seed, index]))
    steepest = max(sizes.values(), default=0)
    towards = {}
    for name in program.training.parameters:
        array = generator.standard_normal(program.tensors[name].shape)
        towards[name] = array * (2.0 ** (steepest - sizes[name]) / max(float(numpy.linalg.norm(array)), 1e-300))
    return towards


class Surface:
    """The loss of a training Program as a function of its parameters near the `nudged` ones, in float64.

    loss: its value there. sizes: `magnitudes`.
    """

    def __init__(self, program: Program, inputs: Arrays, seed: int, loss: float, sizes: Mapping[str, int]):
        self._program, self._inputs, self._seed = program, inputs, seed
        self._loss, self._sizes = max(abs(loss), 1e-300), sizes
        self._here = in_float64(near(program, seed))
        steep = 2.0 ** max(sizes.values(), default=0) * math.sqrt(max(1, len(sizes)))
        self._step = _CHANGE * self._loss / steep

    def slopes(self) -> list[Slope]:
        """Slopes along `directions`. What rounding does is measured along the plain and the first balanced one."""
        towards = directions(self._program, self._seed, self._sizes)
        values = [self._derivative(self._here, self._inputs, each, self._step) for each in towards]
        rounding = [0.0, 0.0]
        for draw in range(_DRAWS):
            generator = numpy.random.Generator(numpy.random.PCG64([self._seed, 2**33 + draw]))
            there = replace(self._here, weights=_noisy(self._here.weights, generator))
            inputs = _noisy(as_float64(self._inputs), generator)
            for kind in range(2):
                value = self._derivative(there, inputs, towards[kind], self._step)
                rounding[kind] = max(rounding[kind], abs(value - values[kind]))
        return [
            Slope(towards[index], values[index], rounding[min(index, 1)], index == 0) for index in range(len(towards))
        ]

    def steady(self) -> bool:
        """Does a slope come out the same over another distance? Not where an operator of the reference rounds to
        float32 inside, or jumps."""
        towards = directions(self._program, self._seed, self._sizes)[-1]
        near, far = (self._derivative(self._here, self._inputs, towards, times * self._step) for times in (1, _FARTHER))
        return abs(near - far) <= _STEADY * max(abs(near), abs(far))

    def culprit(self, slope: Slope, gradients: Arrays) -> Culprit:
        """The parameter that has most of what a slope and the gradients differ by, found by halving: two evaluations
        of the reference for each halving."""
        names, miss = list(slope.direction), _along(slope.direction, gradients) - slope.value
        while len(names) > 1:
            half, rest = names[: len(names) // 2], names[len(names) // 2 :]
            part = {name: slope.direction[name] for name in half}
            missed = _along(part, gradients) - self._derivative(self._here, self._inputs, part, self._step)
            names, miss = (half, missed) if abs(missed) >= abs(miss - missed) else (rest, miss - missed)
        says = _along({names[0]: slope.direction[names[0]]}, gradients)
        return Culprit(names[0], says, says - miss)

    def level(self, names: Collection[str]) -> bool:
        """Does the loss not depend on these parameters (in first order)?"""
        towards = directions(self._program, self._seed, self._sizes)[0]
        part = {name: towards[name] for name in names}
        return abs(self._derivative(self._here, self._inputs, part, _LEVEL_STEP)) <= _LEVEL_SLOPE * self._loss

    def _derivative(self, here: Program, inputs: Arrays, towards: Arrays, step: float) -> float:
        ahead, behind = (_loss_at(here, inputs, towards, sign * step) for sign in (1, -1))
        return (ahead - behind) / (2 * step)


def error(slope: Slope, gradients: Arrays) -> float:
    """How far gradients are from the measured slope, in units of `typical`."""
    return abs(_along(slope.direction, gradients) - slope.value) / typical(slope, gradients)


def typical(slope: Slope, gradients: Arrays) -> float:
    """The slope that such gradients have typically: a direction of norm r in a tensor of n elements meets a gradient g
    with a standard deviation of r*|g|/sqrt(n)."""
    parts = (_typical(gradients.get(name)) * float(numpy.linalg.norm(u)) for name, u in slope.direction.items())
    return max(math.hypot(*parts), float(numpy.finfo(numpy.float32).tiny))


def _typical(gradient: numpy.ndarray | None) -> float:
    if gradient is None or not gradient.size:
        return 0.0
    size = float(numpy.linalg.norm(gradient.astype(numpy.float64))) / math.sqrt(gradient.size)
    return size if math.isfinite(size) else 0.0


def _power(size: float) -> int:
    return round(math.log2(size))


def _along(towards: Arrays, gradients: Arrays) -> float:
    """What gradients say of the slope along a direction; a missing one says 0."""
    known = [(gradients[name], u) for name, u in towards.items() if name in gradients]
    return sum(float(numpy.vdot(gradient.astype(numpy.float64), u)) for gradient, u in known)


def _noisy(arrays: Arrays, generator: numpy.random.Generator) -> Arrays:
    return {
        name: a * (1 + _NOISE * generator.standard_normal(a.shape)) if a.dtype == numpy.float64 else a
        for name, a in arrays.items()
    }


def _loss_at(program: Program, inputs: Arrays, towards: Arrays, distance: float) -> float:
    assert program.training is not None
    moved = {name: program.weights[name] + distance * array for name, array in towards.items()}
    outputs = evaluate_outputs(replace(program, weights={**program.weights, **moved}), as_float64(inputs))
    return float(numpy.asarray(outputs[program.training.loss]).reshape(()))
