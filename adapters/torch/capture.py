"""CUDA graphs: the kernels of one call, recorded once and started again as one."""

from __future__ import annotations

from typing import Any, Callable, List, Sequence

import torch

#: Calls before the recording, on a stream of their own, in which libraries choose their kernels.
WARM_UP_CALLS = 3


class Captured:
    """`function` with its inputs and outputs at fixed places: the next call overwrites what the last returned.

    state: tensors that the function changes; the calls made to warm up leave no trace in them.
    """

    def __init__(self, function: Callable, inputs: Sequence[torch.Tensor], state: Sequence[torch.Tensor] = ()):
        self._inputs: List[torch.Tensor] = [tensor.clone() for tensor in inputs]
        saved = [tensor.detach().clone() for tensor in state]
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UP_CALLS):
                function(*self._inputs)
        torch.cuda.current_stream().wait_stream(side)
        with torch.no_grad():
            for tensor, value in zip(state, saved):
                tensor.copy_(value)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._outputs = function(*self._inputs)

    def __call__(self, inputs: Sequence[torch.Tensor]) -> Any:
        torch._foreach_copy_(self._inputs, list(inputs))
        self._graph.replay()
        return self._outputs
