"""A TensorFlow Lite file as a differentiable TensorFlow function for any batch size.

The Lite interpreter has no gradients and fixes the batch size. The few operators that convolutional
recognisers use map one to one onto those of TensorFlow.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf
import tflite

from photoveil.transforms.embedding.layers import prelu
from photoveil.transforms.embedding.models import Precision

_DTYPES = {
    tflite.TensorType.FLOAT32: np.float32,
    tflite.TensorType.INT32: np.int32,
}


def load_tflite(path: str, precision: Precision = "float32") -> Callable[[tf.Tensor], tf.Tensor]:
    """Load the first subgraph of a float32 model with one input and one output.

    Args:
        path: of the file.
        precision: the type that it computes in.

    Returns:
        A function from float32 (N, H, W, C) to float32 (N, D), any N.

    Raises:
        ValueError: the file uses an operator, tensor type or fused activation that is not
            supported.
    """
    with open(path, "rb") as stream:
        model = tflite.Model.GetRootAsModel(stream.read(), 0)
    graph = model.Subgraphs(0)
    # Eager tensors are captured by tf.function as inputs; a constant made while tracing would be
    # copied into every compiled graph.
    constants = {
        index: tf.constant(values, precision if values.dtype == np.float32 else None)
        for index in range(graph.TensorsLength())
        if (values := _constant(model, graph.Tensors(index))) is not None
    }
    operators = map(graph.Operators, range(graph.OperatorsLength()))
    steps = _fuse_prelu([_step(model, operator, constants) for operator in operators])
    (entry,), (exit_,) = graph.InputsAsNumpy(), graph.OutputsAsNumpy()

    def run(images: tf.Tensor) -> tf.Tensor:
        values = dict(constants)
        values[entry] = tf.cast(images, precision)
        for apply, inputs, output in steps:
            values[output] = apply(*(values[index] for index in inputs))
        return tf.cast(values[exit_], tf.float32)

    return run


def _constant(model: tflite.Model, tensor: tflite.Tensor) -> np.ndarray | None:
    """Return the value of a constant tensor; None for one that is computed."""
    buffer = model.Buffers(tensor.Buffer())
    if not buffer.DataLength():
        return None
    if tensor.Type() not in _DTYPES:
        raise ValueError(f"tensor type {tensor.Type()} of {tensor.Name()!r} is not known")
    data = buffer.DataAsNumpy().tobytes()
    return np.frombuffer(data, _DTYPES[tensor.Type()]).reshape(tensor.ShapeAsNumpy())


_PRELU = [tf.nn.relu, tf.abs, tf.subtract, tf.multiply, tf.add]
_Step = tuple[Callable[..., tf.Tensor], list[int], int]


def _fuse_prelu(steps: list[_Step]) -> list[_Step]:
    """Replace relu(x) + k * (x - |x|), which the converter writes for a PReLU, by one PReLU."""
    fused: list[_Step] = []
    for step in steps:
        fused.append(step)
        if [apply for apply, _, _ in fused[-5:]] != _PRELU:
            continue
        inputs = [given for _, given, _ in fused[-5:]]
        outputs = [made for _, _, made in fused[-5:]]
        (x,), half = inputs[0], inputs[3][0]
        if inputs == [[x], [x], [x, outputs[1]], [half, outputs[2]], [outputs[0], outputs[3]]]:
            fused[-5:] = [(_prelu, [x, half], outputs[4])]
    return fused


def _prelu(values: tf.Tensor, half: tf.Tensor) -> tf.Tensor:
    return prelu(values, 2 * half)


_OPTIONS = {
    tflite.BuiltinOptions.AddOptions: tflite.AddOptions,
    tflite.BuiltinOptions.SubOptions: tflite.SubOptions,
    tflite.BuiltinOptions.MulOptions: tflite.MulOptions,
    tflite.BuiltinOptions.Conv2DOptions: tflite.Conv2DOptions,
    tflite.BuiltinOptions.DepthwiseConv2DOptions: tflite.DepthwiseConv2DOptions,
}


def _options(operator: tflite.Operator) -> Any:
    """Return the options of an operator, an object of a class in `_OPTIONS`; None without any."""
    kind = _OPTIONS.get(operator.BuiltinOptionsType())
    if kind is None:
        return None
    options, table = kind(), operator.BuiltinOptions()
    options.Init(table.Bytes, table.Pos)
    return options


def _step(model: tflite.Model, operator: tflite.Operator, constants: dict[int, tf.Tensor]) -> _Step:
    """Translate an operator.

    Returns:
        The function, the indices of the tensors that it takes, and the index of its output.

    Raises:
        ValueError: the operator or its fused activation is not supported.
    """
    code = model.OperatorCodes(operator.OpcodeIndex())
    kind = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
    options = _options(operator)
    inputs = [int(index) for index in operator.InputsAsNumpy()]
    output = int(operator.Outputs(0))
    kinds = tflite.BuiltinOperator
    if options is not None and options.FusedActivationFunction():
        raise ValueError(f"fused activation {options.FusedActivationFunction()} is not known")
    simple = {
        kinds.ADD: tf.add,
        kinds.SUB: tf.subtract,
        kinds.MUL: tf.multiply,
        kinds.ABS: tf.abs,
        kinds.RELU: tf.nn.relu,
    }
    if kind in simple:
        return simple[kind], inputs, output
    if kind in (kinds.CONV_2D, kinds.DEPTHWISE_CONV_2D):
        # Lite stores (out, h, w, in) and, depthwise, (1, h, w, channels).
        kernel = tf.transpose(constants[inputs[1]], (1, 2, 3, 0))
        convolve = tf.nn.conv2d if kind == kinds.CONV_2D else tf.nn.depthwise_conv2d
        return partial(_convolve, convolve, kernel, options), [inputs[0], inputs[2]], output
    if kind == kinds.RESHAPE:
        return _flatten, inputs[:1], output
    raise ValueError(f"operator {kind} is not known")


def _convolve(
    convolve: Callable[..., tf.Tensor],
    kernel: tf.Tensor,
    options: Any,
    images: tf.Tensor,
    bias: tf.Tensor,
) -> tf.Tensor:
    padding = "SAME" if options.Padding() == tflite.Padding.SAME else "VALID"
    strides = [1, options.StrideH(), options.StrideW(), 1]
    return convolve(images, kernel, strides, padding) + bias


def _flatten(values: tf.Tensor) -> tf.Tensor:
    # The file reshapes to its own fixed batch; what is meant is one row an image.
    return tf.reshape(values, (tf.shape(values)[0], -1))
