"""Surrogates: recognisers whose gradients the optimiser may use.

To add one, write a loader and enter its name in `models.ASSETS` and in `SURROGATES`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf

from photoveil.transforms.embedding.from_dlib import load_dlib
from photoveil.transforms.embedding.from_frozen import load_frozen
from photoveil.transforms.embedding.from_onnx import load_onnx
from photoveil.transforms.embedding.from_tfjs import load_tfjs
from photoveil.transforms.embedding.from_tflite import load_tflite
from photoveil.transforms.embedding.models import ASSETS, WHO_SIZE, Precision
from photoveil.transforms.embedding.normalize import unit_length
from photoveil.transforms.io import assets
from photoveil.transforms.records import CROP_SIZE

FACENET_EMBEDDING = "InceptionResnetV1/Bottleneck/BatchNorm/Reshape_1"
"""The node of FaceNet's graph with the embeddings, float32 (N, 1, 1, 512) of any length."""


@dataclass(frozen=True)
class Surrogate:
    """A differentiable recogniser.

    length: D, the dimensions of its embeddings.
    embed: a function from aligned crops, float32 (N, S, S, 3) RGB in 0..255, any S, to embeddings,
        float32 (N, D) of unit length.
    """

    name: str
    length: int
    embed: Callable[[tf.Tensor], tf.Tensor]


def load_mobilefacenet(path: str, *, precision: Precision) -> Surrogate:
    """Load MobileFaceNet (Chen et al. 2018, arXiv:1804.07573), trained with ArcFace loss; 192-d."""
    network = load_tflite(path, precision)

    def embed(crops: tf.Tensor) -> tf.Tensor:
        return unit_length(network((_resized(crops, 112) - 127.5) / 128.0))

    return Surrogate("mobilefacenet", WHO_SIZE, embed)


def load_faceres(json_path: str, bin_path: str, *, precision: Precision) -> Surrogate:
    """Load faceres, a MobileNetV1 (arXiv:1704.04861) of A. Savchenko, on VGGFace2; 1024-d."""
    network = load_tfjs(json_path, bin_path, "global_pooling/Mean", precision)
    mean_bgr = tf.constant([103.939, 116.779, 123.68])

    def embed(crops: tf.Tensor) -> tf.Tensor:
        return unit_length(network(_resized(crops, 224)[..., ::-1] - mean_bgr))

    return Surrogate("faceres", 1024, embed)


def load_sface(path: str, *, precision: Precision) -> Surrogate:
    """Load SFace (Zhong et al. 2021, arXiv:2205.12010), OpenCV's MobileNetV1; 128-d."""
    network = load_onnx(path, precision)

    def embed(crops: tf.Tensor) -> tf.Tensor:
        return unit_length(network(_resized(crops, 112)))

    return Surrogate("sface", 128, embed)


def load_faceplugin(path: str, *, precision: Precision) -> Surrogate:
    """Load Faceplugin's recogniser, a MobileFaceNet whose training is not published; 512-d."""
    network = load_onnx(path, precision)

    def embed(crops: tf.Tensor) -> tf.Tensor:
        return unit_length(network((_resized(crops, 112) - 127.0) / 128.0))

    return Surrogate("faceplugin", 512, embed)


def load_facenet(path: str, *, precision: Precision) -> Surrogate:
    """Load FaceNet (Schroff et al. 2015, arXiv:1503.03832), Inception-ResNet-v1 of 2018; 512-d."""
    network = load_frozen(path, FACENET_EMBEDDING, precision)

    def embed(crops: tf.Tensor) -> tf.Tensor:
        levels = (_framed(crops, _FACENET_FRAME, 160) - 127.5) / 128.0
        return unit_length(network(levels)[:, 0, 0])

    return Surrogate("facenet", 512, embed)


def load_resnet29(path: str, *, precision: Precision) -> Surrogate:
    """Load dlib's ResNet-29 (King 2017), trained with a metric loss; 128-d."""
    network = load_dlib(path, precision)

    def embed(crops: tf.Tensor) -> tf.Tensor:
        return unit_length(network(_framed(crops, _DLIB_FRAME, 150)))

    return Surrogate("dlib", 128, embed)


# The part of a face that the alignments of these networks cut out, as (left, top, right, bottom) in
# the 112 px crop: medians over 111 photos of labelled people. FaceNet's is the detector's box with
# a margin, stretched to a square; dlib's is that of `get_face_chip` with a quarter of padding.
_FACENET_FRAME = (8, -4, 105, 133)
_DLIB_FRAME = (6, 22, 107, 123)

SURROGATES: dict[str, tuple[tuple[str, ...], Callable[..., Surrogate]]] = {
    "mobilefacenet": (ASSETS["mobilefacenet"], load_mobilefacenet),
    "faceres": (ASSETS["faceres"], load_faceres),
    "sface": (ASSETS["sface"], load_sface),
    "faceplugin": (ASSETS["faceplugin"], load_faceplugin),
    "facenet": (ASSETS["facenet"], load_facenet),
    "dlib": (ASSETS["dlib"], load_resnet29),
}
"""By name: the assets of a surrogate, and the function that loads it from their local paths."""


def load_surrogate(name: str, precision: Precision = "float32") -> Surrogate:
    """Load a surrogate, and fetch its assets if necessary.

    Args:
        name: a key of `SURROGATES`.
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


def _framed(crops: tf.Tensor, frame: tuple[int, int, int, int], size: int) -> tf.Tensor:
    """Cut another frame out of crops and resize it.

    Args:
        crops: float32 (N, S, S, 3).
        frame: left, top, right and bottom for a crop of 112 pixels; black outside the crop.
        size: side of the result in pixels.

    Returns:
        float32 (N, size, size, 3).
    """
    side = crops.shape[1]
    left, top, right, bottom = (round(edge * side / CROP_SIZE) for edge in frame)
    outside = ((max(0, -top), max(0, bottom - side)), (max(0, -left), max(0, right - side)))
    filled = tf.pad(crops, ((0, 0), *outside, (0, 0)))
    shown = tf.image.crop_to_bounding_box(
        filled, max(0, top), max(0, left), bottom - top, right - left
    )
    return tf.image.resize(shown, (size, size), tf.image.ResizeMethod.BILINEAR)
