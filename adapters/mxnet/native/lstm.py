"""The LSTM classifier in Gluon, time first, around MXNet's fused RNN operator.

Gluon's own rnn.LSTM keeps a parameter for each matrix and packs them into the one vector that the operator wants in
every step, which takes a fifth of the step on a CPU. So the vector itself is the parameter, as in MXNet's FusedRNNCell.
"""

from __future__ import annotations

import functools

from mxnet.gluon import nn

from ._common import GluonNetwork, Kept

VOCABULARY, HIDDEN, CLASSES = 1000, 128, 10

#: ONNX's gates are input, output, forget, cell; MXNet's are input, forget, cell, output.
TO_MXNET, TO_ONNX = [0, 2, 3, 1], [0, 3, 1, 2]

#: The matrices and biases in the order of the vector, and their sizes. In all of them the gates are blocks of HIDDEN
#: rows: of HIDDEN numbers in the matrices, of one in the two biases.
PACKED = {"lstm.W": 4 * HIDDEN * HIDDEN, "lstm.R": 4 * HIDDEN * HIDDEN, "lstm.B": 2 * 4 * HIDDEN}


class Classifier(nn.HybridBlock):
    def __init__(self, batch):
        super().__init__()
        self._state = (1, batch, HIDDEN)
        self.embedding = nn.Embedding(VOCABULARY, HIDDEN)
        self.lstm = self.params.get("lstm", shape=(sum(PACKED.values()),))
        self.classifier = nn.Dense(CLASSES, in_units=HIDDEN)

    def hybrid_forward(self, F, tokens, lstm):
        steps = self.embedding(F.transpose(tokens))
        nothing = F.zeros(self._state)
        _, hidden, _ = F.RNN(
            steps, lstm, nothing, nothing, state_size=HIDDEN, num_layers=1, mode="lstm", state_outputs=True
        )
        return self.classifier(F.squeeze(hidden, axis=0))


def _gates(array, order, columns):
    return array.reshape((-1, 4, HIDDEN * columns))[:, order].reshape(-1)


def load(program, device, options):
    body = Classifier(program.inputs[0].shape[0])
    weights = {
        "embedding": Kept(body.embedding.weight),
        "classifier.weight": Kept(body.classifier.weight),
        "classifier.bias": Kept(body.classifier.bias),
    }
    start = 0
    for name, size in PACKED.items():
        columns = 1 if name == "lstm.B" else HIDDEN
        weights[name] = Kept(
            body.lstm,
            to_mxnet=functools.partial(_gates, order=TO_MXNET, columns=columns),
            to_onnx=functools.partial(_gates, order=TO_ONNX, columns=columns),
            at=slice(start, start + size),
        )
        start += size
    return GluonNetwork(program, device, options, body, weights, bound=True)
