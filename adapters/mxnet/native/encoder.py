"""The transformer encoder in Gluon."""

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


class Layer(nn.HybridBlock):
    """Attention and a feed-forward network, each normalised before and added to what it was given."""

    def __init__(self):
        super().__init__()
        self.attention_norm, self.norm = (nn.LayerNorm(epsilon=1e-5, in_channels=WIDTH) for _ in range(2))
        self.attention = Attention()
        self.up = nn.Dense(4 * WIDTH, flatten=False, in_units=WIDTH)
        self.down = nn.Dense(WIDTH, flatten=False, in_units=4 * WIDTH)

    def hybrid_forward(self, F, x):
        x = x + self.attention(self.attention_norm(x))
        return x + self.down(F.LeakyReLU(self.up(self.norm(x)), act_type="gelu"))


class Encoder(nn.HybridBlock):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, WIDTH)
        self.position = self.params.get("position", shape=(LENGTH, WIDTH))
        self.layers = nn.HybridSequential()
        for _ in range(LAYERS):
            self.layers.add(Layer())
        self.norm = nn.LayerNorm(epsilon=1e-5, in_channels=WIDTH)
        self.classifier = nn.Dense(CLASSES, in_units=WIDTH)

    def hybrid_forward(self, F, tokens, position):
        x = F.broadcast_add(self.embedding(tokens), F.expand_dims(position, axis=0))
        return self.classifier(F.mean(self.norm(self.layers(x)), axis=1))


def _layer_weights(prefix, layer):
    """The Program keeps matrices as (inputs, outputs), Gluon as (outputs, inputs)."""
    attention = layer.attention
    dense = {
        "attention.query": attention.query,
        "attention.key": attention.key,
        "attention.value": attention.value,
        "attention.out": attention.out,
        "feed_forward.up": layer.up,
        "feed_forward.down": layer.down,
    }
    weights = {}
    for name, one in dense.items():
        weights[prefix + name + ".weight"] = Kept(one.weight, to_mxnet=numpy.transpose, to_onnx=numpy.transpose)
        if one.bias is not None:
            weights[prefix + name + ".bias"] = Kept(one.bias)
    for name, norm in (("attention.norm", layer.attention_norm), ("feed_forward.norm", layer.norm)):
        weights.update(_norm_weights(prefix + name, norm))
    return weights


def _norm_weights(name, norm):
    return {name + ".scale": Kept(norm.gamma), name + ".bias": Kept(norm.beta)}


def load(program, device, options):
    body = Encoder()
    weights = {
        "embedding": Kept(body.embedding.weight),
        "position": Kept(body.position),
        "classifier.weight": Kept(body.classifier.weight),
        "classifier.bias": Kept(body.classifier.bias),
    }
    for number, layer in enumerate(body.layers, 1):
        weights.update(_layer_weights("layer%d." % number, layer))
    weights.update(_norm_weights("norm", body.norm))
    return GluonNetwork(program, device, options, body, weights)
