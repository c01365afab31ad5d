"""A surrogate as a recogniser, on the crops that the optimiser works on."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from photoveil.transforms.embedding.surrogates import load_surrogate
from photoveil.transforms.faces.align import crop_face, face_to_crop
from photoveil.transforms.recognisers.recogniser import Recogniser, SeenPhoto, cosine_distance
from photoveil.transforms.records import CROP_SIZE

# Cosine distance up to which the publisher of a network takes two faces for one person, and where
# it was published.
_PUBLISHED = {
    # The code asks that 0.8 of the thresholds 0.01, 0.02 .. 4.00 be above the squared distance. It
    # is then at most 0.8, which is a cosine distance of 0.4.
    "mobilefacenet": (0.4, "MobileFaceNet.java, in the repository the weights come from"),
    "sface": (0.637, "sface.py, in the repository the weights come from"),
}

_BATCH = 16  # faces; one compiled shape
_CROPS = tf.TensorSpec((_BATCH, CROP_SIZE, CROP_SIZE, 3), tf.float32)


def load(name: str) -> Recogniser:
    """Load a surrogate as a recogniser.

    Raises:
        KeyError: no surrogate has that name.
        transforms.io.assets.AssetError: its files cannot be fetched.
    """
    network = load_surrogate(name)
    compiled = tf.function(network.embed, autograph=False)

    def embed(crops: np.ndarray) -> np.ndarray:
        parts = []
        for start in range(0, len(crops), _BATCH):
            batch = crops[start : start + _BATCH]
            filled = np.pad(batch, [(0, _BATCH - len(batch)), *[(0, 0)] * 3], "edge")
            parts.append(compiled(tf.constant(filled, tf.float32)).numpy()[: len(batch)])
        return np.concatenate(parts)

    threshold, source = _PUBLISHED.get(name, (None, None))
    return Recogniser(
        name=name,
        about="a surrogate, on the crop that the optimiser sees",
        dimension=compiled.get_concrete_function(_CROPS).output_shapes[-1],
        threshold=threshold,
        threshold_source=source,
        distance=cosine_distance,
        align=_align,
        embed=embed,
    )


def _align(photo: SeenPhoto) -> np.ndarray | None:
    if photo.largest is None:
        return None
    return crop_face(photo.pixels, face_to_crop(photo.largest.landmarks), CROP_SIZE)
