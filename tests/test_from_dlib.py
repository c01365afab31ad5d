"""dlib's serialised networks, written here as dlib writes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from scipy.signal import correlate

from photoveil.transforms.embedding.from_dlib import load_dlib

RNG = np.random.default_rng(3)
MEAN = (122.782, 117.001, 104.298)


def integer(value: int) -> bytes:
    length = max(1, (value.bit_length() + 7) // 8)
    return bytes([length]) + value.to_bytes(length, "little")


def name(text: str) -> bytes:
    return integer(len(text)) + text.encode()


def tensor(values: np.ndarray, *sides: int) -> bytes:
    return b"".join(map(integer, (2, *sides))) + values.astype("<f4").tobytes()


class Convolution:
    """A convolution with its affine layer: parameters, the bytes in a file, and the result."""

    def __init__(self, inputs: int, outputs: int, side: int, stride: int) -> None:
        self.stride = stride
        self.kernel = RNG.normal(0, 0.3, (outputs, inputs, side, side))
        self.bias, self.scale, self.offset = RNG.normal(size=(3, outputs))

    def written(self) -> bytes:
        outputs, _, side, _ = self.kernel.shape
        values = np.concatenate([self.kernel.reshape(-1), self.bias])
        numbers = (outputs, side, side, self.stride, self.stride)
        affine = np.concatenate([self.scale, self.offset])
        return (
            name("con_4")
            + tensor(values, len(values), 1, 1, 1)
            + b"".join(map(integer, numbers))
            + name("affine_")
            + tensor(affine, len(affine), 1, 1, 1)
        )

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """(in, H, W) to (out, H', W'): centred at stride 1, inside the image otherwise."""
        pad = self.kernel.shape[2] // 2 if self.stride == 1 else 0
        image = np.pad(image, [(0, 0), (pad, pad), (pad, pad)])
        sums = np.stack([correlate(image, kernel, "valid")[0] for kernel in self.kernel])
        values = sums[:, :: self.stride, :: self.stride] + self.bias[:, None, None]
        return values * self.scale[:, None, None] + self.offset[:, None, None]


def pooled(image: np.ndarray, side: int, how: str) -> np.ndarray:
    windows = np.lib.stride_tricks.sliding_window_view(image, (side, side), (1, 2))[:, ::2, ::2]
    return getattr(windows, how)(axis=(3, 4))


def added(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    shape = np.maximum(first.shape, second.shape)

    def filled(part: np.ndarray) -> np.ndarray:
        missing = shape - part.shape
        return np.pad(part, [(0, int(count)) for count in missing])

    return filled(first) + filled(second)


def test_a_network_of_a_stem_and_two_blocks(tmp_path: Path) -> None:
    stem = Convolution(3, 4, 7, 2)
    keeps = (Convolution(4, 4, 3, 1), Convolution(4, 4, 3, 1))
    halves = (Convolution(4, 6, 3, 2), Convolution(6, 6, 3, 1))
    dense = RNG.normal(size=(6, 5))
    written = b"".join(layer.written() for layer in (stem, *keeps, *halves))
    written += name("fc_2") + integer(5) + integer(6) + tensor(dense, 6, 5, 1, 1)
    (tmp_path / "made.dat").write_bytes(name("loss_metric_2") + written)

    image = RNG.integers(0, 256, (33, 33, 3))
    values = (image - MEAN).transpose(2, 0, 1) / 256
    values = pooled(np.maximum(stem(values), 0), 3, "max")
    for before, after in (keeps, halves):
        residual = after(np.maximum(before(values), 0))
        if before.stride == 2:
            values = pooled(values, 2, "mean")
            assert values.shape != residual.shape
        values = np.maximum(added(values, residual), 0)
    expected = values.mean(axis=(1, 2)) @ dense

    network = load_dlib(str(tmp_path / "made.dat"))
    found = network(tf.constant(image[np.newaxis], tf.float32)).numpy()
    assert found.shape == (1, 5)
    assert found[0] == pytest.approx(expected, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        (b"not dlib's", "the dense layer is missing"),
        (name("con_4") + integer(3), "tensors of version 3 are not known"),
        (name("con_4") + b"\x00", "no integer begins at byte"),
        (
            name("con_4") + tensor(np.zeros(2), 2, 1, 1, 1) + b"".join(map(integer, [1] * 5)),
            "an affine layer is missing",
        ),
        (name("fc_2") + integer(1) * 2 + tensor(np.zeros(1), 1, 1, 1, 1), "is not ResNet-29"),
    ],
)
def test_a_file_of_another_kind_is_refused(written: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / "made.dat").write_bytes(written)
    with pytest.raises(ValueError, match=reason):
        load_dlib(str(tmp_path / "made.dat"))
