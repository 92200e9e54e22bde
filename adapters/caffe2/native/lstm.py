"""The LSTM classifier by hand: Caffe2's LSTMUnit, unrolled, as its rnn_cell does with `static_rnn_unroll_size`.

The product of the weights with all tokens is one; those with the state are made moment by moment.
"""

from __future__ import annotations

import numpy

from ...kit.interface import Network, Options
from ...kit.program import Program
from ._common import HandWritten, Model
from ._optimizers import adagrad

#: Where LSTMUnit's gates (input, forget, output, cell) stand in ONNX's order (input, output, forget, cell).
GATES = [0, 2, 1, 3]


def _by_gates(array: numpy.ndarray) -> numpy.ndarray:
    """[4*hidden, ...] with its four parts in the other order. The same order leads back."""
    return array.reshape((4, -1) + array.shape[1:])[GATES].reshape(array.shape)


def _gates(m: Model, name: str, blobs: list) -> list:
    """ONNX's weight of one direction, or its two biases one after the other."""
    return m.parts(
        name,
        blobs,
        lambda array: [_by_gates(part) for part in numpy.split(array[0], len(blobs))],
        lambda arrays: numpy.concatenate([_by_gates(array) for array in arrays])[None],
    )


def lstm(m: Model, tokens: str) -> str:
    batch, length = m.program.inputs[0].shape
    hidden = m.program.weights["embedding"].shape[1]
    tokens = m.reshaped(m.cpu("Transpose", tokens, axes=[1, 0]), length * batch)
    (to_gates,), (state_to_gates,) = _gates(m, "lstm.W", ["lstm.W"]), _gates(m, "lstm.R", ["lstm.R"])
    input_bias, state_bias = _gates(m, "lstm.B", ["lstm.B.input", "lstm.B.state"])
    x = m.large_fc(m.embedded(tokens, "embedding"), to_gates, input_bias)
    moments = [m.new("moment") for _ in range(length)]
    m.cpu("Split", m.reshaped(x, length, batch, 4 * hidden), outputs=moments, axis=0)
    m.host.add("time")
    m.constant("time", numpy.array(0, numpy.int32))
    state = cell = m.constant("zero", numpy.zeros((1, batch, hidden), numpy.float32))
    for moment in moments:
        gates = m.cpu("Sum", m.small_fc(state, state_to_gates, state_bias, (1, batch, 4 * hidden)), moment)
        outputs = [m.new("state"), m.new("cell")]
        m.cpu("LSTMUnit", state, cell, gates, "time", outputs=outputs, sequence_lengths=0)
        state, cell = outputs
    m.unused[cell] = "zero"
    state = m.reshaped(state, batch, hidden, in_place=not m.training)
    return m.fc(state, m.weight("classifier.weight"), m.weight("classifier.bias"))


def load(program: Program, device: str, options: Options) -> Network:
    return HandWritten(program, device, options, lstm, adagrad)
