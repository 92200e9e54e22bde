"""The LSTM classifier by hand: one product of all inputs, then theano.scan, of which only the last state is used."""

from __future__ import annotations

from typing import Any

import theano
import theano.tensor as T

from ...kit.interface import Network, Options
from ...kit.program import Program
from ._common import Weights, dense, network

HIDDEN = 128


def _step(projected: Any, h: Any, c: Any, recurrent: Any) -> Any:
    gates = projected + T.dot(h, recurrent)
    i, o, f, new = (gates[:, k * HIDDEN : (k + 1) * HIDDEN] for k in range(4))
    c = T.nnet.sigmoid(f) * c + T.nnet.sigmoid(i) * T.tanh(new)
    return T.nnet.sigmoid(o) * T.tanh(c), c


def load(program: Program, device: str, options: Options) -> Network:
    batch, length = program.inputs[0].shape

    def logits(weights: Weights, tokens: Any) -> Any:
        x = weights["embedding"][tokens.T.flatten()]
        bias = weights["lstm.B"][0, : 4 * HIDDEN] + weights["lstm.B"][0, 4 * HIDDEN :]
        x = (T.dot(x, weights["lstm.W"][0].T) + bias).reshape((length, batch, 4 * HIDDEN))
        start = T.unbroadcast(T.alloc(T.constant(0, dtype="float32"), batch, HIDDEN), 0)
        (h, _), _ = theano.scan(
            _step, sequences=[x], outputs_info=[start, start], non_sequences=[weights["lstm.R"][0].T]
        )
        return dense(weights, "classifier", h[-1])

    return network(program, device, options, logits)
