"""The light models with random weights and inputs.

ONNX ships these nine networks with constant weights, so that the files are small; their answers are constant too, and
prove nothing. Here each constant becomes a random array, and ONNX Runtime with every optimisation off, on the file as
it is (before anything of ours has touched it), says what is right.
"""

from __future__ import annotations

import subprocess
import tempfile
from functools import partial
from pathlib import Path

import numpy
import onnx
from onnx import GraphProto, ModelProto, NodeProto, numpy_helper

from harness.conformance.cases import ATOL, RTOL, Case, DataSet, light_files
from harness.errors import HarnessError
from harness.folders import make_whole
from harness.paths import ADAPTERS, home
from harness.spec.model import fed_inputs

GROUP = "light-random"

#: Part of the name under which answers are kept: another one where weights or inputs are drawn in another way.
_VERSION = 1

#: From this IR version on an initializer need not be an input too.
_IR_VERSION = 4

#: Seconds that the slowest of the networks may take.
_TIMEOUT = 300.0


def collect(python: Path) -> list[Case]:
    """The nine cases. python: an interpreter that has ONNX Runtime; it is asked once for each and the answer kept."""
    return [
        Case(
            group=GROUP,
            name=file.stem,
            operator="network",
            load=partial(randomised, file),
            data=partial(_data, file, python),
            rtol=RTOL,
            atol=ATOL,
        )
        for file in light_files()
    ]


def randomised(file: Path) -> ModelProto:
    """A light model with a random array for each constant: weights after He et al. (2015), the rest about 0 or 1."""
    model = onnx.load(file)
    generator = numpy.random.Generator(numpy.random.PCG64(0))
    shapes = {tensor.name: numpy_helper.to_array(tensor).tolist() for tensor in model.graph.initializer}
    near_one = _scales(model.graph)
    kept = []
    for node in model.graph.node:
        if node.op_type != "ConstantOfShape" or node.input[0] not in shapes:
            kept.append(node)
            continue
        array = _draw(generator, shapes[node.input[0]], node.output[0] in near_one)
        model.graph.initializer.append(numpy_helper.from_array(array, node.output[0]))
    del model.graph.node[:]
    model.graph.node.extend(kept)
    model.ir_version = max(model.ir_version, _IR_VERSION)
    return model


def _draw(generator: numpy.random.Generator, shape: list[int], near_one: bool) -> numpy.ndarray:
    if len(shape) > 1:
        fan_in = numpy.prod(shape[1:])
        weights: numpy.ndarray = generator.standard_normal(shape, numpy.float32)
        return weights * numpy.float32(numpy.sqrt(2 / fan_in))
    if near_one:
        return generator.uniform(0.5, 1.5, shape).astype(numpy.float32)
    return (0.1 * generator.standard_normal(shape)).astype(numpy.float32)


def _scales(graph: GraphProto) -> set[str]:
    """Constants that scale or divide: factors of Mul, scales and variances of BatchNormalization."""
    readers: dict[str, list[tuple[NodeProto, int]]] = {}
    for node in graph.node:
        for position, name in enumerate(node.input):
            readers.setdefault(name, []).append((node, position))

    def scales(name: str) -> bool:
        for node, position in readers.get(name, []):
            if node.op_type == "Mul" or (node.op_type == "BatchNormalization" and position in (1, 4)):
                return True
            if node.op_type == "Unsqueeze" and scales(node.output[0]):
                return True
        return False

    return {node.output[0] for node in graph.node if node.op_type == "ConstantOfShape" and scales(node.output[0])}


def _data(file: Path, python: Path) -> list[DataSet]:
    graph = onnx.load(file).graph
    generator = numpy.random.Generator(numpy.random.PCG64(1))
    feeds = {}
    for value in fed_inputs(graph):
        shape = [dim.dim_value or 1 for dim in value.type.tensor_type.shape.dim]
        feeds[value.name] = generator.standard_normal(shape, numpy.float32)
    folder = home() / "conformance" / f"{file.stem}-{_VERSION}-onnx-{onnx.__version__}"
    kept = make_whole(folder, lambda scratch: _ask(python, randomised(file), feeds, scratch))
    with numpy.load(kept / "answers.npz", allow_pickle=False) as answers:
        return [(list(feeds.values()), [answers[value.name] for value in graph.output])]


def _ask(python: Path, model: ModelProto, feeds: dict[str, numpy.ndarray], folder: Path) -> None:
    """Have ONNX Runtime answer, into `folder`/answers.npz."""
    with tempfile.TemporaryDirectory(prefix="harness-") as scratch:
        path, given = Path(scratch) / "model.onnx", Path(scratch) / "feeds.npz"
        onnx.save(model, path)
        numpy.savez(given, **feeds)  # type: ignore[arg-type]
        oracle = ADAPTERS / "onnxruntime" / "oracle.py"
        command = [str(python), str(oracle), str(path), str(given), str(folder / "answers.npz")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT, cwd=scratch)
    if done.returncode:
        raise HarnessError(
            f"ONNX Runtime could not answer for {path.name}: {done.stderr.strip()[-300:]}",
            "The group light-random needs its answers; leave it out with --groups.",
        )
