"""A frozen TensorFlow graph as a differentiable function for any batch size.

The readers of the file formats (`from_frozen`, `from_tfjs`) make its nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from graphlib import TopologicalSorter
from typing import Any

import numpy as np
import tensorflow as tf

from photoveil.transforms.embedding.models import Precision


@dataclass(frozen=True)
class Node:
    """One operator of a graph.

    kind: name of the operator in TensorFlow.
    inputs: names of the nodes whose values it takes.
    options: strides, padding and others, as keyword arguments of TensorFlow's function.
    """

    kind: str
    name: str
    inputs: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)


def compile_graph(
    nodes: Sequence[Node],
    constants: Mapping[str, np.ndarray],
    output: str,
    precision: Precision,
) -> Callable[[tf.Tensor], tf.Tensor]:
    """Build the part of a graph that leads from its single placeholder to the node `output`.

    Args:
        nodes: in any order.
        constants: values of the nodes of the kind Const, by name.
        output: name of the node whose value is returned.
        precision: the type that it computes in.

    Returns:
        A function from float32 (N, H, W, C) to the value of `output`, float32. Within the graph a
        flattened value keeps the shape (N, 1, 1, D).

    Raises:
        ValueError: the graph uses an operator that is not supported.
    """
    needed = _needed(nodes, output)
    (entry,) = (node.name for node in needed if node.kind == "Placeholder")
    # Eager tensors are captured by tf.function as inputs instead of copied into each graph.
    held = {
        node.name: tf.constant(
            constants[node.name], precision if constants[node.name].dtype == np.float32 else None
        )
        for node in needed
        if node.kind == "Const"
    }
    steps = _fuse_relu6(
        [
            (_operator(node), node.inputs, node.name)
            for node in needed
            if node.kind not in ("Const", "Placeholder")
        ]
    )

    def run(images: tf.Tensor) -> tf.Tensor:
        values = {**held, entry: tf.cast(images, precision)}
        for apply, inputs, name in steps:
            values[name] = apply(*(values[source] for source in inputs))
        return tf.cast(values[output], tf.float32)

    return run


def _needed(nodes: Sequence[Node], output: str) -> list[Node]:
    """Return the nodes that `output` depends on, each after its inputs."""
    by_name = {node.name: node for node in nodes}
    wanted: dict[str, tuple[str, ...]] = {}
    pending = [output]
    while pending:
        name = pending.pop()
        if name not in wanted:
            wanted[name] = by_name[name].inputs
            pending += wanted[name]
    return [by_name[name] for name in TopologicalSorter(wanted).static_order()]


_Step = tuple[Callable[..., tf.Tensor], tuple[str, ...], str]


def _fuse_relu6(steps: list[_Step]) -> list[_Step]:
    """Replace a sequence of relu, minimum and maximum by one relu6.

    MobileNet expresses relu6 as those three. Fused, a forward and backward pass of faceres takes a
    third less time.
    """
    fused: list[_Step] = []
    for apply, inputs, name in steps:
        if apply is tf.maximum and len(fused) >= 2 and fused[-1][0] is tf.minimum:
            _, relu_inputs, _ = fused[-2]
            fused[-2:] = [(tf.nn.relu6, relu_inputs, name)]
        else:
            fused.append((apply, inputs, name))
    return fused


def _operator(node: Node) -> Callable[..., tf.Tensor]:
    known: dict[str, Callable[..., tf.Tensor]] = {
        "Add": tf.add,
        "AvgPool": partial(tf.nn.avg_pool2d, **node.options),
        "BiasAdd": tf.nn.bias_add,
        "ConcatV2": _concatenate,
        "Conv2D": partial(tf.nn.conv2d, **node.options),
        "DepthwiseConv2dNative": partial(tf.nn.depthwise_conv2d, **node.options),
        "FusedBatchNorm": partial(_normalize, **node.options),
        "MatMul": _multiply,
        "Maximum": tf.maximum,
        "MaxPool": partial(tf.nn.max_pool2d, **node.options),
        "Mean": tf.reduce_mean,
        "Minimum": tf.minimum,
        "Mul": tf.multiply,
        "Relu": tf.nn.relu,
        "Reshape": _flatten,
    }
    if node.kind not in known:
        raise ValueError(f"operator {node.kind} of node {node.name!r} is not known")
    return known[node.kind]


def _concatenate(*values_and_axis: tf.Tensor) -> tf.Tensor:
    *values, axis = values_and_axis
    return tf.concat(values, axis)


def _normalize(
    values: tf.Tensor,
    scale: tf.Tensor,
    offset: tf.Tensor,
    mean: tf.Tensor,
    variance: tf.Tensor,
    *,
    epsilon: float,
) -> tf.Tensor:
    scale = scale / tf.sqrt(variance + epsilon)
    return values * scale + (offset - mean * scale)


def _multiply(values: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    # A matrix product over the batch would round differently at different places of the batch.
    return tf.nn.conv2d(values, weights[tf.newaxis, tf.newaxis], 1, "VALID")


def _flatten(values: tf.Tensor, shape: tf.Tensor) -> tf.Tensor:
    # The file reshapes to the batch that it was frozen with; what is meant is one row an image.
    return tf.reshape(values, (tf.shape(values)[0], 1, 1, -1))
