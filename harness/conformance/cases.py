"""ONNX's backend tests as cases: a model, inputs, and the outputs that are right.

They come with the onnx package: the node cases as code, the others as files beside it.
"""

from __future__ import annotations

import fnmatch
import json
import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy
import onnx
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, numpy_helper

from harness.spec.model import fed_inputs

#: Groups of cases that come with right answers.
SHIPPED = ("node", "simple", "pytorch-operator", "pytorch-converted", "light")

#: Tolerance of a case whose own is not given (onnx.backend.test.loader).
RTOL, ATOL = 1e-3, 1e-7

_FILES = Path(onnx.__file__).parent / "backend" / "test" / "data"

#: One set of inputs and outputs: arrays in the order of the graph's; lists and None for sequences and optionals.
DataSet = tuple[list[Any], list[Any]]


@dataclass(frozen=True)
class Case:
    """One case. operator: what it is about. load: its model. data: its inputs and right outputs.

    rtol, atol: an output may differ by atol + rtol * |right output|.
    """

    group: str
    name: str
    operator: str
    load: Callable[[], ModelProto]
    data: Callable[[], list[DataSet]]
    rtol: float
    atol: float


def collect(groups: Iterable[str], match: str = "*") -> list[Case]:
    """The shipped cases of some groups whose name `matches`."""
    cases: list[Case] = []
    for group in groups:
        cases += _COLLECTORS[group]() if group in _COLLECTORS else _of_files(group)
    return [case for case in cases if matches(case.name, match)]


def matches(name: str, match: str) -> bool:
    """Whether a case's name, with or without its "test_", matches one of some globs with commas between them."""
    names = (name, name.removeprefix("test_"))
    return any(fnmatch.fnmatch(each, glob.strip()) for glob in match.split(",") for each in names)


def light_files() -> list[Path]:
    """The nine light models."""
    return sorted((_FILES / "light").glob("*.onnx"))


def _of_nodes() -> list[Case]:
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # cases about infinities make them by dividing by zero
        found: list[Any] = collect_testcases()
    about = {case.name: _only_operator(case.model.graph.node) for case in found}
    return [
        Case(
            group="node",
            name=case.name,
            operator=about[case.name] or _expanded_operator(case.name, about) or case.model.graph.node[-1].op_type,
            load=partial(getattr, case, "model"),
            data=partial(_node_data, case),
            rtol=case.rtol,
            atol=case.atol,
        )
        for case in found
    ]


def _node_data(case: Any) -> list[DataSet]:
    return [
        ([_plain(item) for item in inputs], [_plain(item) for item in outputs]) for inputs, outputs in case.data_sets
    ]


def _only_operator(nodes: Iterable[NodeProto]) -> str:
    names = [node.op_type for node in nodes]
    return names[0] if len(names) == 1 else ""


def _expanded_operator(name: str, about: dict[str, str]) -> str:
    """A case whose operator is written out as its function body is about that operator."""
    base = re.sub(r"_expanded(_ver\d+)?(_function)?$", "", name)
    return about.get(base, "") if base != name else ""


def _of_files(group: str) -> list[Case]:
    return [_of_folder(group, folder) for folder in sorted((_FILES / group).iterdir()) if folder.is_dir()]


def _of_folder(group: str, folder: Path) -> Case:
    model = onnx.load(folder / "model.onnx")
    tolerance = _tolerance(folder)
    return Case(
        group=group,
        name=folder.name,
        operator=_only_operator(model.graph.node) or folder.name.removeprefix("test_"),
        load=lambda: model,
        data=lambda: list(_data_sets(folder, model.graph)),
        rtol=tolerance.get("rtol", RTOL),
        atol=tolerance.get("atol", ATOL),
    )


def _tolerance(folder: Path) -> dict[str, Any]:
    file = folder / "data.json"
    return dict(json.loads(file.read_text())) if file.is_file() else {}


def _data_sets(folder: Path, graph: onnx.GraphProto) -> Iterator[DataSet]:
    for place in sorted(folder.glob("test_data_set_*")):
        inputs, outputs = (len(list(place.glob(f"{kind}_*.pb"))) for kind in ("input", "output"))
        yield (
            [_read(place / f"input_{i}.pb", value) for i, value in zip(range(inputs), fed_inputs(graph), strict=False)],
            [_read(place / f"output_{i}.pb", value) for i, value in zip(range(outputs), graph.output, strict=False)],
        )


def _of_light() -> list[Case]:
    return [
        Case(
            group="light",
            name=file.stem,
            operator="network",
            load=partial(onnx.load, file),
            data=partial(_light_data, file),
            **{"rtol": RTOL, "atol": ATOL, **_light_tolerance(file)},
        )
        for file in light_files()
    ]


def _light_tolerance(file: Path) -> dict[str, float]:
    """What ONNX's own runner reads for the model: from the case that names its file."""
    for place in sorted((_FILES / "real").glob("*/data.json")):
        facts = json.loads(place.read_text())
        if facts["url"].endswith(f"/{file.name}"):
            return {key: facts[key] for key in ("rtol", "atol") if key in facts}
    return {}


def _light_data(file: Path) -> list[DataSet]:
    """Inputs as ONNX's own runner makes them: the n elements of an input count from 0 to 1 in steps of 1/n."""
    graph = onnx.load(file).graph
    inputs = []
    for value in fed_inputs(graph):
        shape = [dim.dim_value or 1 for dim in value.type.tensor_type.shape.dim]
        count = int(numpy.prod(shape))
        inputs.append((numpy.arange(count).reshape(shape) / count).astype(numpy.float32))
    outputs = [_read(file.with_name(f"{file.stem}_output_{i}.pb"), value) for i, value in enumerate(graph.output)]
    return [(inputs, outputs)]


def _read(file: Path, value: ValueInfoProto) -> Any:
    """A tensor, sequence or optional from a .pb file, by the type that the graph declares."""
    kind = value.type.WhichOneof("value")
    data = file.read_bytes()
    if kind == "sequence_type":
        sequence = onnx.SequenceProto()
        sequence.ParseFromString(data)
        return numpy_helper.to_list(sequence)
    if kind == "optional_type":
        optional = onnx.OptionalProto()
        optional.ParseFromString(data)
        return numpy_helper.to_optional(optional)
    tensor = TensorProto()
    tensor.ParseFromString(data)
    return numpy_helper.to_array(tensor)


def _plain(item: Any) -> Any:
    """Some node cases hold TensorProtos where others hold arrays."""
    if isinstance(item, TensorProto):
        return numpy_helper.to_array(item)
    return numpy.asarray(item) if isinstance(item, numpy.generic | float | int | bool) else item


_COLLECTORS: dict[str, Callable[[], list[Case]]] = {"node": _of_nodes, "light": _of_light}
