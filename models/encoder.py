"""A transformer encoder of 4 layers (Vaswani et al., 2017), normalised before each sublayer, classifying 128 tokens.

Attention is written out: MatMul, Softmax, Transpose, Reshape. Trained by Adam.
"""

from math import sqrt

from ._builder import Graph, adam, xavier

TITLE = "transformer encoder, 4 layers, width 256, 128 tokens"

LENGTH, VOCABULARY, WIDTH, HEADS, LAYERS, CLASSES = 128, 1000, 256, 8, 4, 10


def project(g, x, name, inputs, outputs, bias=True):
    """x @ W + b on the last axis, for any number of leading axes."""
    weight = g.weight(f"{name}.weight", (inputs, outputs), xavier(inputs, outputs))
    x = g.node("MatMul", x, weight, name=f"{name}.matmul")
    return g.node("Add", x, g.near(0, f"{name}.bias", outputs), name=name) if bias else x


def heads(g, x, name, perm):
    """[batch, length, width] -> [batch, length, heads, width / heads], then a Transpose."""
    x = g.node("Reshape", x, "split_heads", name=f"{name}.split")
    return g.node("Transpose", x, name=f"{name}.heads", perm=perm)


def attention(g, x, name):
    query = heads(g, project(g, x, f"{name}.query", WIDTH, WIDTH), f"{name}.query", [0, 2, 1, 3])
    # Softmax ignores what is added to all scores alike, so a bias of the keys would have no effect.
    key = heads(g, project(g, x, f"{name}.key", WIDTH, WIDTH, bias=False), f"{name}.key", [0, 2, 3, 1])
    value = heads(g, project(g, x, f"{name}.value", WIDTH, WIDTH), f"{name}.value", [0, 2, 1, 3])
    scores = g.node("Mul", g.node("MatMul", query, key, name=f"{name}.dot"), "scale", name=f"{name}.scores")
    mixed = g.node("MatMul", g.node("Softmax", scores, name=f"{name}.softmax", axis=-1), value, name=f"{name}.mix")
    mixed = g.node("Transpose", mixed, name=f"{name}.length_first", perm=[0, 2, 1, 3])
    mixed = g.node("Reshape", mixed, "join_heads", name=f"{name}.join")
    return project(g, mixed, f"{name}.out", WIDTH, WIDTH)


def feed_forward(g, x, name):
    x = g.node("Gelu", project(g, x, f"{name}.up", WIDTH, 4 * WIDTH), name=f"{name}.gelu")
    return project(g, x, f"{name}.down", 4 * WIDTH, WIDTH)


def build():
    g = Graph("encoder")
    x = g.tokens(LENGTH)
    g.constant("scale", 1 / sqrt(WIDTH / HEADS))
    g.constant("split_heads", [-1, LENGTH, HEADS, WIDTH // HEADS], "int64")
    g.constant("join_heads", [-1, LENGTH, WIDTH], "int64")
    x = g.node("Gather", g.weight("embedding", (VOCABULARY, WIDTH), 1.0), x, name="embed", axis=0)
    x = g.node("Add", x, g.weight("position", (LENGTH, WIDTH), 0.1), name="embed.add")
    for i in range(1, LAYERS + 1):
        for part, sublayer in (("attention", attention), ("feed_forward", feed_forward)):
            name = f"layer{i}.{part}"
            y = sublayer(g, g.layer_normalization(x, f"{name}.norm", WIDTH), name)
            x = g.node("Add", x, y, name=f"{name}.add")
    x = g.layer_normalization(x, "norm", WIDTH)
    x = g.node("ReduceMean", x, g.constant("length_axis", [1], "int64"), name="mean", keepdims=0)
    return g.model(g.classifier(x, WIDTH, CLASSES), CLASSES, adam(0.0003))
