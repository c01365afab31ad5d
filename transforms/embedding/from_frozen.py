"""A frozen TensorFlow graph (GraphDef) as a differentiable function for any batch size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from photoveil.transforms.embedding.graph import Node, compile_graph
from photoveil.transforms.embedding.models import Precision


def load_frozen(
    path: str, output: str, precision: Precision = "float32"
) -> Callable[[tf.Tensor], tf.Tensor]:
    """Load the part of a frozen graph that leads from its single input to the node `output`.

    Args:
        path: of the serialised GraphDef.
        output: name of the node whose value is returned.
        precision: the type that it computes in.

    Returns:
        A function from float32 (N, H, W, C) to the value of `output`, float32.

    Raises:
        ValueError: the graph uses an operator that is not supported.
    """
    graph = tf.compat.v1.GraphDef()
    with open(path, "rb") as stream:
        graph.ParseFromString(stream.read())
    constants = {
        node.name: tf.make_ndarray(node.attr["value"].tensor)
        for node in graph.node
        if node.op == "Const"
    }
    return compile_graph([_node(node) for node in graph.node], constants, output, precision)


def _node(node: Any) -> Node:
    attributes = node.attr
    options: dict[str, Any] = {}
    for name in ("strides", "ksize"):
        if name in attributes:
            options[name] = list(attributes[name].list.i)
    if "padding" in attributes:
        options["padding"] = attributes["padding"].s.decode("ascii")
    if "epsilon" in attributes:
        options["epsilon"] = attributes["epsilon"].f
    # "^name" only orders the two nodes; "name:0" is the first output, the only one used here.
    inputs = tuple(given.split(":")[0] for given in node.input if not given.startswith("^"))
    return Node(node.op, node.name, inputs, options)
