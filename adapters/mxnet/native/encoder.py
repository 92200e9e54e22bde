"""The transformer encoder in Gluon.

For inference on a CPU it is written as GluonNLP writes it: time first, the three projections in one, whose heads are
interleaved, and the operators made for that, which MXNet's MKL-DNN backend fuses. These have nothing fused for
training, and separate projections in the order of the data are faster there.
"""

from __future__ import annotations

import numpy
from mxnet.gluon import nn

from ._common import GluonNetwork, Kept

LENGTH, VOCABULARY, WIDTH, HEADS, LAYERS, CLASSES = 128, 1000, 256, 8, 4, 10


class Attention(nn.HybridBlock):
    """Self-attention of many heads, (N, T, C) -> (N, T, C)."""

    def __init__(self):
        super().__init__()
        self.query, self.value, self.out = (nn.Dense(WIDTH, flatten=False, in_units=WIDTH) for _ in range(3))
        self.key = nn.Dense(WIDTH, flatten=False, in_units=WIDTH, use_bias=False)

    def hybrid_forward(self, F, x):
        query = self._heads(F, self.query(x) * (WIDTH // HEADS) ** -0.5)
        key, value = self._heads(F, self.key(x)), self._heads(F, self.value(x))
        weights = F.softmax(F.batch_dot(query, key, transpose_b=True))
        mixed = F.reshape(F.batch_dot(weights, value), shape=(-4, -1, HEADS, 0, 0))
        return self.out(F.reshape(F.transpose(mixed, axes=(0, 2, 1, 3)), shape=(0, 0, -3)))

    def _heads(self, F, x):
        """(N, T, C) -> (N * heads, T, C / heads)."""
        split = F.transpose(F.reshape(x, shape=(0, 0, HEADS, -1)), axes=(0, 2, 1, 3))
        return F.reshape(split, shape=(-3, 0, 0))


class InterleavedAttention(nn.HybridBlock):
    """Self-attention of many heads, (T, N, C) -> (T, N, C)."""

    def __init__(self):
        super().__init__()
        self.projections = nn.Dense(3 * WIDTH, flatten=False, in_units=WIDTH, bias_initializer="zeros")
        self.out = nn.Dense(WIDTH, flatten=False, in_units=WIDTH)

    def hybrid_forward(self, F, x):
        projections = self.projections(x)
        weights = F.softmax(F.contrib.interleaved_matmul_selfatt_qk(projections, heads=HEADS))
        return self.out(F.contrib.interleaved_matmul_selfatt_valatt(projections, weights, heads=HEADS))

    @staticmethod
    def rows(which):
        """Where the query's (0), key's (1) or value's (2) outputs lie among those of all projections."""
        return numpy.arange(3 * WIDTH).reshape(HEADS, 3, -1)[:, which].reshape(-1)


class Layer(nn.HybridBlock):
    """Attention and a feed-forward network, each normalised before and added to what it was given."""

    def __init__(self, attention):
        super().__init__()
        self.attention_norm, self.norm = (nn.LayerNorm(epsilon=1e-5, in_channels=WIDTH) for _ in range(2))
        self.attention = attention
        self.up = nn.Dense(4 * WIDTH, flatten=False, in_units=WIDTH)
        self.down = nn.Dense(WIDTH, flatten=False, in_units=4 * WIDTH)

    def hybrid_forward(self, F, x):
        x = x + self.attention(self.attention_norm(x))
        return x + self.down(F.LeakyReLU(self.up(self.norm(x)), act_type="gelu"))


class Encoder(nn.HybridBlock):
    """Tokens (N, T) -> logits (N, classes). Inside, the time is axis 0 for interleaved attention, else axis 1."""

    def __init__(self, interleaved):
        super().__init__()
        self._time = 0 if interleaved else 1
        self.embedding = nn.Embedding(VOCABULARY, WIDTH)
        self.position = self.params.get("position", shape=(LENGTH, WIDTH))
        self.layers = nn.HybridSequential()
        for _ in range(LAYERS):
            self.layers.add(Layer(InterleavedAttention() if interleaved else Attention()))
        self.norm = nn.LayerNorm(epsilon=1e-5, in_channels=WIDTH)
        self.classifier = nn.Dense(CLASSES, in_units=WIDTH)

    def hybrid_forward(self, F, tokens, position):
        tokens = F.transpose(tokens) if self._time == 0 else tokens
        x = F.broadcast_add(self.embedding(tokens), F.expand_dims(position, axis=1 - self._time))
        return self.classifier(F.mean(self.norm(self.layers(x)), axis=self._time))


def _layer_weights(prefix, layer):
    attention = layer.attention
    dense = {"attention.out": attention.out, "feed_forward.up": layer.up, "feed_forward.down": layer.down}
    weights = {}
    if isinstance(attention, InterleavedAttention):
        for which, name in enumerate(("query", "key", "value")):
            rows = attention.rows(which)
            weights.update(_dense_weights(prefix + "attention." + name, attention.projections, name != "key", rows))
    else:
        for name in ("query", "key", "value"):
            dense["attention." + name] = getattr(attention, name)
    for name, one in dense.items():
        weights.update(_dense_weights(prefix + name, one, one.bias is not None))
    for name, norm in (("attention.norm", layer.attention_norm), ("feed_forward.norm", layer.norm)):
        weights.update(_norm_weights(prefix + name, norm))
    return weights


def _dense_weights(name, dense, has_bias, rows=slice(None)):
    """The Program keeps matrices as (inputs, outputs), Gluon as (outputs, inputs)."""
    weights = {name + ".weight": Kept(dense.weight, to_mxnet=numpy.transpose, to_onnx=numpy.transpose, at=rows)}
    if has_bias:
        weights[name + ".bias"] = Kept(dense.bias, at=rows)
    return weights


def _norm_weights(name, norm):
    return {name + ".scale": Kept(norm.gamma), name + ".bias": Kept(norm.beta)}


def load(program, device, options):
    interleaved = device == "cpu" and not program.training
    body = Encoder(interleaved)
    weights = {
        "embedding": Kept(body.embedding.weight),
        "position": Kept(body.position),
        "classifier.weight": Kept(body.classifier.weight),
        "classifier.bias": Kept(body.classifier.bias),
    }
    for number, layer in enumerate(body.layers, 1):
        weights.update(_layer_weights("layer%d." % number, layer))
    weights.update(_norm_weights("norm", body.norm))
    return GluonNetwork(program, device, options, body, weights, fused=interleaved)
