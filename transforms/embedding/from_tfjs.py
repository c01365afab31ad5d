"""A TensorFlow.js graph model as a differentiable TensorFlow function."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from photoveil.transforms.embedding.graph import Node, compile_graph
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
        constants = _weights(model["weightsManifest"], binary.read())
    nodes = [_node(node) for node in model["modelTopology"]["node"]]
    return compile_graph(nodes, constants, output, precision)


def _weights(manifest: list[dict[str, Any]], data: bytes) -> dict[str, np.ndarray]:
    weights, offset = {}, 0
    for entry in (entry for group in manifest for entry in group["weights"]):
        stored = np.dtype(entry.get("quantization", entry)["dtype"])
        count = int(np.prod(entry["shape"]))
        values = np.frombuffer(data, stored, count, offset).reshape(entry["shape"])
        weights[entry["name"]] = values.astype(entry["dtype"])
        offset += count * stored.itemsize
    return weights


def _node(node: dict[str, Any]) -> Node:
    attributes = node.get("attr", {})
    options: dict[str, Any] = {}
    if "strides" in attributes:
        options["strides"] = [int(stride) for stride in attributes["strides"]["list"]["i"]]
        options["padding"] = base64.b64decode(attributes["padding"]["s"]).decode("ascii")
    return Node(node["op"], node["name"], tuple(node.get("input", ())), options)
