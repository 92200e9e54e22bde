"""Tracing: calling the operator functions once leaves an fx graph of plain torch calls.

What an operator function is given is either a `Value`, which stands for a tensor of a later run and knows its
shape and element type, or a real tensor, where the value is known now. Work on real tensors alone is done at
once and never enters the graph, so constants fold by themselves.
"""

from __future__ import annotations

import functools
import operator
import re
from typing import Any, Callable, Dict, List, Sequence

import torch
from torch import fx
from torch.fx.node import map_aggregate

from ..kit.interface import Unsupported
from .likeness import likeness, repeated, result_of


class Value(fx.Proxy):
    """A tensor of a later run; `like` has its shape and type."""

    def __init__(self, node: fx.Node, tracer: fx.Tracer, like: torch.Tensor):
        super().__init__(node, tracer)
        self.like = like

    shape = property(lambda self: self.like.shape)
    dtype = property(lambda self: self.like.dtype)
    ndim = property(lambda self: self.like.ndim)
    device = property(lambda self: self.tracer.device)

    def dim(self) -> int:
        return self.like.dim()

    def size(self, *axis):
        return self.like.size(*axis)

    def numel(self) -> int:
        return self.like.numel()

    def is_floating_point(self) -> bool:
        return self.like.is_floating_point()

    def is_complex(self) -> bool:
        return self.like.is_complex()

    def item(self):
        raise Unsupported("it needs the value of an operand that is not a constant")

    tolist = item


class Tracer(fx.Tracer):
    """Records torch calls on `Value`s into `graph`; the tensors they need become attributes of `root`.

    mode: the execution mode. In "eager" Python runs the graph: the extents of its tensors may depend on data.
    """

    def __init__(self, device: torch.device, mode: str = "eager"):
        super().__init__()
        self.device, self.mode = device, mode
        self.root = torch.nn.Module()
        self.graph = fx.Graph()
        self._attributes: Dict[int, str] = {}

    def input(self, name: str, like: torch.Tensor) -> Value:
        node = self.graph.placeholder(re.sub(r"\W", "_", f"input_{name}"))
        return Value(node, self, like)

    def state(self, name: str, tensor: torch.Tensor) -> Value:
        """A tensor whose data may change from run to run: a trained parameter, a running statistic."""
        return Value(self.graph.get_attr(self._keep(name, tensor)), self, likeness(tensor))

    def finish(self, outputs: List[Any], impure: Callable[[fx.Node], bool]) -> fx.GraphModule:
        """The module that computes `outputs`. Nodes that nothing needs are dropped, except `impure` ones."""
        self.graph.output(self.create_arg(tuple(outputs)))
        self.graph.eliminate_dead_code(is_impure_node=lambda node: node.op in ("placeholder", "output") or impure(node))
        return fx.GraphModule(self.root, self.graph)

    def create_proxy(self, kind, target, args, kwargs, name=None, type_expr=None, proxy_factory_fn=None):
        node = self.create_node(kind, target, self.create_arg(args), self.create_arg(kwargs), name, type_expr)
        result = result_of(target, map_aggregate(args, _likeness), map_aggregate(kwargs, _likeness))
        return self._values(node, result)

    def create_arg(self, a: Any) -> Any:
        if isinstance(a, torch.Tensor):
            return self.create_node("get_attr", self._keep("constant", a), (), {})
        return super().create_arg(a)

    def to_bool(self, obj: fx.Proxy) -> bool:
        raise Unsupported("what it does depends on the values of a tensor")

    def iter(self, obj: fx.Proxy):
        return iter([obj[i] for i in range(obj.shape[0])])

    def _values(self, node: fx.Node, result: Any) -> Any:
        """The result of a call as operator functions see it: tuples and lists of tensors come apart at once."""
        if isinstance(result, (tuple, list)):
            return tuple(
                self._values(self.create_node("call_function", operator.getitem, (node, i), {}), part)
                for i, part in enumerate(result)
            )
        node.meta["tensor"] = result
        return Value(node, self, result)

    def _keep(self, name: str, tensor: torch.Tensor) -> str:
        if id(tensor) not in self._attributes:
            stem = re.sub(r"\W", "_", name)
            attribute, number = f"{stem}_", 0
            while hasattr(self.root, attribute):
                number += 1
                attribute = f"{stem}_{number}"
            if isinstance(tensor, torch.nn.Parameter):
                self.root.register_parameter(attribute, tensor)
            else:
                self.root.register_buffer(attribute, tensor)
            self._attributes[id(tensor)] = attribute
        return self._attributes[id(tensor)]


def is_compiled(*tensors: Any) -> bool:
    """Will torch.compile see what is done with these?"""
    return any(isinstance(tensor, Value) and tensor.tracer.mode == "compiled" for tensor in tensors)


#: Functions whose results are as long as the data says.
_SIZED_BY_DATA = set()


def sized_by_data(function: Callable) -> Callable:
    """Make a function of tensors, the first argument among them, one call of the graph, whatever it does inside."""

    @functools.wraps(function)
    def call(x, *args):
        if not any(isinstance(a, Value) for a in (x,) + args):
            return function(x, *args)
        tracer = next(a for a in (x,) + args if isinstance(a, Value)).tracer
        if tracer.mode != "eager":
            raise Unsupported("how long its result is depends on data, which only torch's eager mode can do")
        return tracer.create_proxy("call_function", function, (x,) + args, {})

    _SIZED_BY_DATA.add(function)
    return call


def is_sized_by_data(result: Any) -> bool:
    """Is this a result of such a function?"""
    if not isinstance(result, Value):
        return False
    node = result.node
    maker = node.args[0] if node.target is operator.getitem else node
    return isinstance(maker, fx.Node) and maker.target in _SIZED_BY_DATA


def sized(value: Value, shape: Sequence[int]) -> Value:
    """The value, of which the Program says that it is of this shape; checked at each run."""
    tracer = value.tracer
    node = tracer.create_node("call_function", _checked, (value.node, tuple(shape)), {})
    node.meta["tensor"] = like = repeated(shape, value.dtype)
    return Value(node, tracer, like)


def _checked(tensor: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    if tuple(tensor.shape) != shape:
        raise Unsupported(f"these inputs give a tensor of shape {list(tensor.shape)}; the Program was made for {shape}")
    return tensor


def _likeness(a: Any) -> Any:
    if isinstance(a, Value):
        return a.like
    return likeness(a) if isinstance(a, torch.Tensor) else a
