"""Surrogates: recognisers whose gradients the optimiser may use.

To add one, write a loader and enter its name in `models.ASSETS` and in `SURROGATES`. The held-out
recognisers that measure protection are never listed here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf

from photoveil.transforms.embedding.from_onnx import load_onnx
from photoveil.transforms.embedding.from_tfjs import load_tfjs
from photoveil.transforms.embedding.from_tflite import load_tflite
from photoveil.transforms.embedding.models import ASSETS, Precision
from photoveil.transforms.embedding.normalize import unit_length
from photoveil.transforms.io import assets


@dataclass(frozen=True)
class Surrogate:
    """A differentiable recogniser.

    embed: from float32 (N, S, S, 3) RGB aligned crops in 0..255, any S, to float32 (N, D)
        embeddings of unit length.
    """

    name: str
    embed: Callable[[tf.Tensor], tf.Tensor]


def load_mobilefacenet(path: str, *, precision: Precision) -> Surrogate:
    """MobileFaceNet (Chen et al. 2018, arXiv:1804.07573) trained with the ArcFace loss; 192-d."""
    network = load_tflite(path, precision)

    def embed(crops: tf.Tensor) -> tf.Tensor:
        return unit_length(network((_resized(crops, 112) - 127.5) / 128.0))

    return Surrogate("mobilefacenet", embed)


def load_faceres(json_path: str, bin_path: str, *, precision: Precision) -> Surrogate:
    """faceres: MobileNetV1 (arXiv:1704.04861) trained on VGGFace2 by A. Savchenko; 1024-d."""
    network = load_tfjs(json_path, bin_path, "global_pooling/Mean", precision)
    mean_bgr = tf.constant([103.939, 116.779, 123.68])

    def embed(crops: tf.Tensor) -> tf.Tensor:
        return unit_length(network(_resized(crops, 224)[..., ::-1] - mean_bgr))

    return Surrogate("faceres", embed)


def load_sface(path: str, *, precision: Precision) -> Surrogate:
    """SFace (Zhong et al. 2021, arXiv:2205.12010) of OpenCV's model zoo, a MobileNetV1; 128-d."""
    network = load_onnx(path, precision)

    def embed(crops: tf.Tensor) -> tf.Tensor:
        return unit_length(network(_resized(crops, 112)))

    return Surrogate("sface", embed)


# Name -> the assets a surrogate is made of, and what makes it of their local paths.
SURROGATES: dict[str, tuple[tuple[str, ...], Callable[..., Surrogate]]] = {
    "mobilefacenet": (ASSETS["mobilefacenet"], load_mobilefacenet),
    "faceres": (ASSETS["faceres"], load_faceres),
    "sface": (ASSETS["sface"], load_sface),
}


def load_surrogate(name: str, precision: Precision = "float32") -> Surrogate:
    """Load the surrogate of that name, and fetch its assets if necessary.

    Args:
        precision: the type that its network computes in.

    Raises:
        KeyError: no surrogate has that name.
        transforms.io.assets.AssetError: its files cannot be fetched.
    """
    asset_names, load = SURROGATES[name]
    return load(*(str(assets.fetch(asset)) for asset in asset_names), precision=precision)


def _resized(crops: tf.Tensor, size: int) -> tf.Tensor:
    if crops.shape[1] == size:
        return crops
    return tf.image.resize(crops, (size, size), tf.image.ResizeMethod.BILINEAR)
