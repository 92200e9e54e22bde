"""RNN, GRU and LSTM: torch's fused kernels where they mean what ONNX says, one step after the other elsewhere."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from ..kit.interface import Unsupported

#: Which of ONNX's gates stands at each of torch's places: LSTM iofc -> ifgo, GRU zrh -> rzn.
GATES = {"LSTM": (0, 2, 3, 1), "GRU": (1, 0, 2), "RNN": (0,)}
_ACTIVATIONS = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"], "RNN": ["Tanh"]}

#: ONNX's activations as (function of x, alpha and beta, default alpha, default beta); None: it has no such number.
_FUNCTIONS = {
    "relu": (lambda x, a, b: torch.relu(x), None, None),
    "tanh": (lambda x, a, b: torch.tanh(x), None, None),
    "sigmoid": (lambda x, a, b: torch.sigmoid(x), None, None),
    "affine": (lambda x, a, b: a * x + b, 1.0, 0.0),
    "leakyrelu": (lambda x, a, b: F.leaky_relu(x, a), 0.01, None),
    "thresholdedrelu": (lambda x, a, b: F.threshold(x, a, 0.0), 1.0, None),
    "scaledtanh": (lambda x, a, b: a * torch.tanh(b * x), 1.0, 1.0),
    "hardsigmoid": (lambda x, a, b: (a * x + b).clamp(0, 1), 0.2, 0.5),
    "elu": (lambda x, a, b: F.elu(x, a), 1.0, None),
    "softsign": (lambda x, a, b: F.softsign(x), None, None),
    "softplus": (lambda x, a, b: F.softplus(x, threshold=1e9), None, None),
}


def LSTM(
    x, w, r, b=None, sequence_lens=None, initial_h=None, initial_c=None, p=None, *, activation_alpha=None,
    activation_beta=None, activations=None, clip=None, direction="forward", hidden_size=None, input_forget=0, layout=0,
):  # fmt: skip
    return _run("LSTM", x, w, r, b, sequence_lens, [initial_h, initial_c], p, locals())


def GRU(
    x, w, r, b=None, sequence_lens=None, initial_h=None, *, activation_alpha=None, activation_beta=None,
    activations=None, clip=None, direction="forward", hidden_size=None, layout=0, linear_before_reset=0,
):  # fmt: skip
    return _run("GRU", x, w, r, b, sequence_lens, [initial_h], None, locals())


def RNN(
    x, w, r, b=None, sequence_lens=None, initial_h=None, *, activation_alpha=None, activation_beta=None,
    activations=None, clip=None, direction="forward", hidden_size=None, layout=0,
):  # fmt: skip
    return _run("RNN", x, w, r, b, sequence_lens, [initial_h], None, locals())


def is_fused(op, given, attributes) -> bool:
    """Does torch's own kernel compute this node? given: for each of ONNX's inputs, whether it is there."""
    given = list(given) + [False] * 8
    directions = 2 if attributes.get("direction") == "bidirectional" else 1
    usual = [_ACTIVATIONS[op] * directions] + ([["Relu"] * directions] if op == "RNN" else [])
    return (
        (attributes.get("activations") or usual[0]) in usual
        and not (given[4] or given[7] or attributes.get("clip") or attributes.get("input_forget"))
        and (op != "GRU" or bool(attributes.get("linear_before_reset")))
    )


def split_gates(op, weights):
    """W or R of (directions, gates*hidden, inputs), or B of (directions, 2*gates*hidden), as torch keeps them.

    One array a direction, B's two halves apart, the gates in torch's order. Takes numpy arrays too.
    """
    leaves = []
    for i in range(weights.shape[0]):
        halves = weights.shape[1] // 2
        for part in (weights[i],) if weights.ndim == 3 else (weights[i, :halves], weights[i, halves:]):
            gates = part.reshape((len(GATES[op]), -1) + tuple(part.shape[1:]))
            leaves.append(gates[list(GATES[op])].reshape(part.shape))
    return tuple(leaves)


def flatten_for_cudnn(op, w, r, b=None) -> None:
    """Move weights, split as by `split_gates` and on a CUDA device, into the one block that cuDNN wants to see."""
    # cuDNN numbers its kinds of cells; RNN is the one with tanh here, but the place of its weights is the same.
    mode = {"RNN": 1, "LSTM": 2, "GRU": 3}[op]
    weights = _in_order(w, r, b)
    hidden = w[0].shape[0] // len(GATES[op])
    with torch.no_grad():
        torch._cudnn_rnn_flatten_weight(
            weights, len(weights) // len(w), w[0].shape[1], mode, hidden, 0, 1, False, len(w) == 2
        )


def _in_order(w, r, b):
    """The list of weights as torch's kernels take it: W, R and, where there are biases, theirs, for each direction."""
    weights = []
    for i in range(len(w)):
        weights += [w[i], r[i]] + ([] if b is None else [b[2 * i], b[2 * i + 1]])
    return weights


def _run(op, x, w, r, b, lengths, initial, peepholes, settings):
    """(Y, Y_h[, Y_c]) in ONNX's shapes; inside, the batch is the second axis of x and of the states."""
    batch_first, direction = settings["layout"], settings["direction"]
    if batch_first:
        x, initial = x.transpose(0, 1), [None if h is None else h.transpose(0, 1) for h in initial]
    if isinstance(lengths, torch.Tensor) and bool((lengths == x.shape[0]).all()):
        lengths = None
    given = [True, True, True, b is not None, lengths is not None, True, True, peepholes is not None]
    fused = is_fused(op, given, settings)
    directions = 2 if direction == "bidirectional" else 1
    ways = (w if isinstance(w, tuple) else split_gates(op, w)) if fused else w
    hidden = ways[0].shape[0] // len(GATES[op])
    states = [torch.zeros(directions, x.shape[1], hidden, dtype=x.dtype) if h is None else h for h in initial]
    # workaround: torch's recurrent kernels know no other activations, clips, peepholes or coupled gates, no GRU that
    # resets before the product, and lengths only of packed sequences.
    step_by_step = _fused if fused else _unrolled
    y, states = step_by_step(op, x, ways, r, b, lengths, states, peepholes, settings)
    if batch_first:
        return (y.permute(2, 0, 1, 3),) + tuple(h.transpose(0, 1) for h in states)
    return (y,) + tuple(states)


def _fused(op, x, w, r, b, lengths, states, peepholes, settings):
    bidirectional, backwards = settings["direction"] == "bidirectional", settings["direction"] == "reverse"
    r = r if isinstance(r, tuple) else split_gates(op, r)
    b = b if isinstance(b, tuple) or b is None else split_gates(op, b)
    weights = _in_order(w, r, b)
    if all(isinstance(weight, torch.Tensor) and weight.is_cuda for weight in weights):
        flatten_for_cudnn(op, w, r, b)
    if op == "RNN":
        relu = (settings["activations"] or ["Tanh"])[0] == "Relu"
        kernel = torch.rnn_relu if relu else torch.rnn_tanh
    else:
        kernel = {"LSTM": torch.lstm, "GRU": torch.gru}[op]
    x = x.flip(0) if backwards else x
    # The last but two: training. cuDNN keeps what the backward pass needs only then.
    state = tuple(states) if op == "LSTM" else states[0]
    y, *states = kernel(x, state, weights, b is not None, 1, 0.0, torch.is_grad_enabled(), bidirectional, False)
    y = y.flip(0) if backwards else y
    return y.reshape(y.shape[0], y.shape[1], len(w), -1).permute(0, 2, 1, 3), states


def _unrolled(op, x, w, r, b, lengths, states, peepholes, settings):
    directions = {"forward": [False], "reverse": [True], "bidirectional": [False, True]}[settings["direction"]]
    functions = _activations(op, len(directions), settings)
    outputs, last = [], []
    for i, backwards in enumerate(directions):
        weights = w[i], r[i], None if b is None else b[i], None if peepholes is None else peepholes[i]
        own = functions[i * len(_ACTIVATIONS[op]) : (i + 1) * len(_ACTIVATIONS[op])]
        y, state = _one_way(op, x, weights, lengths, [h[i] for h in states], own, settings, backwards)
        outputs.append(y)
        last.append(state)
    return torch.stack(outputs, 1), [torch.stack(h, 0) for h in zip(*last)]


def _activations(op, directions, settings):
    alphas, betas = list(settings["activation_alpha"] or []), list(settings["activation_beta"] or [])
    functions = []
    for name in settings["activations"] or _ACTIVATIONS[op] * directions:
        if name.lower() not in _FUNCTIONS:
            raise Unsupported(f"activation {name!r}")
        function, alpha, beta = _FUNCTIONS[name.lower()]
        alpha = alphas.pop(0) if alpha is not None and alphas else alpha
        beta = betas.pop(0) if beta is not None and betas else beta
        functions.append(_activation(function, alpha, beta, settings["clip"]))
    return functions


def _activation(function, alpha, beta, clip):
    return lambda x: function(x.clamp(-clip, clip) if clip else x, alpha, beta)


def _one_way(op, x, weights, lengths, state, functions, settings, backwards):
    cell = {"LSTM": _lstm_cell, "GRU": _gru_cell, "RNN": _rnn_cell}[op]
    outputs = [None] * x.shape[0]
    for time in range(x.shape[0] - 1, -1, -1) if backwards else range(x.shape[0]):
        new = cell(x[time], state, weights, functions, settings)
        output = new[0]
        if lengths is not None:
            running = (lengths > time).unsqueeze(1)
            new = [torch.where(running, after, before) for after, before in zip(new, state)]
            output = torch.where(running, output, torch.zeros((), dtype=x.dtype))
        outputs[time], state = output, new
    return torch.stack(outputs, 0), state


def _parts(weights, count):
    """W, R and the two biases, each in `count` gates; biases of zero where there are none."""
    w, r, b, _ = weights
    biases = [0.0] * (2 * count) if b is None else b.chunk(2 * count)
    return w.chunk(count), r.chunk(count), biases[:count], biases[count:]


def _lstm_cell(x, state, weights, functions, settings):
    (h, c), (f, g, out) = state, functions
    w, r, wb, rb = _parts(weights, 4)
    gates = [F.linear(x, w[i]) + F.linear(h, r[i]) + wb[i] + rb[i] for i in range(4)]
    peephole = [0.0] * 3 if weights[3] is None else weights[3].chunk(3)
    opened = f(gates[0] + peephole[0] * c)
    kept = 1 - opened if settings["input_forget"] else f(gates[2] + peephole[2] * c)
    c = kept * c + opened * g(gates[3])
    return [f(gates[1] + peephole[1] * c) * out(c), c]


def _gru_cell(x, state, weights, functions, settings):
    (h,), (f, g) = state, functions
    w, r, wb, rb = _parts(weights, 3)
    update, reset = (f(F.linear(x, w[i]) + F.linear(h, r[i]) + wb[i] + rb[i]) for i in (0, 1))
    if settings["linear_before_reset"]:
        candidate = g(F.linear(x, w[2]) + reset * (F.linear(h, r[2]) + rb[2]) + wb[2])
    else:
        candidate = g(F.linear(x, w[2]) + F.linear(reset * h, r[2]) + rb[2] + wb[2])
    return [(1 - update) * candidate + update * h]


def _rnn_cell(x, state, weights, functions, settings):
    (h,), (f,) = state, functions
    (w,), (r,), (wb,), (rb,) = _parts(weights, 1)
    return [f(F.linear(x, w) + F.linear(h, r) + wb + rb)]
