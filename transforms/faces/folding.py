"""A frozen graph with each batch normalisation folded into its convolution.

TensorFlow joins a normalisation to the convolution before it by itself, but not where that is a
depthwise one, as in half of the layers of MobileNetV2. There it reads and writes the largest
tensors of the network three times more than it needs to.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

_CONVOLUTIONS = ("Conv2D", "DepthwiseConv2dNative")


def fold(graph: Any) -> None:
    """Fold each batch normalisation, and the padding before each convolution, into it.

    The graph then gives the same values but for rounding, for inputs with sides that are multiples
    of its strides.

    Args:
        graph: a GraphDef of float32, changed in place. Each normalisation follows a convolution
            without a bias that nothing else reads, and each padding before a convolution of stride
            2 adds one row and one column at the end.
    """
    nodes = {node.name: node for node in graph.node}
    for node in [node for node in graph.node if node.op == "FusedBatchNormV3"]:
        convolution = _source(nodes, node.input[0])
        gamma, beta, mean, variance = (_value(nodes, name) for name in node.input[1:5])
        scale = gamma / np.sqrt(variance + node.attr["epsilon"].f)
        weights = _value(nodes, convolution.input[1])
        # The channels of the output are the last axis, but for a depthwise one, which has one each.
        weights = weights * (scale if convolution.op == "Conv2D" else scale[:, np.newaxis])
        convolution.input[1] = _add(graph, f"{convolution.name}/folded", weights)
        bias = _add(graph, f"{node.name}/folded", beta - mean * scale)
        del node.input[1:]
        node.input.append(bias)
        node.op = "BiasAdd"
        node.attr.clear()
        node.attr["T"].type = tf.float32.as_datatype_enum
    for node in graph.node:
        if node.op in _CONVOLUTIONS and (padding := _source(nodes, node.input[0])).op == "Pad":
            # With stride 2 and even sides, SAME is one row and one column at the end.
            node.input[0] = padding.input[0]
            node.attr["padding"].s = b"SAME"


def _source(nodes: dict[str, Any], name: str) -> Any:
    node = nodes[name]
    while node.op == "Identity":
        node = nodes[node.input[0]]
    return node


def _value(nodes: dict[str, Any], name: str) -> np.ndarray:
    return tf.make_ndarray(_source(nodes, name).attr["value"].tensor).astype(np.float64)


def _add(graph: Any, name: str, values: np.ndarray) -> str:
    node = graph.node.add(name=name, op="Const")
    node.attr["dtype"].type = tf.float32.as_datatype_enum
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(values.astype(np.float32)))
    return name
