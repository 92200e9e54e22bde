"""An LSTM that reads 32 tokens of a vocabulary of 1000 and classifies them by its last hidden state.

Trained by Adagrad, which suits embeddings: a token's row moves as far as that token's own history allows.
"""

from ._builder import Graph, adagrad, xavier

TITLE = "LSTM classifier, 32 tokens, hidden 128"

LENGTH, VOCABULARY, HIDDEN, CLASSES = 32, 1000, 128, 10


def build():
    g = Graph("lstm")
    x = g.tokens(LENGTH)
    x = g.node("Gather", g.weight("embedding", (VOCABULARY, HIDDEN), 1.0), x, name="embed", axis=0)
    x = g.node("Transpose", x, name="time_first", perm=[1, 0, 2])
    # ONNX stacks the gates in the order input, output, forget, cell; the first axis is the direction.
    weights = [
        g.weight("lstm.W", (1, 4 * HIDDEN, HIDDEN), xavier(HIDDEN, HIDDEN)),
        g.weight("lstm.R", (1, 4 * HIDDEN, HIDDEN), xavier(HIDDEN, HIDDEN)),
        g.near(0, "lstm.B", 1, 8 * HIDDEN),
    ]
    x = g.node("LSTM", x, *weights, name="lstm", output=1, hidden_size=HIDDEN)
    x = g.node("Squeeze", x, g.constant("direction", [0], "int64"), name="last_hidden")
    return g.model(g.classifier(x, HIDDEN, CLASSES), CLASSES, adagrad(0.003))
