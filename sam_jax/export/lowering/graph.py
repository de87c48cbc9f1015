"""An ONNX graph in the making: nodes, constants and scopes of subgraphs."""

import contextlib
import hashlib
from collections import ChainMap
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from sam_jax.types import InputError

OPSET = 18
"""Version of ONNX' operators; runtimes know it since the beginning of 2023."""
IR_VERSION = 8
"""Version of the file format that goes with these operators."""
LARGEST_FILE = 2**31 - 1
"""Bytes of the largest message that protocol buffers can hold."""
SMALL = 1024
"""Number of elements up to which a constant stays float32 in a file of 16-bit weights."""
ELEMENT_TYPES = {
    np.dtype(np.float32): TensorProto.FLOAT,
    np.dtype(np.float16): TensorProto.FLOAT16,
    np.dtype(np.int32): TensorProto.INT32,
    np.dtype(np.int64): TensorProto.INT64,
    np.dtype(np.uint8): TensorProto.UINT8,
    np.dtype(np.bool_): TensorProto.BOOL,
}
"""What ONNX calls the types of numbers that occur."""

Dim = Any
"""A size along an axis: an integer, or an expression in a free size, as JAX has it."""


class Tensor(NamedTuple):
    """Name, type and shape of an input or output of a graph; a free size has a name."""

    name: str
    dtype: np.dtype
    shape: Sequence[int | str]


def element_type(dtype: Any) -> int:
    """What ONNX calls a type of numbers.

    Raises:
        InputError: The type has no place in an export.
    """
    if np.dtype(dtype) not in ELEMENT_TYPES:
        raise InputError(
            f"numbers of type {np.dtype(dtype).name} cannot be exported to ONNX; export a model with float32"
        )
    return ELEMENT_TYPES[np.dtype(dtype)]


class Graph:
    """A graph that grows node by node. Equal nodes and equal constants are one.

    Names are unique throughout, and nodes of a subgraph see those of the graphs around it. Constants lie in the
    outermost graph.
    """

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, np.ndarray] = {}
        self._constant_names: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._made: ChainMap[Any, tuple[str, ...]] = ChainMap()
        self.sizes: ChainMap[Dim, tuple[str, int]] = ChainMap()
        """Of each free size that has occurred: name and axis of a tensor that has it."""
        self._count = 0

    def new_name(self, stem: str) -> str:
        """A name that is not in use."""
        self._count += 1
        return f"{stem}_{self._count}"

    def constant(self, array: Any, dtype: Any = None) -> str:
        """Name of a constant."""
        array = np.asarray(array, dtype)
        element_type(array.dtype)
        digest = hashlib.sha256(array.tobytes()).digest()
        key = (array.dtype.str, array.shape, digest)
        if key not in self._constant_names:
            name = self._constant_names[key] = self.new_name("constant")
            self._constants[name] = array
        return self._constant_names[key]

    def node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Name of the only output of a node, which is made unless there is an equal one."""
        return self.nodes(operator, inputs, 1, **attributes)[0]

    def nodes(
        self, operator: str, inputs: Sequence[str], count: int, **attributes: Any
    ) -> tuple[str, ...]:
        """Names of the outputs of a node.

        Args:
            operator: The operator's name.
            inputs: Names of what goes in.
            count: Number of outputs.
            attributes: Attributes of the node by name.
        """
        has_body = any(isinstance(value, onnx.GraphProto) for value in attributes.values())
        key = (operator, tuple(inputs), count, repr(sorted(attributes.items())))
        if has_body or key not in self._made:
            outputs = tuple(self.new_name(operator) for _ in range(count))
            node = helper.make_node(operator, list(inputs), list(outputs), **attributes)
            self._nodes.append(node)
            if has_body:
                return outputs
            self._made[key] = outputs
        return self._made[key]

    def name_output(self, name: str, output: str) -> None:
        """Give a tensor the name of an output."""
        self._nodes.append(helper.make_node("Identity", [name], [output]))

    @contextlib.contextmanager
    def scope(self) -> Iterator[None]:
        """Nodes that are made within the block are those of a subgraph, which `close` returns."""
        around = self._nodes, self._made, self.sizes
        self._nodes, self._made, self.sizes = [], around[1].new_child(), around[2].new_child()
        try:
            yield
        finally:
            self._nodes, self._made, self.sizes = around

    def close(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> onnx.GraphProto:
        """The graph with all that its outputs need; within a `scope`, its subgraph."""
        needed = _take_needed(self._nodes, {output.name for output in outputs})
        return helper.make_graph(needed, "sam_jax", _describe(inputs), _describe(outputs))

    def model(
        self,
        inputs: Sequence[Tensor],
        outputs: Sequence[Tensor],
        *,
        about: dict[str, str],
        weights: np.dtype,
    ) -> onnx.ModelProto:
        """The whole model, checked.

        Args:
            inputs: What goes in, in order.
            outputs: What comes out, in order.
            about: Entries of the file's metadata.
            weights: Type in which floating-point constants are stored; all is computed in float32.

        Raises:
            InputError: The model is too large for one file.
        """
        graph = self.close(inputs, outputs)
        used = set().union(*(_names_read(node) for node in graph.node))
        constants = {name: array for name, array in self._constants.items() if name in used}
        casts = []
        for name, array in constants.items():
            if weights != np.float32 and array.dtype == np.float32 and array.size > SMALL:
                short = f"{name}_stored"
                constants[name] = array.astype(weights)
                casts.append(helper.make_node("Cast", [short], [name], to=TensorProto.FLOAT))
        stored = {node.output[0]: node.input[0] for node in casts}
        size = sum(array.nbytes for array in constants.values())
        if size > LARGEST_FILE - (1 << 20):
            raise InputError(
                f"the weights have {size / 1e9:.1f} GB, and an ONNX file holds at most 2.1; "
                "export them with dtype float16"
            )
        graph.initializer.extend(
            numpy_helper.from_array(np.ascontiguousarray(array), stored.get(name, name))
            for name, array in constants.items()
        )
        nodes = [*casts, *graph.node]
        del graph.node[:]
        graph.node.extend(nodes)
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="sam_jax",
        )
        helper.set_model_props(model, about)
        onnx.checker.check_model(model)
        return model


def _describe(tensors: Sequence[Tensor]) -> list[onnx.ValueInfoProto]:
    return [
        helper.make_tensor_value_info(name, element_type(dtype), list(shape))
        for name, dtype, shape in tensors
    ]


def _names_read(node: onnx.NodeProto) -> set[str]:
    """Names that a node needs, those that its subgraphs take from around them included."""
    names = set(node.input)
    for attribute in node.attribute:
        if attribute.HasField("g"):
            names |= set().union(*(_names_read(inner) for inner in attribute.g.node))
            names |= {output.name for output in attribute.g.output}
    return names


def _take_needed(nodes: Sequence[onnx.NodeProto], wanted: set[str]) -> list[onnx.NodeProto]:
    needed, wanted = [], set(wanted)
    for node in reversed(nodes):
        if wanted & set(node.output):
            needed.append(node)
            wanted |= _names_read(node)
    return needed[::-1]
