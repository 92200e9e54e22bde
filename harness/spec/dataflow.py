"""Which tensors of a Program take memory of their own, who makes them, and who reads them.

Three assumptions make this what a clever implementation needs, and not what one of them happens to do:

- A view (Reshape, Transpose, Expand, ...) is the memory of its source in another order, and takes none.
- An operator that goes through its operands element by element, or row by row, can work in place; where the next one
  does so too and is the only reader, the tensor between them never has to exist (it *streams*).
- Scores and probabilities of attention (MatMul, Softmax, MatMul) stream too: T. Dao and others, "FlashAttention: Fast
  and Memory-Efficient Exact Attention with IO-Awareness", NeurIPS 2022.

Operators that are not known here count as the cheap kind, so that what follows stays a lower bound.
"""

from __future__ import annotations

from collections import defaultdict
from functools import cached_property

from harness.kit import Node, Program, arrays
from harness.spec.layout import ELEMENTWISE

#: Operators that need their operands whole, elsewhere, while they write: products, windows, and look-ups.
WHOLE = frozenset(
    """
    AveragePool Conv ConvInteger ConvTranspose DFT DeformConv Einsum GRU Gather GatherElements GatherND Gemm GridSample
    LSTM LpPool MatMul MatMulInteger MaxPool QLinearConv QLinearMatMul RNN Resize RoiAlign
    """.split()  # noqa: SIM905
)

#: Operators whose result can be its first input, read in another order.
VIEWS = frozenset(("Expand", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"))

#: Operators whose results are parts of their input: views or copies, whatever takes less.
PARTS = frozenset(("Slice", "Split"))

#: Bits of the element types that are smaller than what carries them.
_BITS = {"float4e2m1": 4, "int2": 2, "int4": 4, "uint2": 2, "uint4": 4}


def tensor_bytes(program: Program, name: str) -> int:
    """Bytes of one tensor, packed where its elements are smaller than a byte; 0 for an absent one."""
    if not name:
        return 0
    tensor = program.tensors[name]
    return packed(
        arrays.element_count(tensor.shape), _BITS.get(tensor.dtype, 8 * arrays.carrier(tensor.dtype).itemsize)
    )


def packed(elements: int, bits: int) -> int:
    """Bytes that so many elements of so many bits take."""
    return -(-elements * bits // 8)


class Dataflow:
    """The memories of a Program. A memory is named by the tensor that it was made for; views share their source's.

    fixed: inputs and initializers, which are there before the first node and stay.
    maker: {memory: number of the node that writes it}. readers: {memory: numbers of the nodes that read it, ascending,
    views aside}. kept: memories that must outlive the pass: outputs; where a Program trains, its loss only.
    """

    def __init__(self, program: Program):
        self.program = program
        self.fixed = {tensor.name for tensor in (*program.inputs, *program.initializers)}
        self.maker: dict[str, int] = {}
        self.readers: dict[str, list[int]] = defaultdict(list)
        self._memory: dict[str, str] = {}
        for number, node in enumerate(program.nodes):
            self._add(number, node)
        last = [program.training.loss] if program.training else [tensor.name for tensor in program.outputs]
        self.kept = {self.memory(name) for name in last}

    def _add(self, number: int, node: Node) -> None:
        if node.op in VIEWS:
            self._memory[node.outputs[0]] = self.memory(node.inputs[0])
            return
        for memory in dict.fromkeys(self.memory(name) for name in operands(node)):
            self.readers[memory].append(number)
        for name in node.outputs:
            if name:
                self.maker[name] = number

    def memory(self, name: str) -> str:
        """The memory that a tensor lies in."""
        return self._memory.get(name, name)

    def last_reader(self, memory: str) -> int:
        """The number of the last node of the forward pass that has to do with what a node made."""
        return self.readers[memory][-1] if memory in self.readers else self.maker[memory]

    def bytes(self, memory: str) -> int:
        return tensor_bytes(self.program, memory)

    def streams(self, memory: str) -> bool:
        """Whether what lies in a memory can go from its maker to its reader piece by piece."""
        if memory in self.attention:
            return True
        maker, readers = self.maker.get(memory), self.readers.get(memory, [])
        if maker is None or len(readers) != 1 or memory in self.kept:
            return False
        return not WHOLE & {self.program.nodes[maker].op, self.program.nodes[readers[0]].op}

    @cached_property
    def attention(self) -> frozenset[str]:
        """Scores and probabilities of attention, and what lies between them."""
        found: set[str] = set()
        for node in self.program.nodes:
            if node.op == "Softmax":
                above = self._chain(self.memory(node.inputs[0]), upwards=True)
                below = self._chain(self.memory(node.outputs[0]), upwards=False)
                if above and below:
                    found.update(above + below)
        return frozenset(found)

    def _chain(self, memory: str, upwards: bool) -> list[str]:
        """The memories from one to the nearest product, through elementwise operators; empty if there is none."""
        size = self._elements(memory)
        chain = []
        while memory in self.maker and len(self.readers.get(memory, [])) == 1 and memory not in self.kept:
            chain.append(memory)
            node = self.program.nodes[self.maker[memory] if upwards else self.readers[memory][0]]
            if node.op == "MatMul":
                return chain
            if node.op not in ELEMENTWISE:
                return []
            following = (self.memory(name) for name in (operands(node) if upwards else node.outputs) if name)
            memory = next((name for name in following if name in self.maker and self._elements(name) == size), "")
        return []

    def _elements(self, memory: str) -> int:
        return arrays.element_count(self.program.tensors[memory].shape)


def operands(node: Node) -> list[str]:
    """Every tensor that a node reads."""
    return [name for name in (*node.inputs, *node.operands.values()) if name]
