"""FaceNet (Schroff et al., CVPR 2015, arXiv:1503.03832): Inception-ResNet-v1 by D. Sandberg; 512-d.

The crop is that of its `align_dataset_mtcnn.py`: the detector's box with a margin of 32 in 160
pixels, stretched to a square, not rotated upright. Levels are scaled by a constant, which the 2018
models were trained with: (x - 127.5) / 128.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from PIL import Image

from photoveil.transforms.embedding.from_frozen import load_frozen
from photoveil.transforms.embedding.surrogates import FACENET_EMBEDDING
from photoveil.transforms.io import assets
from photoveil.transforms.recognisers.recogniser import (
    Recogniser,
    SeenPhoto,
    euclidean_distance,
    unit,
)

_SIZE = 160
_MARGIN = 32
_BATCH = 16  # faces; one compiled shape


def load() -> Recogniser:
    """Load the recogniser.

    Raises:
        transforms.io.assets.AssetError: its file cannot be fetched.
    """
    frozen = load_frozen(str(assets.fetch("facenet.pb")), FACENET_EMBEDDING)
    network = tf.function(frozen, autograph=False)

    def embed(crops: np.ndarray) -> np.ndarray:
        parts = []
        for start in range(0, len(crops), _BATCH):
            batch = crops[start : start + _BATCH]
            filled = np.pad(batch, [(0, _BATCH - len(batch)), *[(0, 0)] * 3], "edge")
            levels = (tf.constant(filled, tf.float32) - 127.5) / 128.0
            parts.append(network(levels).numpy()[: len(batch), 0, 0])
        return unit(np.concatenate(parts))

    return Recogniser(
        name="facenet",
        about="FaceNet, Inception-ResNet-v1 of 2018",
        dimension=512,
        threshold=1.1**0.5,  # the paper's distances are squared
        threshold_source="the FaceNet paper, figure 1",
        distance=euclidean_distance,
        align=_align,
        embed=embed,
    )


def _align(photo: SeenPhoto) -> np.ndarray | None:
    if photo.largest is None:
        return None
    height, width = photo.pixels.shape[:2]
    left, top, right, bottom = photo.largest.box
    grow = _MARGIN / (_SIZE - _MARGIN) / 2
    across, down = grow * (right - left), grow * (bottom - top)
    box = (
        max(0.0, left - across),
        max(0.0, top - down),
        min(float(width), right + across),
        min(float(height), bottom + down),
    )
    if box[2] - box[0] < 1 or box[3] - box[1] < 1:
        return None
    image = Image.fromarray(photo.pixels)
    return np.asarray(image.resize((_SIZE, _SIZE), Image.Resampling.BILINEAR, box))
