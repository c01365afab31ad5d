"""dlib's face recognition network as a differentiable TensorFlow function.

dlib offers no gradients to Python, and its file does not describe the network. The file holds the
layers one after the other, from the input on, each as a name, its parameters and its weights
(`dlib/dnn/layers.h`, `dlib/serialize.h`). The architecture, ResNet-29, is that of dlib's example
`dnn_face_recognition_ex.cpp`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from photoveil.transforms.embedding.models import Precision

_CONVOLUTION, _AFFINE, _DENSE = b"\x01\x05con_4", b"\x01\x07affine_", b"\x01\x04fc_2"
_TENSOR_VERSION = 2
_MEAN = (122.782, 117.001, 104.298)  # RGB; of input_rgb_image_sized, which then divides by 256


def load_dlib(path: str, precision: Precision = "float32") -> Callable[[tf.Tensor], tf.Tensor]:
    """Load `dlib_face_recognition_resnet_model_v1.dat`.

    Args:
        path: of the file.
        precision: the type that it computes in.

    Returns:
        A function from float32 (N, 150, 150, 3) RGB chips in 0..255 to float32 (N, 128) face
        descriptors, not normalised.

    Raises:
        ValueError: the file does not hold the layers of that network.
    """
    with open(path, "rb") as stream:
        *layers, dense = _layers(stream.read())
    if len(layers) % 2 == 0:  # one at the start, and two a block
        raise ValueError(f"a network with {len(layers)} convolutions is not ResNet-29")
    stem = layers.pop(0).compiled(precision)
    blocks = [
        (before.compiled(precision), after.compiled(precision), before.strides != (1, 1))
        for before, after in zip(layers[::2], layers[1::2], strict=True)
    ]
    project = dense.compiled(precision)
    mean = tf.constant(_MEAN)

    def run(chips: tf.Tensor) -> tf.Tensor:
        values = tf.nn.relu(stem(tf.cast((chips - mean) / 256.0, precision)))
        values = tf.nn.max_pool2d(values, 3, 2, "VALID")
        for before, after, halves in blocks:
            residual = after(tf.nn.relu(before(values)))
            if halves:
                values = tf.nn.avg_pool2d(values, 2, 2, "VALID")
            values = tf.nn.relu(_add(values, residual))
        pooled = tf.reduce_mean(values, (1, 2), keepdims=True)
        return tf.cast(project(pooled)[:, 0, 0], tf.float32)

    return run


def _add(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """Add values of different height, width or depth; the smaller is padded with zeros."""
    shape = [max(sides) for sides in zip(first.shape[1:], second.shape[1:], strict=True)]

    def filled(values: tf.Tensor) -> tf.Tensor:
        missing = (most - side for most, side in zip(shape, values.shape[1:], strict=True))
        return tf.pad(values, [(0, 0), *((0, count) for count in missing)])

    return filled(first) + filled(second)


@dataclass(frozen=True)
class _Convolution:
    """A convolution with the affine layer after it folded in.

    kernel: float32 (h, w, in, out). bias: float32 (out,).
    """

    kernel: np.ndarray
    bias: np.ndarray
    strides: tuple[int, int]

    def compiled(self, precision: Precision) -> Callable[[tf.Tensor], tf.Tensor]:
        # Eager tensors are captured by tf.function as inputs instead of copied into each graph.
        kernel, bias = tf.constant(self.kernel, precision), tf.constant(self.bias, precision)
        padding = "SAME" if self.strides == (1, 1) else "VALID"
        return lambda values: tf.nn.bias_add(
            tf.nn.conv2d(values, kernel, self.strides, padding), bias
        )


def _layers(data: bytes) -> Iterator[_Convolution]:
    """Yield the convolutions with their affine layers folded in, then the last, dense layer."""
    reader = _Reader(data)
    while reader.skip_to(_CONVOLUTION):
        weights = reader.tensor()
        outputs, height, width, *strides = (reader.integer() for _ in range(5))
        kernel = weights[:-outputs].reshape(outputs, -1, height, width).transpose(2, 3, 1, 0)
        if not reader.skip_to(_AFFINE):
            raise ValueError("an affine layer is missing after a convolution")
        scale, offset = np.split(reader.tensor(), 2)
        bias = weights[-outputs:] * scale + offset
        yield _Convolution(kernel * scale, bias, (strides[0], strides[1]))
    if not reader.skip_to(_DENSE):
        raise ValueError("the dense layer is missing")
    outputs, inputs = reader.integer(), reader.integer()
    weights = reader.tensor().reshape(1, 1, inputs, outputs)
    yield _Convolution(weights, np.zeros(outputs, np.float32), (1, 1))


class _Reader:
    """Reads what `dlib::serialize` wrote."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def skip_to(self, name: bytes) -> bool:
        """Go behind the next serialised string `name`.

        Returns:
            False, without moving, if there is none.
        """
        found = self._data.find(name, self._position)
        if found >= 0:
            self._position = found + len(name)
        return found >= 0

    def integer(self) -> int:
        """Read an integer of 0 or more: the count of its bytes, then these in little-endian order.

        Raises:
            ValueError: no integer begins here.
        """
        start = self._position + 1
        count = self._data[start - 1] if start <= len(self._data) else 0
        if not 1 <= count <= 8:
            raise ValueError(f"no integer begins at byte {start - 1}")
        self._position = start + count
        return int.from_bytes(self._data[start : self._position], "little")

    def tensor(self) -> np.ndarray:
        """Read a tensor, stored as version, four sides and values.

        Returns:
            The values, float32 (n,).

        Raises:
            ValueError: the version is not supported.
        """
        version = self.integer()
        if version != _TENSOR_VERSION:
            raise ValueError(f"tensors of version {version} are not known")
        count = math.prod(self.integer() for _ in range(4))
        values = np.frombuffer(self._data, "<f4", count, self._position)
        self._position += 4 * count
        return values
