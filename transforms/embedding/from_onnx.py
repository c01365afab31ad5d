"""An ONNX file as a differentiable TensorFlow function.

TensorFlow does not read ONNX, and the runtimes that do offer no gradients. Convolutional
recognisers are chains of layers with sums of two branches. Most layers only scale and shift: these
are folded into the convolution before them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
import tensorflow as tf

from photoveil.transforms.embedding.layers import prelu
from photoveil.transforms.embedding.models import Precision

Layer = Callable[..., tf.Tensor]


def load_onnx(path: str, precision: Precision = "float32") -> Layer:
    """Load a model with one input and one output.

    Args:
        path: of the file.
        precision: the type that it computes in.

    Returns:
        A function from float32 (N, H, W, C) to float32 (N, D), any N. H, W and C are those of the
        file, whose own layout is (N, C, H, W).

    Raises:
        ValueError: the file uses an operator or a form of one that is not supported.
    """
    graph = onnx.load(path).graph
    constants = {array.name: onnx.numpy_helper.to_array(array) for array in graph.initializer}
    (entry,) = (given.name for given in graph.input if given.name not in constants)
    read = _Graph(entry, constants, Counter(name for node in graph.node for name in node.input))
    for node in graph.node:
        try:
            read.append(node)
        except KeyError as missing:  # an attribute that has a default in ONNX
            reason = f"{node.op_type} {node.name!r} does not say its {missing}"
            raise ValueError(reason) from missing
    steps = [(step.layer.compiled(precision), step.inputs, step.output) for step in read.steps]
    (exit_,) = (read.names[value.name] for value in graph.output)

    def run(images: tf.Tensor) -> tf.Tensor:
        values = {entry: tf.cast(images, precision)}
        for apply, inputs, output in steps:
            values[output] = apply(*(values[name] for name in inputs))
        embeddings = values[exit_]
        return tf.cast(tf.reshape(embeddings, (tf.shape(embeddings)[0], -1)), tf.float32)

    return run


@dataclass(frozen=True)
class _Scaling:
    """The layer values * scale + offset; scale and offset are float64 (C,) or ()."""

    scale: np.ndarray
    offset: np.ndarray

    def then(self, after: _Scaling) -> _Scaling:
        return _Scaling(self.scale * after.scale, self.offset * after.scale + after.offset)

    def compiled(self, precision: Precision) -> Layer:
        scale, offset = tf.constant(self.scale, precision), tf.constant(self.offset, precision)
        return lambda values: values * scale + offset


@dataclass(frozen=True)
class _Convolution:
    """A convolution with the scaling after it folded in.

    kernel: float64 (h, w, in, out) or, depthwise, (h, w, channels, 1). bias: float64 (out,).
    pads: pixels of zeros (above, below) and (left, right) of the image.
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
    """The layer `layers.prelu`; slope: float32 (C,)."""

    slope: np.ndarray

    def compiled(self, precision: Precision) -> Layer:
        slope = tf.constant(self.slope, precision)
        return lambda values: prelu(values, slope)


class _Sum:
    """The sum of two branches."""

    def compiled(self, precision: Precision) -> Layer:
        return tf.add


@dataclass
class _Step:
    layer: _Scaling | _Convolution | _Prelu | _Sum
    inputs: tuple[str, ...]
    output: str


class _Graph:
    """The steps of a file, in the order of its nodes.

    names: from the name of a value in the file to its name here. The two differ after a layer that
        changes nothing and so has no step.

    Args:
        entry: name of the input.
        constants: values of the weights, by name.
        uses: how many nodes take a value, by its name in the file.
    """

    def __init__(
        self, entry: str, constants: Mapping[str, np.ndarray], uses: Mapping[str, int]
    ) -> None:
        self.steps: list[_Step] = []
        self.names = {entry: entry}
        self._constants, self._uses = constants, uses
        self._shared: set[str] = set()  # values that more than one node takes

    def append(self, node: Any) -> None:
        """Add a step for a node, or fold it into the step before.

        Raises:
            ValueError: the operator, or this form of it, is not supported.
            KeyError: an attribute that is needed is left to its default.
        """
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        given = [self._constants[name] for name in node.input if name in self._constants]
        inputs = tuple(self.names[name] for name in node.input if name not in self._constants)
        output, kind = node.output[0], node.op_type
        self.names[output] = output
        self._shared |= {self.names[v] for v in node.input if self._uses[v] > 1 and v in self.names}
        if len(inputs) != (2 if kind == "Add" else 1):
            raise ValueError(f"{kind} {node.name!r} with {len(inputs)} inputs is not known")
        if kind == "Add":
            self.steps.append(_Step(_Sum(), inputs, output))
        elif kind in ("Sub", "Mul", "BatchNormalization"):
            self._scale(_scaling(kind, given, attributes), inputs[0], output)
        elif kind == "Conv":
            self.steps.append(_Step(_convolution(given, attributes), inputs, output))
        elif kind == "Gemm":
            layer = _dense(self._last_convolution(), given, attributes)
            self.steps.append(_Step(layer, inputs, output))
        elif kind == "PRelu":
            self.steps.append(_Step(_Prelu(given[0].reshape(-1)), inputs, output))
        elif kind in ("Dropout", "Flatten", "Reshape"):  # for training; what `run` does at the end
            self.names[output] = inputs[0]
        else:
            raise ValueError(f"operator {kind} of node {node.name!r} is not known")

    def _scale(self, scaling: _Scaling, name: str, output: str) -> None:
        """Scale a value: in the step that makes it, if nothing else takes it from there."""
        last = self.steps[-1] if self.steps else None
        if (
            last is not None
            and last.output == name
            and isinstance(last.layer, _Scaling | _Convolution)
            and name not in self._shared
        ):
            last.layer = last.layer.then(scaling)
            self.names[output] = name
        else:
            self.steps.append(_Step(scaling, (name,), output))

    def _last_convolution(self) -> _Convolution:
        layers = (step.layer for step in reversed(self.steps))
        return next(layer for layer in layers if isinstance(layer, _Convolution))


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
    last: _Convolution, given: list[np.ndarray], attributes: Mapping[str, Any]
) -> _Convolution:
    """Express a dense layer on flattened (C, side, side) as a convolution over the whole image.

    A matrix product over the batch would round differently at different places of the batch.

    Args:
        last: the convolution whose output has the C channels.
        given: weights (D, C * side * side) and bias (D,) of the layer.
        attributes: of the node.
    """
    if (attributes["alpha"], attributes["beta"]) != (1, 1) or not attributes["transB"]:
        raise ValueError("scaled and transposed matrix products are not known")
    weights, bias = (array.astype(np.float64) for array in given)
    channels = len(last.bias)
    side = math.isqrt(weights.shape[1] // channels)
    kernel = weights.reshape(len(weights), channels, side, side).transpose(2, 3, 1, 0)
    return _Convolution(kernel, bias, False, (1, 1), ((0, 0), (0, 0)))
