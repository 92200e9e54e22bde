"""Training recipes in ONNX files: written, read back, and refused where they are broken."""

from __future__ import annotations

import numpy
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import ModelProto, TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from harness.errors import HarnessError
from harness.kit import program
from harness.spec import optimizers, training
from harness.spec.training_view import TRAINING_DOMAIN, attributes

SGD = program.Optimizer("Momentum", 0.1, {})
LOSS = "softmax-cross-entropy"


def parse(body: str, opset: int = 21, **weights: tuple[int, ...]) -> ModelProto:
    """A model from ONNX's text form, with weights of given shapes (floats counting up)."""
    header = f'<ir_version: 10, opset_import: ["" : {opset}, "own" : 1]>\n'
    model = onnx.parser.parse_model(header + body)
    for name, shape in weights.items():
        values = numpy.arange(numpy.prod(shape), dtype=numpy.float32).reshape(shape) / 10
        model.graph.initializer.append(numpy_helper.from_array(values, name))
    return model


def linear() -> ModelProto:
    return parse("g (float[N,3] x) => (float[N,4] y) { y = Gemm(x, w, b) }", w=(3, 4), b=(4,))


def normalised() -> ModelProto:
    return parse(
        """g (float[N,2,4,4] x) => (float[N,3] y) {
            c = Conv(x, w)
            n = BatchNormalization <epsilon = 0.001, momentum = 0.8> (c, s, b, m, v)
            r = Relu(n)
            p = GlobalAveragePool(r)
            y = Flatten(p)
        }""",
        w=(3, 2, 1, 1), s=(3,), b=(3,), m=(3,), v=(3,),
    )  # fmt: skip


def algorithm(model: ModelProto) -> onnx.GraphProto:
    return model.training_info[0].algorithm


def node(graph: onnx.GraphProto, op: str) -> onnx.NodeProto:
    (found,) = [n for n in graph.node if n.op_type == op]
    return found


def parameters(model: ModelProto, **options) -> set[str]:
    trained = training.add(model, LOSS, SGD, **options)
    return set(training.read(trained).parameters)


# What is written


@pytest.mark.parametrize("build", [linear, normalised])
@pytest.mark.parametrize("op", list(optimizers.KINDS))
def test_model_and_algorithm_together_are_a_valid_onnx_graph(build, op):
    model = training.add(build(), LOSS, program.Optimizer(op, 0.1, {}))
    whole = ModelProto()
    whole.CopyFrom(model)
    del whole.training_info[:]
    part = algorithm(model)
    for field in ("node", "initializer", "sparse_initializer", "input", "output", "value_info"):
        getattr(whole.graph, field).extend(getattr(part, field))
    onnx.checker.check_model(whole)
    onnx.checker.check_model(model)


@pytest.mark.parametrize("op", list(optimizers.KINDS))
def test_every_attribute_of_the_optimizer_is_written_out(op):
    model = training.add(linear(), LOSS, program.Optimizer(op, 0.1, {}))
    schema = onnx.defs.get_schema(op, 1, TRAINING_DOMAIN)
    assert set(attributes(node(algorithm(model), op))) == set(schema.attributes)


@pytest.mark.parametrize("op", ["Adam", "Adagrad"])
def test_defaults_are_those_of_onnx_where_onnx_has_them(op):
    for name, attribute in onnx.defs.get_schema(op, 1, TRAINING_DOMAIN).attributes.items():
        value = helper.get_attribute_value(attribute.default_value)
        assert numpy.float32(optimizers.KINDS[op].attributes[name]) == numpy.float32(value)


def test_optimizer_state_adds_next_to_nothing_to_the_file():
    model = parse("g (float[N,512] x) => (float[N,512] y) { y = MatMul(x, w) }", w=(512, 512))
    trained = training.add(model, LOSS, program.Optimizer("Adam", 0.1, {}))
    assert trained.ByteSize() < model.ByteSize() + 4000


def test_adding_a_recipe_changes_neither_the_given_model_nor_its_graph():
    model = normalised()
    before = model.SerializeToString(deterministic=True)
    trained = training.add(model, LOSS, SGD)
    assert model.SerializeToString(deterministic=True) == before
    assert trained.graph == model.graph


def test_a_second_recipe_replaces_the_first():
    twice = training.add(training.add(linear(), LOSS, SGD), LOSS, program.Optimizer("Adam", 0.2, {}))
    assert training.read(twice).optimizer.op == "Adam"
    assert [entry.domain for entry in twice.opset_import].count(TRAINING_DOMAIN) == 1


def test_names_that_the_model_uses_already_are_not_taken():
    model = parse("g (float[N,3] label) => (float[N,4] loss) { loss = MatMul(label, w) }", w=(3, 4))
    recipe = training.read(training.add(model, LOSS, SGD))
    assert recipe.loss not in ("loss", "label")
    assert recipe.labels[0] != "label"


# Losses


def test_a_last_softmax_is_left_out_of_the_loss():
    model = parse("g (float[N,3] x) => (float[N,4] y) { z = MatMul(x, w) y = Softmax(z) }", w=(3, 4))
    trained = training.add(model, LOSS, SGD)
    assert list(node(algorithm(trained), "SoftmaxCrossEntropyLoss").input) == ["z", "label"]


def test_a_last_log_softmax_is_taken_by_the_likelihood_loss():
    model = parse("g (float[N,3] x) => (float[N,4] y) { z = MatMul(x, w) y = LogSoftmax <axis = 1> (z) }", w=(3, 4))
    trained = training.add(model, LOSS, SGD)
    assert list(node(algorithm(trained), "NegativeLogLikelihoodLoss").input) == ["y", "label"]


def test_a_softmax_over_another_axis_than_the_classes_is_refused():
    model = parse("g (float[N,5,3] x) => (float[N,5,4] y) { z = MatMul(x, w) y = Softmax(z) }", w=(3, 4))
    with pytest.raises(HarnessError, match=r"Softmax.*axis -1"):
        training.add(model, LOSS, SGD)


def test_class_labels_are_int64_and_have_the_shape_of_the_output_without_its_classes():
    model = parse('g (float[N,3,7] x) => (float[N,4,7] y) { y = Einsum <equation = "oc,ncl->nol"> (w, x) }', w=(4, 3))
    value = algorithm(training.add(model, LOSS, SGD)).input[0].type.tensor_type
    assert value.elem_type == TensorProto.INT64
    assert [d.dim_param or d.dim_value for d in value.shape.dim] == ["N", 7]


def test_targets_of_the_squared_error_look_like_the_output():
    trained = training.add(linear(), "mean-squared-error", SGD)
    assert algorithm(trained).input[0].type == trained.graph.output[0].type
    forward, _ = training.forward(trained, training.read(trained))
    x, t = numpy.ones((2, 3), numpy.float32), numpy.zeros((2, 4), numpy.float32)
    (loss,) = ReferenceEvaluator(forward).run(None, {"x": x, "label": t})
    w, b = (numpy_helper.to_array(tensor) for tensor in forward.graph.initializer)
    assert loss == pytest.approx(((x @ w + b) ** 2).mean())


def test_the_shape_of_an_output_is_inferred_where_the_file_does_not_say():
    model = linear()
    model.graph.output[0].type.tensor_type.ClearField("shape")
    trained = training.add(model, LOSS, SGD)
    assert len(algorithm(trained).input[0].type.tensor_type.shape.dim) == 1


def test_one_of_several_outputs_has_to_be_chosen():
    model = parse("g (float[N,3] x) => (float[N,4] y, float[N,4] z) { y = MatMul(x, w) z = MatMul(x, v) }",
                  w=(3, 4), v=(3, 4))  # fmt: skip
    with pytest.raises(HarnessError, match="2 outputs"):
        training.add(model, LOSS, SGD)
    with pytest.raises(HarnessError, match="no output 'q'"):
        training.add(model, LOSS, SGD, output="q")
    assert parameters(model, output="z") == {"v"}


def test_unknown_losses_optimizers_and_attributes_are_named_in_the_error():
    with pytest.raises(HarnessError, match="'hinge'"):
        training.add(linear(), "hinge", SGD)
    with pytest.raises(HarnessError, match="'Lion'"):
        training.add(linear(), LOSS, program.Optimizer("Lion", 0.1, {}))
    with pytest.raises(HarnessError, match="'nesterov'"):
        training.add(linear(), LOSS, program.Optimizer("Momentum", 0.1, {"nesterov": 1}))


# Which initializers train


@pytest.mark.parametrize(
    "call, weights",
    [
        ("Conv(x, w, b)", {"w": (2, 2, 1, 1), "b": (2,)}),
        ("ConvTranspose(x, w, b)", {"w": (2, 2, 1, 1), "b": (2,)}),
        ("InstanceNormalization(x, w, b)", {"w": (2,), "b": (2,)}),
        ("GroupNormalization <num_groups = 1> (x, w, b)", {"w": (2,), "b": (2,)}),
        ("LayerNormalization(x, w, b)", {"w": (2,), "b": (2,)}),
        ("PRelu(x, w)", {"w": (1, 1, 1)}),
        ("MatMul(x, w)", {"w": (2, 2)}),
        ("Einsum <equation = \"nchw,cd->ndhw\"> (x, w)", {"w": (2, 2)}),
        ("Add(x, w)", {"w": (2, 1, 1)}),
        ("Div(x, w)", {"w": (2, 1, 1)}),
    ],
)  # fmt: skip
def test_weights_of_an_operator_are_trained(call, weights):
    model = parse(f"g (float[N,2,2,2] x) => (float[N,2,2,2] y) {{ y = {call} }}", **weights)
    assert parameters(model) == set(weights)


def test_recurrent_weights_are_trained_and_first_states_are_not():
    model = parse(
        """g (float[5,N,2] x) => (float[N,3] y) {
            s, h = LSTM <hidden_size = 3> (x, W, R, B, , h0, c0)
            y = Squeeze(h)
        }""",
        W=(1, 12, 2), R=(1, 12, 3), B=(1, 24), h0=(1, 1, 3), c0=(1, 1, 3),
    )  # fmt: skip
    assert parameters(model) == {"W", "R", "B"}


def test_single_numbers_constants_and_what_only_steers_are_not_trained():
    model = parse(
        """g (float[N,3] x) => (float[N,4] y)
        <float scale = {2.0}, float[1] half = {0.5}, float low = {0}, float high = {6}>
        {
            k = Constant <value = float[4] {1.0, 2.0, 3.0, 4.0}> ()
            z = MatMul(x, w)
            a = Mul(z, scale)
            b = Mul(a, half)
            c = Add(b, k)
            y = Clip(c, low, high)
        }""",
        w=(3, 4),
    )
    assert parameters(model) == {"w"}


def test_a_weight_behind_a_transpose_is_trained_and_one_behind_a_comparison_is_not():
    model = parse(
        """g (float[N,3] x) => (float[N,4] y) {
            t = Transpose <perm = [1, 0]> (w)
            z = MatMul(x, t)
            s = Mul(z, u)
            mask = Greater(s, z)
            f = Cast <to = 1> (mask)
            y = Mul(z, f)
        }""",
        w=(4, 3), u=(4,),
    )  # fmt: skip
    assert parameters(model) == {"w"}


def test_weights_given_to_a_function_of_the_model_are_trained():
    model = parse(
        """g (float[N,3] x) => (float[N,4] y) { y = own.Dense(x, w, b) }
        <domain: "own", opset_import: ["" : 21]>
        Dense (input, weight, bias) => (output) { m = MatMul(input, weight) output = Add(m, bias) }""",
        w=(3, 4), b=(4,),
    )  # fmt: skip
    assert parameters(model) == {"w", "b"}


def test_globs_choose_parameters_but_never_running_statistics():
    assert parameters(normalised()) == {"w", "s", "b"}
    assert parameters(normalised(), parameters=["[sw]"]) == {"w", "s"}
    assert parameters(normalised(), parameters=["*"]) == {"w", "s", "b"}
    with pytest.raises(HarnessError, match="matches 'm'"):
        parameters(normalised(), parameters=["w", "m"])


def test_a_model_without_weights_is_refused():
    model = parse("g (float[N,4] x) => (float[N,4] y) { y = Relu(x) }")
    with pytest.raises(HarnessError, match="nothing to train"):
        training.add(model, LOSS, SGD)


# Training behaviour


def test_batch_normalization_and_what_follows_it_are_copied_with_batch_statistics():
    trained = training.add(normalised(), LOSS, SGD)
    part = algorithm(trained)
    copy = node(part, "BatchNormalization")
    assert attributes(copy)["training_mode"] == 1
    assert attributes(copy)["momentum"] == pytest.approx(0.8)
    assert list(copy.input) == ["c", "s", "b", "m", "v"]
    assert list(copy.output) == ["training/n", "training/m", "training/v"]
    assert not any(n.op_type == "Conv" for n in part.node), "what comes before it is shared with the model's graph"
    assert node(part, "SoftmaxCrossEntropyLoss").input[0] == "training/y"
    assert training.read(trained).updates == {"m": "training/m", "v": "training/v"}


def test_running_statistics_follow_the_population_variance():
    trained = training.add(normalised(), LOSS, SGD)
    recipe = training.read(trained)
    forward, train = training.forward(trained, recipe)
    assert [value.name for value in forward.graph.output] == [recipe.loss, "training/m", "training/v"]
    x = numpy.random.default_rng(0).standard_normal((5, 2, 4, 4)).astype(numpy.float32)
    _, mean, variance = ReferenceEvaluator(forward).run(None, {"x": x, "label": numpy.zeros(5, numpy.int64)})
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in forward.graph.initializer}
    c = numpy.einsum("nchw,oc->nohw", x, weights["w"][:, :, 0, 0])
    numpy.testing.assert_allclose(mean, 0.8 * weights["m"] + 0.2 * c.mean((0, 2, 3)), rtol=1e-5)
    numpy.testing.assert_allclose(variance, 0.8 * weights["v"] + 0.2 * c.var((0, 2, 3)), rtol=1e-5)
    assert train.updates == {"m": "training/m", "v": "training/v"}


def test_two_nodes_that_share_running_statistics_update_them_one_after_the_other():
    model = parse(
        """g (float[N,3] x) => (float[N,3] y) {
            p = BatchNormalization(x, s, b, m, v)
            y = BatchNormalization(p, s, b, m, v)
        }""",
        s=(3,), b=(3,), m=(3,), v=(3,),
    )  # fmt: skip
    trained = training.add(model, LOSS, SGD)
    first, second = (n for n in algorithm(trained).node if n.op_type == "BatchNormalization")
    assert list(second.input[3:]) == list(first.output[1:])
    assert training.read(trained).updates == {"m": second.output[1], "v": second.output[2]}


def test_dropout_drops_in_training_with_its_own_ratio():
    model = parse(
        "g (float[N,3] x) => (float[N,4] y) <float ratio = {0.25}> { z = MatMul(x, w) y = Dropout(z, ratio) }",
        w=(3, 4),
    )
    trained = training.add(model, LOSS, SGD)
    copy = node(algorithm(trained), "Dropout")
    assert list(copy.input[:2]) == ["z", "ratio"]
    forward, _ = training.forward(trained, training.read(trained))
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in forward.graph.initializer}
    assert values[copy.input[2]].item() is True
    assert node(trained.graph, "Dropout").input[:] == ["z", "ratio"]


def test_a_function_that_normalises_is_inlined_to_be_given_training_behaviour():
    model = parse(
        """g (float[N,3] x) => (float[N,3] y) { y = own.Normalise(x, s, b, m, v) }
        <domain: "own", opset_import: ["" : 21]>
        Normalise (i, s, b, m, v) => (o) { o = BatchNormalization(i, s, b, m, v) }""",
        s=(3,), b=(3,), m=(3,), v=(3,),
    )  # fmt: skip
    recipe = training.read(training.add(model, LOSS, SGD))
    assert set(recipe.updates) == {"m", "v"}
    assert set(recipe.parameters) == {"s", "b"}


def test_an_old_operator_set_is_lifted_to_one_that_can_train():
    model = normalised()
    model.opset_import[0].version = 9
    model.ir_version = 4
    trained = training.add(model, LOSS, SGD)
    assert set(training.read(trained).updates) == {"m", "v"}
    onnx.checker.check_model(trained)


def test_running_statistics_that_are_not_initializers_cannot_be_trained():
    model = parse(
        """g (float[N,1] x) => (float[N,1] y) {
            m = Constant <value = float[1] {0.0}> ()
            y = BatchNormalization(x, s, b, m, v)
        }""",
        s=(1,), b=(1,), v=(1,),
    )  # fmt: skip
    with pytest.raises(HarnessError, match="running statistic 'm'"):
        training.add(model, LOSS, SGD)


def test_normalisation_inside_a_branch_is_refused():
    model = parse(
        """g (float[N,1] x, bool c) => (float[N,1] y) {
            y = If (c) <
                then_branch = t () => (float[N,1] p) { p = BatchNormalization(x, s, b, m, v) },
                else_branch = e () => (float[N,1] q) { q = Identity(x) }
            >
        }""",
        s=(1,), b=(1,), m=(1,), v=(1,),
    )  # fmt: skip
    with pytest.raises(HarnessError, match="in its body"):
        training.add(model, LOSS, SGD)


# The forward pass


def test_the_forward_pass_is_pruned_of_gradient_optimizer_and_all_that_only_they_need():
    model = parse(
        "g (float[N,3] x, float[N,3] other) => (float[N,4] y, float[N,4] z) { y = MatMul(x, w) z = MatMul(other, u) }",
        w=(3, 4), u=(3, 4),
    )  # fmt: skip
    trained = training.add(model, LOSS, SGD, output="y")
    forward, train = training.forward(trained, training.read(trained))
    onnx.checker.check_model(forward, full_check=True)
    assert [n.op_type for n in forward.graph.node] == ["MatMul", "SoftmaxCrossEntropyLoss"]
    assert [value.name for value in forward.graph.input] == ["x", "label"]
    assert [tensor.name for tensor in forward.graph.initializer] == ["w"]
    assert not forward.training_info
    assert TRAINING_DOMAIN not in [entry.domain for entry in forward.opset_import]
    assert train.parameters == ("w",)


def test_weights_in_other_files_are_referred_to_and_not_read():
    model = linear()
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="nowhere.bin")
    trained = training.add(model, LOSS, SGD)
    forward, _ = training.forward(trained, training.read(trained))
    assert forward.graph.initializer[0] == tensor


def test_stripping_leaves_the_inference_model():
    model = linear()
    assert training.strip(training.add(model, LOSS, SGD)) == model
    assert training.read(model) is None


# Round trip

_SHARE = st.floats(0, 0.96875, width=32)
_AMOUNT = st.floats(0, 100, width=32)


@st.composite
def _optimizers(draw) -> program.Optimizer:
    op = draw(st.sampled_from(list(optimizers.KINDS)))
    given_attributes = {}
    for name in optimizers.KINDS[op].attributes:
        if draw(st.booleans()):
            values = {"mode": st.sampled_from(optimizers.MODES), "alpha": _SHARE, "norm_coefficient_post": _SHARE}
            values["beta"] = _SHARE if op == "Adam" else _AMOUNT
            given_attributes[name] = draw(values.get(name, _AMOUNT))
    rate = draw(st.floats(2**-20, 10, width=32))
    return program.Optimizer(op, rate, given_attributes, draw(st.integers(0, 2**40)))


@given(_optimizers())
def test_what_was_added_is_read_back(optimizer):
    trained = training.add(linear(), LOSS, optimizer)
    recipe = training.read(ModelProto.FromString(trained.SerializeToString()))
    assert recipe.parameters == ("w", "b")
    assert recipe.optimizer.op == optimizer.op
    assert recipe.optimizer.learning_rate == optimizer.learning_rate
    assert recipe.optimizer.step == optimizer.step
    wanted = optimizers.KINDS[optimizer.op].attributes | optimizer.attributes
    for name, value in recipe.optimizer.attributes.items():
        assert value == (wanted[name] if name == "mode" else numpy.float32(wanted[name]))


@pytest.mark.parametrize(
    "op, rate, given_attributes, step",
    [
        ("Momentum", 0.0, {}, 0),
        ("Momentum", float("nan"), {}, 0),
        ("Momentum", 0.1, {"mode": "heavy-ball"}, 0),
        ("Momentum", 0.1, {"alpha": 1.5}, 0),
        ("Momentum", 0.1, {"alpha": "high"}, 0),
        ("Momentum", 0.1, {}, -1),
        ("Adam", 0.1, {"beta": 1.0}, 0),
        ("Adam", 0.1, {"epsilon": -1e-6}, 0),
        ("Adagrad", 0.1, {"decay_factor": float("inf")}, 0),
    ],
)
def test_hyper_parameters_out_of_range_are_refused(op, rate, given_attributes, step):
    with pytest.raises(HarnessError, match=op):
        training.add(linear(), LOSS, program.Optimizer(op, rate, given_attributes, step))


# Foreign files

_FOREIGN = """<ir_version: 10, opset_import: ["" : 21, "ai.onnx.preview.training" : 1]>
g (float[N,3] x, int64[N] t) => (float L) {
    z = MatMul(x, w)
    L = SoftmaxCrossEntropyLoss(z, t)
    rate = Constant <value_float = 0.5> ()
    count = Constant <value = int64 {0}> ()
    dw = ai.onnx.preview.training.Gradient <xs = ["w"], y = "L"> (w)
    w2, v2 = ai.onnx.preview.training.Momentum
        <alpha = 0.75, beta = 0.25, mode = "standard", norm_coefficient = 0.0> (rate, count, w, dw, v)
}"""


def foreign(text: str = _FOREIGN) -> ModelProto:
    """A recipe as somebody else might write it: dense state, rate and count from Constant nodes, no zs."""
    model = onnx.parser.parse_model(text)
    whole = model.graph
    weights = numpy.ones((3, 4), numpy.float32)
    info = model.training_info.add()
    split = next(i for i, n in enumerate(whole.node) if n.op_type == "SoftmaxCrossEntropyLoss")
    info.algorithm.node.extend(whole.node[split:])
    del whole.node[split:]
    info.algorithm.input.append(whole.input.pop())
    info.algorithm.output.extend([whole.output.pop(), *(onnx.ValueInfoProto(name=name) for name in ("w2", "v2"))])
    whole.output.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, ["N", 4]))
    whole.initializer.append(numpy_helper.from_array(weights, "w"))
    info.algorithm.initializer.append(numpy_helper.from_array(0 * weights, "v"))
    info.update_binding.add(key="w", value="w2")
    info.update_binding.add(key="v", value="v2")
    return model


def test_a_foreign_recipe_is_read():
    recipe = training.read(foreign())
    assert (recipe.loss, recipe.labels, recipe.parameters) == ("L", ("t",), ("w",))
    assert recipe.optimizer.learning_rate == 0.5
    forward, _ = training.forward(foreign(), recipe)
    assert [n.op_type for n in forward.graph.node] == ["MatMul", "SoftmaxCrossEntropyLoss"]


def test_momentum_whose_count_stays_zero_is_momentum_with_beta_one():
    assert training.read(foreign()).optimizer.attributes["beta"] == 1.0


def test_adam_whose_count_never_changes_is_refused():
    model = foreign()
    adam = node(algorithm(model), "Momentum")
    adam.op_type = "Adam"
    del adam.attribute[:]
    adam.input.append("h")
    adam.output.append("h2")
    part = algorithm(model)
    part.initializer.append(numpy_helper.from_array(numpy.zeros((3, 4), numpy.float32), "h"))
    part.output.add(name="h2")
    model.training_info[0].update_binding.add(key="h", value="h2")
    with pytest.raises(HarnessError, match=r"'count' of Adam .* never changes"):
        training.read(model)


def test_state_may_get_its_zeros_from_the_initialization_graph():
    model = foreign()
    info = model.training_info[0]
    info.algorithm.initializer[0].CopyFrom(numpy_helper.from_array(numpy.ones((3, 4), numpy.float32), "v"))
    with pytest.raises(HarnessError, match="does not start at zero"):
        training.read(model)
    info.initialization.initializer.append(numpy_helper.from_array(numpy.array([3, 4]), "shape"))
    info.initialization.node.append(helper.make_node("ConstantOfShape", ["shape"], ["zeros"]))
    info.initialization.output.add(name="zeros")
    info.initialization_binding.add(key="v", value="zeros")
    assert training.read(model) is not None


def test_weights_that_are_drawn_anew_before_training_are_refused():
    model = foreign()
    info = model.training_info[0]
    info.initialization.node.append(helper.make_node("RandomNormal", [], ["noise"], shape=[3, 4]))
    info.initialization_binding.add(key="w", value="noise")
    with pytest.raises(HarnessError, match="initialization replaces 'w'"):
        training.read(model)


# Broken files


def _second_info(model):
    model.training_info.append(model.training_info[0])


def _no_gradient(model):
    algorithm(model).node.remove(node(algorithm(model), "Gradient"))


def _two_optimizers(model):
    algorithm(model).node.append(node(algorithm(model), "Momentum"))
    for i, name in enumerate(algorithm(model).node[-1].output):
        algorithm(model).node[-1].output[i] = f"{name}_again"


def _no_domain(model):
    model.opset_import.remove(next(entry for entry in model.opset_import if entry.domain == TRAINING_DOMAIN))


def _unknown_name(model):
    node(algorithm(model), "SoftmaxCrossEntropyLoss").input[0] = "nothing"


def _cycle(model):
    first = helper.make_node("Add", ["late", "label"], ["early"], name="early")
    algorithm(model).node.extend([first, helper.make_node("Identity", ["early"], ["late"], name="late")])


def _unsorted(model):
    nodes = list(algorithm(model).node)
    del algorithm(model).node[:]
    algorithm(model).node.extend(reversed(nodes))


def _model_reads_algorithm(model):
    model.graph.node[0].input[0] = "loss"


def _duplicate(model):
    node(algorithm(model), "SoftmaxCrossEntropyLoss").output[0] = "y"


def _update_of_a_tensor(model):
    model.training_info[0].update_binding.add(key="y", value="loss")


def _update_twice(model):
    model.training_info[0].update_binding.append(model.training_info[0].update_binding[0])


def _update_hidden(model):
    del algorithm(model).output[1:]


def _state_not_updated(model):
    bindings = model.training_info[0].update_binding
    bindings.remove(next(entry for entry in bindings if "momentum" in entry.key))


def _wrong_state_shape(model):
    algorithm(model).sparse_initializer[0].dims[0] += 1


def _warm_state(model):
    state = algorithm(model).sparse_initializer[0]
    state.values.CopyFrom(helper.make_tensor(state.values.name, TensorProto.FLOAT, [1], [0.5]))
    state.indices.CopyFrom(helper.make_tensor("i", TensorProto.INT64, [1], [0]))


def _swapped_gradients(model):
    operands = node(algorithm(model), "Momentum").input
    operands[4], operands[5] = operands[5], operands[4]


def _elsewhere(model):
    node(algorithm(model), "Gradient").input[0] = "b"


def _intermediate(model):
    gradient = node(algorithm(model), "Gradient")
    gradient.input.append("y")
    next(a for a in gradient.attribute if a.name == "zs").strings.append(b"y")


def _gradient_of_wrong_type(model):
    gradient = node(algorithm(model), "Gradient")
    kept = [a for a in gradient.attribute if a.name != "y"]
    del gradient.attribute[:]
    gradient.attribute.extend([*kept, helper.make_attribute("y", 3)])


def _vector_loss(model):
    loss = node(algorithm(model), "SoftmaxCrossEntropyLoss")
    del loss.attribute[:]
    loss.attribute.append(helper.make_attribute("reduction", "none"))


def _missing_attribute(model):
    attribute = node(algorithm(model), "Momentum").attribute
    attribute.remove(next(a for a in attribute if a.name == "mode"))


def _unknown_attribute(model):
    node(algorithm(model), "Momentum").attribute.append(helper.make_attribute("dampening", 0.5))


def _bad_rate(model):
    rate = next(t for t in algorithm(model).initializer if "rate" in t.name)
    rate.CopyFrom(helper.make_tensor(rate.name, TensorProto.FLOAT, [], [-1.0]))


def _damaged_rate(model):
    rate = next(t for t in algorithm(model).initializer if "rate" in t.name)
    rate.ClearField("float_data")
    rate.raw_data = b"\0"


def _schedule(model):
    part = algorithm(model)
    part.node.append(helper.make_node("Mul", ["training/learning_rate"] * 2, ["slower"]))
    part.output.add(name="slower")
    model.training_info[0].update_binding.add(key="training/learning_rate", value="slower")


def _counts_in_twos(model):
    one = next(t for t in algorithm(model).initializer if t.name.endswith("one"))
    one.CopyFrom(helper.make_tensor(one.name, TensorProto.INT64, [], [2]))


def _moving_average(model):
    model.graph.initializer.append(numpy_helper.from_array(numpy.zeros((3, 4), numpy.float32), "average"))
    model.training_info[0].update_binding.add(key="average", value="training/new/w")


def _odd_operands(model):
    del node(algorithm(model), "Momentum").input[-1]


def _constant_weight(model):
    weight = next(t for t in model.graph.initializer if t.name == "w")
    model.graph.initializer.remove(weight)
    model.graph.node.insert(0, helper.make_node("Constant", [], ["w"], value=weight))


@pytest.mark.parametrize(
    "breakage, message",
    [
        (_second_info, "2 training_info entries"),
        (_no_gradient, "'training/gradient/w', which nothing makes"),
        (_two_optimizers, "2 optimizer nodes"),
        (_no_domain, "opset_import lacks"),
        (_unknown_name, "'nothing', which nothing makes"),
        (_cycle, "cycle: "),
        (_unsorted, "before .* makes it"),
        (_model_reads_algorithm, "cycle: "),
        (_duplicate, "another tensor of that name"),
        (_update_of_a_tensor, "'y', which is not an initializer"),
        (_update_twice, "'w' twice"),
        (_update_hidden, "no output of the algorithm"),
        (_state_not_updated, "does not name it"),
        (_wrong_state_shape, r"shape \[4, 4\], the parameter \[3, 4\]"),
        (_warm_state, "does not start at zero"),
        (_swapped_gradients, "it is the gradient of 'b'"),
        (_elsewhere, "evaluated at other tensors"),
        (_intermediate, "'y' as independent"),
        (_gradient_of_wrong_type, "lacks its attribute"),
        (_vector_loss, "not one number"),
        (_missing_attribute, "lacks 'mode'"),
        (_unknown_attribute, "no attribute 'dampening'"),
        (_bad_rate, "learning rate is -1.0"),
        (_damaged_rate, "not a constant number"),
        (_schedule, "schedules are not supported"),
        (_counts_in_twos, "plus 1"),
        (_moving_average, "depends on gradients"),
        (_odd_operands, "inputs"),
        (_constant_weight, "'w', which is not an initializer|'w' as independent"),
    ],
)
def test_a_broken_recipe_is_refused_with_what_where_and_what_to_do(breakage, message):
    model = training.add(linear(), LOSS, SGD)
    breakage(model)
    with pytest.raises(HarnessError, match=message) as caught:
        training.read(model, "file.onnx")
    assert "file.onnx" in caught.value.what
    assert caught.value.advice


@given(st.data())
def test_a_damaged_recipe_never_ends_in_anything_but_a_clear_error(data):
    """Whatever single name or attribute is overwritten, the reader answers or refuses."""
    model = training.add(normalised(), LOSS, program.Optimizer("Adam", 0.1, {}))
    part = algorithm(model)
    victim = data.draw(st.sampled_from(list(part.node)))
    names = [name for n in (*model.graph.node, *part.node) for name in (*n.input, *n.output)] + ["", "nowhere"]
    field = data.draw(st.sampled_from(["input", "output", "attribute", "op_type"]))
    if field == "op_type":
        victim.op_type = data.draw(st.sampled_from(["Add", "Gradient", "Adam", "Momentum", "Constant", "Identity"]))
    elif field == "attribute" and victim.attribute:
        attribute = victim.attribute[data.draw(st.integers(0, len(victim.attribute) - 1))]
        value = data.draw(st.sampled_from([1, -2.5, "text", [1, 2], ["w"]]))
        attribute.CopyFrom(helper.make_attribute(attribute.name, value))
    elif field != "attribute" and getattr(victim, field):
        i = data.draw(st.integers(0, len(getattr(victim, field)) - 1))
        getattr(victim, field)[i] = data.draw(st.sampled_from(names))
    try:
        recipe = training.read(model, "file.onnx")
    except HarnessError:
        return
    training.forward(model, recipe)
