"""Face detection: from a photo to its faces.

`pyramid` handles sizes and tiles, `turns` faces on their side. This module holds the detectors
themselves and the result.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np

from photoveil.transforms import spare_memory
from photoveil.transforms.extras import install_command
from photoveil.transforms.faces import turns
from photoveil.transforms.faces.anchors import rows_of
from photoveil.transforms.faces.folding import fold
from photoveil.transforms.faces.parameters import DetectorParameters
from photoveil.transforms.faces.rows import COLUMNS, SCORE, Detector
from photoveil.transforms.io.assets import AssetError
from photoveil.transforms.records import Face

__all__ = ["Detector", "Face", "detect_faces", "load_retinaface", "load_retinaface_resnet50"]

_STRIDE = 32  # the coarsest feature map of RetinaFace; sides must be multiples of it
_LEAST_SCORE = 0.02  # of the rows that a detector gives
# What RetinaFace's graph computes of each anchor: box, landmarks, and scores of no face and a face.
_HEADS = [
    f"RetinaFaceModel/{name}:0"
    for name in ("tf_op_layer_concat/concat", "tf_op_layer_concat_1/concat_1", "softmax/Softmax")
]
_MAX_OVERLAP = 0.4  # of two boxes of one pass, as in the graph


def detect_faces(
    pixels: np.ndarray,
    detector: Detector,
    parameters: DetectorParameters,
    also: Sequence[int] = (),
) -> list[Face]:
    """Detect the faces in an upright photo, best score first, tiny ones included.

    Args:
        pixels: uint8 (H, W, 3) RGB.
        detector: from `load_retinaface` or `load_retinaface_resnet50`.
        parameters: levels, turns and thresholds of the search.
        also: quarter turns anticlockwise at which the photo may be upright instead.
    """
    return [_face(row) for row in turns.find(pixels, detector, parameters, also)]


def _face(row: np.ndarray) -> Face:
    values = [float(value) for value in row]
    left, top, right, bottom = values[:4]
    points = tuple((values[i], values[i + 1]) for i in range(4, 14, 2))
    return Face((left, top, right, bottom), points, values[SCORE])


@cache
def load_retinaface(path: str) -> Detector:
    """Load the frozen MobileNetV2 graph of the PyPI package `retinaface`, one image per call.

    The graph takes RGB in 0..255 with sides a multiple of 32. Of it only the network is run: the
    rest has a threshold of its own, of 0.5, which would leave out small faces at the limit of the
    detector, and decodes every anchor before that.
    """
    import tensorflow as tf

    graph_def = tf.compat.v1.GraphDef()
    with open(path, "rb") as stream:
        graph_def.ParseFromString(stream.read())
    fold(graph_def)
    spare_memory.reserve_for_tensors()
    wrapped = tf.compat.v1.wrap_function(
        lambda: tf.compat.v1.import_graph_def(graph_def, name=""), []
    )
    heads = wrapped.prune("x:0", _HEADS)
    network = tf.function(
        lambda pixels: heads(tf.cast(pixels, tf.float32)),
        input_signature=[tf.TensorSpec((1, None, None, 3), tf.uint8)],
        autograph=False,
    )

    def detect(pixels: np.ndarray) -> np.ndarray:
        height, width = pixels.shape[:2]
        padding = [(0, 0), (0, -height % _STRIDE), (0, -width % _STRIDE), (0, 0)]
        padded = np.pad(pixels[np.newaxis], padding)
        boxes, landmarks, scores = (head.numpy()[0] for head in network(tf.constant(padded)))
        chosen = np.flatnonzero(scores[:, 1] >= _LEAST_SCORE)
        rows = rows_of(chosen, padded.shape[1:3], boxes, landmarks, scores[:, 1])
        kept = tf.image.non_max_suppression(rows[:, :4], rows[:, SCORE], len(rows), _MAX_OVERLAP)
        return rows[kept.numpy()]

    return detect


@cache
def load_retinaface_resnet50() -> Detector:
    """Load the ResNet-50 of the PyPI package `retina-face`.

    The package downloads its weights at first use. It is slower and a little more accurate than the
    default.

    Raises:
        ModuleNotFoundError: the optional package is not installed; the message says how to install
            it.
        transforms.io.assets.AssetError: its weights could not be downloaded.
    """
    try:
        # The package is written for Keras 2, and asks for it by an environment variable that
        # TensorFlow reads only when first imported: too late here.
        for name in ("", ".models", ".layers"):
            sys.modules["tensorflow.keras" + name] = import_module("tf_keras" + name)
        from retinaface import RetinaFace
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "the detector retinaface-resnet50 needs an optional package: "
            + install_command("retina-face")
        ) from error
    try:
        model = RetinaFace.build_model()
    except ValueError as error:
        raise AssetError(str(error)) from error

    def detect(pixels: np.ndarray) -> np.ndarray:
        found = RetinaFace.detect_faces(
            pixels[..., ::-1], threshold=_LEAST_SCORE, model=model, allow_upscaling=False
        )
        return np.array([_resnet50_row(face) for face in found.values()], np.float32).reshape(
            -1, COLUMNS
        )

    return detect


def _resnet50_row(face: Mapping[str, Any]) -> list[float]:
    # `retina-face` names landmarks by the person's own left and right; ours go by the picture.
    marks = face["landmarks"]
    order = ("right_eye", "left_eye", "nose", "mouth_right", "mouth_left")
    return [
        *face["facial_area"],
        *(value for name in order for value in marks[name]),
        face["score"],
    ]
