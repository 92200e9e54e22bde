"""The planned Program computes what the original does, with Transposes only where they must stand."""

from __future__ import annotations

import itertools
import random
from collections import Counter

import numpy
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from harness.kit import program as kit
from harness.spec.layout import KERNEL, NHWC, channels_last
from harness.spec.steering import OPERANDS

OPSET = 21


def run_node(node: kit.Node, arrays: list[numpy.ndarray | None]) -> list[numpy.ndarray]:
    """One node through onnx.reference; a channels-last one with Transposes around it."""
    attributes = dict(node.attributes)
    channels_last_node = attributes.pop("layout", None) == "NHWC"
    if channels_last_node:
        arrays = [array if array is None or array.ndim != 4 else from_nhwc(array) for array in arrays]
        if node.op in ("Conv", "ConvTranspose"):
            arrays[1] = numpy.transpose(from_nhwc(arrays[1], undo=NHWC), numpy.argsort(KERNEL))
    names = [f"i{i}" if array is not None else "" for i, array in enumerate(arrays)]
    feeds = {name: array for name, array in zip(names, arrays, strict=True) if name}
    for position, keyword in sorted(OPERANDS.get(node.op, {}).items()):
        if keyword in attributes:
            names += [""] * (position + 1 - len(names))
            names[position] = keyword
            kind = feeds["i0"].dtype if keyword in ("min", "max", "constant_value") else numpy.int64
            value = attributes.pop(keyword)
            feeds[keyword] = numpy.array([value] if keyword == "K" else value, kind)
    if node.op == "Cast":
        attributes["to"] = helper.np_dtype_to_tensor_dtype(numpy.dtype(attributes["to"]))
    outputs = [f"o{i}" for i in range(len(node.outputs))]
    graph = helper.make_graph(
        [helper.make_node(node.op, names, outputs, **attributes)],
        "node",
        [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape) for n, a in feeds.items()],
        [helper.make_tensor_value_info(name, TensorProto.UNDEFINED, None) for name in outputs],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
    results = [numpy.asarray(result) for result in ReferenceEvaluator(model).run(None, feeds)]
    if channels_last_node:
        results = [numpy.transpose(result, NHWC) if result.ndim == 4 else result for result in results]
    return results


def from_nhwc(array: numpy.ndarray, undo: tuple[int, ...] | None = None) -> numpy.ndarray:
    return numpy.transpose(array, numpy.argsort(NHWC) if undo is None else undo)


class Builder:
    """Builds a Program node by node and computes it on the way."""

    def __init__(self, seed: int = 0):
        self.generator = numpy.random.default_rng(seed)
        self.values: dict[str, numpy.ndarray] = {}
        self.inputs: list[str] = []
        self.weights: list[str] = []
        self.nodes: list[kit.Node] = []

    def _value(self, name: str, array: numpy.ndarray) -> str:
        self.values[name] = array
        return name

    def input(self, *shape: int) -> str:
        self.inputs.append(f"input{len(self.inputs)}")
        return self._value(self.inputs[-1], self.generator.standard_normal(shape).astype("float32"))

    def weight(self, *shape: int) -> str:
        self.weights.append(f"weight{len(self.weights)}")
        return self._value(self.weights[-1], (self.generator.random(shape) + 0.1).astype("float32"))

    def add(self, op: str, *inputs: str, count: int = 1, **attributes) -> str:
        outputs = tuple(f"{op}{len(self.nodes)}.{i}" for i in range(count))
        node = kit.Node(op, outputs[0], inputs, outputs, attributes)
        self.nodes.append(node)
        for name, array in zip(outputs, run_node(node, [self.values.get(name) for name in inputs]), strict=True):
            self._value(name, array)
        return outputs[0]

    def shape(self, name: str) -> tuple[int, ...]:
        return self.values[name].shape

    def conv(self, x: str, channels: int, kernel: int = 3, **attributes) -> str:
        group = attributes.get("group", 1)
        weight = self.weight(channels, self.shape(x)[1] // group, kernel, kernel)
        pads = [kernel // 2] * 4
        return self.add("Conv", x, weight, self.weight(channels), **{"pads": pads, **attributes})

    def norm(self, x: str) -> str:
        channels = self.shape(x)[1]
        return self.add("BatchNormalization", x, *(self.weight(channels) for _ in range(4)))

    def program(self, *outputs: str, training: kit.Training | None = None) -> kit.Program:
        tensors = {name: kit.Tensor(name, array.dtype.name, array.shape) for name, array in self.values.items()}
        return kit.Program(
            name="test",
            opset=OPSET,
            inputs=tuple(tensors[name] for name in self.inputs),
            outputs=tuple(tensors[name] for name in outputs),
            initializers=tuple(tensors[name] for name in self.weights),
            nodes=tuple(self.nodes),
            tensors=tensors,
            training=training,
            weights={name: self.values[name] for name in self.weights},
        )


def evaluate(program: kit.Program, inputs: dict[str, numpy.ndarray]) -> dict[str, numpy.ndarray]:
    """Every tensor of a Program, in the Program's layout; checks shapes and types on the way."""
    values = {tensor.name: tensor.from_onnx(inputs[tensor.name]) for tensor in program.inputs}
    values.update(program.weights)
    for node in program.nodes:
        assert not node.operands
        results = run_node(node, [values[name] if name else None for name in node.inputs])
        values.update(zip(node.outputs, results, strict=True))
    for name, array in values.items():
        assert array.shape == program.tensors[name].shape, name
        assert array.dtype.name == program.tensors[name].dtype, name
    return values


def check(builder: Builder, *outputs: str, training: kit.Training | None = None) -> kit.Program:
    """Plans, compares every tensor that both Programs have; gives the planned Program."""
    planned = channels_last(builder.program(*outputs, training=training))
    values = evaluate(planned, builder.values)
    for name, array in values.items():
        if name in builder.values:
            back = planned.tensors[name].to_onnx(array)
            numpy.testing.assert_allclose(back, builder.values[name], rtol=2e-4, atol=1e-4, err_msg=name)
    assert {tensor.name for tensor in planned.outputs} == set(outputs)
    assert all(tensor == planned.tensors[tensor.name] for tensor in (*planned.inputs, *planned.initializers))
    assert planned.tensors.keys() == values.keys()
    return planned


def counts(program: kit.Program) -> Counter[str]:
    return Counter(node.op for node in program.nodes)


def lenet(builder: Builder) -> str:
    x = builder.input(2, 1, 12, 12)
    x = builder.add("MaxPool", builder.add("Relu", builder.conv(x, 4)), kernel_shape=[2, 2], strides=[2, 2])
    x = builder.add("MaxPool", builder.add("Relu", builder.conv(x, 6)), kernel_shape=[2, 2], strides=[2, 2])
    x = builder.add("Flatten", x)
    return builder.add("Gemm", x, builder.weight(builder.shape(x)[1], 10), builder.weight(10))


def resnet(builder: Builder) -> str:
    x = builder.add("Relu", builder.norm(builder.conv(builder.input(2, 3, 8, 8), 4)))
    for channels, stride in ((4, 1), (8, 2)):
        y = builder.add("Relu", builder.norm(builder.conv(x, channels, strides=[stride, stride])))
        y = builder.norm(builder.conv(y, channels))
        if stride == 2:
            x = builder.norm(builder.conv(x, channels, kernel=1, strides=[2, 2], pads=[0, 0, 0, 0]))
        x = builder.add("Relu", builder.add("Add", x, y))
    x = builder.add("Flatten", builder.add("GlobalAveragePool", x))
    return builder.add("Gemm", x, builder.weight(8, 10), builder.weight(10))


def test_lenet_has_one_transpose_before_the_classifier():
    builder = Builder()
    planned = check(builder, lenet(builder))
    assert counts(planned)["Transpose"] == 1
    assert counts(planned)["Reshape"] == 0
    assert planned.inputs[0].permutation == NHWC
    assert planned.tensors["weight0"].permutation == KERNEL


def test_resnet_has_no_transpose():
    builder = Builder()
    planned = check(builder, resnet(builder))
    assert counts(planned)["Transpose"] == 0
    assert counts(planned)["Reshape"] == 1, "the Flatten, which reads [N, 1, 1, C]"
    assert len(planned.nodes) == len(builder.nodes)


def test_every_image_operator_is_marked():
    builder = Builder()
    planned = check(builder, resnet(builder))
    marked = {node.op for node in planned.nodes if node.attributes.get("layout") == "NHWC"}
    assert marked == {"Conv", "BatchNormalization", "GlobalAveragePool"}


def test_a_program_without_images_is_left_alone():
    builder = Builder()
    x = builder.add("Reshape", builder.input(2, 6, 8), shape=[2, 6, 2, 4])
    x = builder.add("Transpose", x, perm=[0, 2, 1, 3])
    x = builder.add("Softmax", builder.add("MatMul", x, builder.weight(4, 4)))
    program = builder.program(x)
    assert channels_last(program).nodes == program.nodes


def test_the_normalised_input_is_stored_channels_last():
    builder = Builder()
    x = builder.add("Sub", builder.input(1, 3, 5, 5), builder.weight(3, 1, 1))
    x = builder.add("Div", x, builder.weight(1, 3, 1, 1))
    planned = check(builder, builder.conv(x, 4))
    assert counts(planned)["Transpose"] == counts(planned)["Reshape"] == 0
    assert planned.inputs[0].shape == (1, 5, 5, 3)
    assert planned.tensors["weight0"].shape == (1, 1, 3)
    assert planned.outputs[0].permutation == NHWC


def test_channels_last_models_lose_their_transposes():
    builder = Builder()
    x = builder.add("Transpose", builder.input(1, 5, 5, 3), perm=[0, 3, 1, 2])
    x = builder.add("Transpose", builder.conv(x, 4), perm=[0, 2, 3, 1])
    x = builder.add("Relu", x)
    x = builder.add("Transpose", x, perm=[0, 3, 1, 2])
    planned = check(builder, builder.conv(x, 2))
    assert counts(planned) == {"Conv": 2, "Relu": 1}
    assert planned.inputs[0].permutation is None


def test_a_transposed_output_keeps_its_name():
    builder = Builder()
    x = builder.conv(builder.input(1, 3, 5, 5), 4)
    planned = check(builder, x, builder.add("Transpose", x, perm=[0, 2, 3, 1]))
    assert planned.outputs[0].permutation == NHWC
    assert planned.outputs[1].permutation is None


def test_a_tensor_is_transposed_once():
    builder = Builder()
    x = builder.conv(builder.input(1, 3, 4, 4), 4)
    first = builder.add("MatMul", x, builder.weight(4, 4))
    second = builder.add("MatMul", x, builder.weight(4, 4))
    planned = check(builder, builder.add("Add", first, second))
    assert counts(planned)["Transpose"] == 1


def test_an_input_that_two_layouts_read_is_kept_in_onnx_order():
    builder = Builder()
    x = builder.input(1, 3, 4, 4)
    planned = check(builder, builder.conv(x, 4), builder.add("MatMul", x, builder.weight(4, 4)))
    assert planned.inputs[0].permutation is None
    assert counts(planned)["Transpose"] == 1


def test_a_kernel_that_is_also_data_is_kept_in_onnx_order():
    builder = Builder()
    kernel = builder.weight(4, 3, 3, 3)
    y = builder.add("Conv", builder.input(1, 3, 5, 5), kernel)
    planned = check(builder, y, builder.add("MatMul", kernel, builder.weight(3, 2)))
    assert planned.tensors[kernel].permutation is None
    assert counts(planned)["Transpose"] == 1


def test_gates_of_extent_one_are_reshaped():
    builder = Builder()
    x = builder.conv(builder.input(2, 3, 4, 4), 4)
    gate = builder.add("Squeeze", builder.add("GlobalAveragePool", x), axes=[2, 3])
    gate = builder.add("Sigmoid", builder.add("MatMul", gate, builder.weight(4, 4)))
    gate = builder.add("Unsqueeze", gate, axes=[2, 3])
    planned = check(builder, builder.conv(builder.add("Mul", x, gate), 2))
    assert counts(planned)["Transpose"] == 0


def test_operands_of_lower_rank_are_broadcast_rightly():
    builder = Builder()
    x = builder.conv(builder.input(2, 3, 4, 5), 3)
    for shape in ((), (1,), (5,), (4, 1), (4, 5), (3, 1, 1), (3, 4, 5), (1, 3, 1, 1), (2, 1, 1, 5), (1, 1, 1)):
        x = builder.add("Mul", builder.weight(*shape), x)
    x = builder.add("Where", builder.add("Greater", x, builder.weight(4, 5)), x, builder.weight(5))
    check(builder, builder.add("Clip", builder.conv(x, 2), min=-1.0, max=1.0))


@pytest.mark.parametrize("keepdims", [0, 1])
@pytest.mark.parametrize("axes", [[1], [2, 3], [-1], [0, 2], [0, 1, 2, 3], []])
def test_reductions(axes, keepdims):
    builder = Builder()
    x = builder.conv(builder.input(2, 3, 4, 5), 3)
    mean = builder.add("ReduceMean", x, axes=axes, keepdims=keepdims)
    planned = check(builder, builder.add("Exp", mean))
    assert counts(planned)["Transpose"] == 0


def test_operators_with_axes():
    builder = Builder()
    x = builder.conv(builder.input(2, 3, 4, 5), 3)
    x = builder.add("Concat", x, builder.add("Neg", x), axis=1)
    x = builder.add("Softmax", x, axis=1)
    x = builder.add("Slice", x, starts=[1, 0], ends=[6, 4], axes=[1, 3], steps=[2, 1])
    x = builder.add("Pad", x, pads=[0, 1, 0, 2, 0, 0, 3, 0], mode="constant")
    x = builder.add("Pad", x, pads=[1, 2], axes=[-2], mode="reflect")
    x = builder.add("Tile", x, repeats=[1, 2, 1, 1])
    x = builder.add("Resize", x, scales=[1.0, 1.0, 2.0, 3.0], mode="nearest")
    x = builder.add("CumSum", x, axis=2)
    x = builder.add("Split", x, split=[2, 6], axis=1, count=2)
    best = builder.add("ArgMax", x, axis=1, keepdims=0)
    values = builder.add("TopK", x, K=1, axis=-1, count=2)
    planned = check(builder, best, values, builder.conv(x, 2))
    assert counts(planned)["Transpose"] == 0


def test_depthwise_grouped_and_transposed_convolutions():
    builder = Builder()
    x = builder.conv(builder.input(1, 4, 6, 6), 8, group=4)
    x = builder.conv(x, 4, group=2, dilations=[2, 2], pads=[2, 2, 2, 2])
    x = builder.add("ConvTranspose", x, builder.weight(4, 3, 2, 2), builder.weight(3), strides=[2, 2])
    x = builder.add("AveragePool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], count_include_pad=1)
    x = builder.add("LRN", builder.add("InstanceNormalization", x, builder.weight(3), builder.weight(3)), size=3)
    planned = check(builder, builder.add("DepthToSpace", builder.conv(x, 4), blocksize=2))
    assert counts(planned)["Transpose"] == 0
    assert planned.tensors["weight0"].shape == (3, 3, 1, 8)


def test_indices_of_a_pool_keep_it_channels_first():
    builder = Builder()
    x = builder.conv(builder.input(1, 2, 4, 4), 3)
    pooled = builder.add("MaxPool", x, kernel_shape=[2, 2], count=2)
    planned = check(builder, pooled)
    assert "layout" not in planned.nodes[-1].attributes
    assert counts(planned)["Transpose"] == 1


def test_volumes_and_sequences_stay_channels_first():
    builder = Builder()
    x = builder.add("Conv", builder.input(1, 2, 5, 5, 5), builder.weight(3, 2, 3, 3, 3))
    y = builder.add("Conv", builder.input(1, 2, 5), builder.weight(3, 2, 3))
    program = builder.program(x, y)
    assert channels_last(program).nodes == program.nodes


def test_training_keeps_parameters_updates_and_loss():
    builder = Builder()
    x = builder.conv(builder.input(3, 2, 4, 4), 4)
    statistics = [builder.weight(4) for _ in range(4)]
    x = builder.add("BatchNormalization", x, *statistics, training_mode=1, count=3)
    norm = builder.nodes[-1]
    builder.inputs.append("labels")
    builder.values["labels"] = builder.generator.integers(0, 4, (3, 4, 4))
    loss = builder.add("SoftmaxCrossEntropyLoss", x, "labels")
    updates = dict(zip(norm.inputs[3:], norm.outputs[1:], strict=True))
    optimizer = kit.Optimizer("Momentum", 0.1, {"alpha": 0.9, "beta": 1.0, "mode": "standard", "norm_coefficient": 0.0})
    training = kit.Training(loss, tuple(builder.weights[:4]), optimizer, updates)
    planned = check(builder, loss, training=training)
    assert planned.training == training
    assert planned.tensors["weight0"].permutation == KERNEL
    assert planned.tensors["labels"].permutation is None
    assert counts(planned)["Transpose"] == 0


def _random_step(builder: Builder, choose: random.Random, images: list[str]) -> str:
    x = choose.choice(images)
    channels, height, width = builder.shape(x)[1:]
    kind = choose.randrange(11)
    if kind == 0:
        return builder.conv(x, choose.choice((1, 2, 4)), kernel=choose.choice((1, 3)))
    if kind == 1:
        return builder.norm(x)
    if kind == 2:
        operand = choose.choice(((), (width,), (height, 1), (channels, 1, 1), (1, channels, 1, 1), (height, width)))
        return builder.add(choose.choice(("Add", "Mul", "Max")), x, builder.weight(*operand))
    if kind == 3:
        return builder.add("Concat", x, builder.add("Tanh", x), axis=choose.randrange(-4, 4))
    if kind == 4:
        return builder.add("Transpose", x, perm=choose.sample(range(4), 4))
    if kind == 5:
        return builder.add("Softmax", x, axis=choose.randrange(-4, 4))
    if kind == 6:
        return builder.add("Reshape", x, shape=[builder.shape(x)[0], width, channels, height])
    if kind == 7:
        gate = builder.add("GlobalAveragePool", x)
        return builder.add("Mul", choose.choice((gate, x)), choose.choice((gate, x)))
    if kind == 8:
        return builder.add("MatMul", x, builder.weight(width, 3))
    if kind == 9:
        return builder.add("ReduceMax", x, axes=[choose.randrange(4)], keepdims=1)
    same = [other for other in images if builder.shape(other) == builder.shape(x)]
    return builder.add("Sub", x, choose.choice(same))


@pytest.mark.parametrize("seed", range(40))
def test_random_programs_compute_the_same(seed):
    choose = random.Random(seed)
    builder = Builder(seed)
    images = [builder.input(2, 3, 4, 4)]
    for _ in range(12):
        image = _random_step(builder, choose, images)
        if builder.values[image].size <= 4096:
            images.append(image)
    check(builder, images[-1], choose.choice([name for name in images if name not in builder.inputs]))


def test_planning_is_linear():
    builder = Builder()
    x = builder.conv(builder.input(1, 2, 3, 3), 2)
    program = builder.program(x)
    names = [x] + [f"long{i}" for i in range(100_000)]
    chain = [kit.Node("Relu", new, (old,), (new,)) for old, new in itertools.pairwise(names)]
    tensors = {name: kit.Tensor(name, "float32", program.outputs[0].shape) for name in names}
    long = kit.Program(**{**vars(program), "nodes": program.nodes + tuple(chain), "tensors": program.tensors | tensors})
    assert len(channels_last(long).nodes) == 100_001
