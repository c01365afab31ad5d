"""An ONNX file as a differentiable TensorFlow function.

TensorFlow reads no ONNX, and runtimes that do have no gradients. Convolutional recognisers are one
chain of layers, most of which scale and shift: these are folded into the convolution before them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
import tensorflow as tf

from photoveil.transforms.embedding.layers import prelu
from photoveil.transforms.embedding.models import Precision

Layer = Callable[[tf.Tensor], tf.Tensor]


def load_onnx(path: str, precision: Precision = "float32") -> Layer:
    """Load the single chain of layers from a model's input to its output.

    Args:
        precision: the type that it computes in.

    Returns:
        A function from float32 (N, H, W, C) to float32 (N, D), any N. H, W, C are the file's own,
        which stores them as (N, C, H, W).

    Raises:
        ValueError: the file has branches, or uses an operator or a form of one that is not
            supported.
    """
    graph = onnx.load(path).graph
    constants = {array.name: onnx.numpy_helper.to_array(array) for array in graph.initializer}
    (value,) = (entry.name for entry in graph.input if entry.name not in constants)
    layers: list[_Scaling | _Convolution | _Prelu] = []
    for node in graph.node:
        if node.input[0] != value or any(name not in constants for name in node.input[1:]):
            raise ValueError(f"{node.op_type} {node.name!r} is not next in the chain")
        try:
            _append(layers, node, constants)
        except KeyError as missing:  # what ONNX would fill in
            reason = f"{node.op_type} {node.name!r} does not say its {missing}"
            raise ValueError(reason) from missing
        value = node.output[0]
    compiled = [layer.compiled(precision) for layer in layers]

    def run(images: tf.Tensor) -> tf.Tensor:
        values = tf.cast(images, precision)
        for layer in compiled:
            values = layer(values)
        return tf.cast(tf.reshape(values, (tf.shape(values)[0], -1)), tf.float32)

    return run


@dataclass(frozen=True)
class _Scaling:
    """float64 (C,) or (): values * scale + offset."""

    scale: np.ndarray
    offset: np.ndarray

    def then(self, after: _Scaling) -> _Scaling:
        return _Scaling(self.scale * after.scale, self.offset * after.scale + after.offset)

    def compiled(self, precision: Precision) -> Layer:
        scale, offset = tf.constant(self.scale, precision), tf.constant(self.offset, precision)
        return lambda values: values * scale + offset


@dataclass(frozen=True)
class _Convolution:
    """kernel: float64 (h, w, in, out) or, depthwise, (h, w, channels, 1). bias: float64 (out,).

    pads: pixels of zeros before and after (height, width).
    """

    kernel: np.ndarray
    bias: np.ndarray
    depthwise: bool
    strides: tuple[int, int]
    pads: tuple[tuple[int, int], tuple[int, int]]

    def then(self, after: _Scaling) -> _Convolution:
        scale = after.scale[:, np.newaxis] if self.depthwise else after.scale
        bias = self.bias * after.scale + after.offset
        return replace(self, kernel=self.kernel * scale, bias=bias)

    def compiled(self, precision: Precision) -> Layer:
        # Eager tensors are captured by tf.function as inputs instead of copied into each graph.
        kernel, bias = tf.constant(self.kernel, precision), tf.constant(self.bias, precision)
        convolve = tf.nn.depthwise_conv2d if self.depthwise else tf.nn.conv2d
        strides = (1, *self.strides, 1)
        height, width = self.kernel.shape[:2]
        centred = ((height // 2, height // 2), (width // 2, width // 2))
        if self.strides == (1, 1) and self.pads == centred:
            return lambda values: convolve(values, kernel, strides, "SAME") + bias
        # At larger strides TensorFlow's SAME puts the odd pixel of padding at the other end.
        pads = ((0, 0), *self.pads, (0, 0))
        return lambda values: convolve(tf.pad(values, pads), kernel, strides, "VALID") + bias


@dataclass(frozen=True)
class _Prelu:
    """slope: float32 (C,), of what is below 0."""

    slope: np.ndarray

    def compiled(self, precision: Precision) -> Layer:
        slope = tf.constant(self.slope, precision)
        return lambda values: prelu(values, slope)


def _append(layers: list[Any], node: Any, constants: Mapping[str, np.ndarray]) -> None:
    """Add the effect of a node to the layers before it."""
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    given = [constants[name] for name in node.input[1:]]
    kind = node.op_type
    if kind in ("Sub", "Mul", "BatchNormalization"):
        scaling = _scaling(kind, given, attributes)
        if layers and not isinstance(layers[-1], _Prelu):
            layers[-1] = layers[-1].then(scaling)
        else:
            layers.append(scaling)
    elif kind == "Conv":
        layers.append(_convolution(given, attributes))
    elif kind == "Gemm":
        layers.append(_dense(layers, given, attributes))
    elif kind == "PRelu":
        layers.append(_Prelu(given[0].reshape(-1)))
    elif kind not in ("Dropout", "Flatten"):  # the one is for training, the other in `_dense`
        raise ValueError(f"operator {kind} of node {node.name!r} is not known")


def _scaling(kind: str, given: list[np.ndarray], attributes: Mapping[str, Any]) -> _Scaling:
    values = [array.astype(np.float64).reshape(-1) for array in given]
    if kind == "Sub":
        return _Scaling(np.ones(1), -values[0])
    if kind == "Mul":
        return _Scaling(values[0], np.zeros(1))
    gamma, beta, mean, variance = values
    scale = gamma / np.sqrt(variance + attributes["epsilon"])
    return _Scaling(scale, beta - mean * scale)


def _convolution(given: list[np.ndarray], attributes: Mapping[str, Any]) -> _Convolution:
    kernel = given[0].astype(np.float64)
    depthwise = attributes["group"] > 1
    if attributes["dilations"] != [1, 1] or (depthwise and attributes["group"] != len(kernel)):
        raise ValueError("dilated and grouped convolutions are not known")
    bias = given[1].astype(np.float64) if len(given) > 1 else np.zeros(len(kernel))
    top, left, bottom, right = attributes["pads"]
    return _Convolution(
        kernel.transpose((2, 3, 0, 1) if depthwise else (2, 3, 1, 0)),  # from (out, in, h, w)
        bias,
        depthwise,
        tuple(attributes["strides"]),
        ((top, bottom), (left, right)),
    )


def _dense(
    layers: list[Any], given: list[np.ndarray], attributes: Mapping[str, Any]
) -> _Convolution:
    """Express a dense layer on flattened (C, side, side) as a convolution over the whole image.

    A matrix product over the batch would round differently at different places of the batch.
    """
    if (attributes["alpha"], attributes["beta"]) != (1, 1) or not attributes["transB"]:
        raise ValueError("scaled and transposed matrix products are not known")
    weights, bias = (array.astype(np.float64) for array in given)
    last = next(layer for layer in reversed(layers) if isinstance(layer, _Convolution))
    channels = len(last.bias)
    side = math.isqrt(weights.shape[1] // channels)
    kernel = weights.reshape(len(weights), channels, side, side).transpose(2, 3, 1, 0)
    return _Convolution(kernel, bias, False, (1, 1), ((0, 0), (0, 0)))
