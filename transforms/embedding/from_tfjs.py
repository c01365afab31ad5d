"""A TensorFlow.js graph model as a differentiable TensorFlow function."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf

from photoveil.transforms.embedding.models import Precision


def load_tfjs(
    json_path: str, bin_path: str, output: str, precision: Precision = "float32"
) -> Callable[[tf.Tensor], tf.Tensor]:
    """Load the part of a graph model that leads from its single input to the node `output`.

    Args:
        json_path, bin_path: topology and weights (one shard; float32, float16 or int32).
        output: name of the node whose value is returned.
        precision: the type that it computes in.

    Returns:
        A function from float32 (N, H, W, C) to the value of `output`, float32.

    Raises:
        ValueError: the graph uses an operator that is not supported.
    """
    with open(json_path, encoding="utf-8") as stream:
        model = json.load(stream)
    with open(bin_path, "rb") as binary:
        # Eager tensors are captured by tf.function as inputs instead of copied into each graph.
        constants = {
            name: tf.constant(values, precision if values.dtype == np.float32 else None)
            for name, values in _weights(model["weightsManifest"], binary.read()).items()
        }
    nodes = _needed(model["modelTopology"]["node"], output)
    (entry,) = (node["name"] for node in nodes if node["op"] == "Placeholder")
    steps = _fuse_relu6(
        [
            (_operator(node), node["input"], node["name"])
            for node in nodes
            if node["op"] not in ("Const", "Placeholder")
        ]
    )

    def run(images: tf.Tensor) -> tf.Tensor:
        values = {**constants, entry: tf.cast(images, precision)}
        for apply, inputs, name in steps:
            values[name] = apply(*(values[source] for source in inputs))
        return tf.cast(values[output], tf.float32)

    return run


def _weights(manifest: list[dict[str, Any]], data: bytes) -> dict[str, np.ndarray]:
    weights, offset = {}, 0
    for entry in (entry for group in manifest for entry in group["weights"]):
        stored = np.dtype(entry.get("quantization", entry)["dtype"])
        count = int(np.prod(entry["shape"]))
        values = np.frombuffer(data, stored, count, offset).reshape(entry["shape"])
        weights[entry["name"]] = values.astype(entry["dtype"])
        offset += count * stored.itemsize
    return weights


def _needed(nodes: list[dict[str, Any]], output: str) -> list[dict[str, Any]]:
    """Return the nodes that `output` depends on, in the file's own (topological) order."""
    by_name = {node["name"]: node for node in nodes}
    wanted, pending = set(), [output]
    while pending:
        name = pending.pop()
        if name not in wanted:
            wanted.add(name)
            pending += by_name[name].get("input", [])
    return [node for node in nodes if node["name"] in wanted]


_Step = tuple[Callable[..., tf.Tensor], list[str], str]


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


def _operator(node: dict[str, Any]) -> Callable[..., tf.Tensor]:
    simple = {
        "Add": tf.add,
        "Mul": tf.multiply,
        "Relu": tf.nn.relu,
        "Minimum": tf.minimum,
        "Maximum": tf.maximum,
        "Mean": tf.reduce_mean,
    }
    kind = node["op"]
    if kind in simple:
        return simple[kind]
    convolutions = {"Conv2D": tf.nn.conv2d, "DepthwiseConv2dNative": tf.nn.depthwise_conv2d}
    if kind in convolutions:
        strides = [int(stride) for stride in node["attr"]["strides"]["list"]["i"]]
        padding = _text(node["attr"]["padding"])
        return partial(convolutions[kind], strides=strides, padding=padding)
    raise ValueError(f"operator {kind} of node {node['name']!r} is not known")


def _text(attribute: dict[str, Any]) -> str:
    return base64.b64decode(attribute["s"]).decode("ascii")
