"""dlib's ResNet-29 (King 2017), the network of the package `face_recognition`; 128-d.

It uses its own pipeline: HOG detector, 68 landmarks, 150 px chip with a quarter of padding. If its
detector finds nothing, the boxes of our detector are used, as a tracker would do.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

from photoveil.transforms.extras import install_command
from photoveil.transforms.recognisers.recogniser import (
    MissingPackage,
    Recogniser,
    SeenPhoto,
    euclidean_distance,
)

_DETECTED_SIDE = 1600  # pixels: its time grows with the photo, and a face must have 80 px


def load() -> Recogniser:
    """Load the recogniser.

    Raises:
        MissingPackage: dlib or the weights are not installed.
    """
    try:
        import dlib
    except ModuleNotFoundError as error:
        raise _missing() from error
    spec = find_spec("face_recognition_models")
    if spec is None or spec.origin is None:
        raise _missing()
    # Only its files are used: the package imports pkg_resources, which setuptools has dropped.
    models = Path(spec.origin).parent / "models"
    detect = dlib.get_frontal_face_detector()
    landmarks = dlib.shape_predictor(str(models / "shape_predictor_68_face_landmarks.dat"))
    network = dlib.face_recognition_model_v1(
        str(models / "dlib_face_recognition_resnet_model_v1.dat")
    )

    def align(photo: SeenPhoto) -> np.ndarray | None:
        image = Image.fromarray(photo.pixels)
        image.thumbnail((_DETECTED_SIDE, _DETECTED_SIDE), Image.Resampling.LANCZOS)
        scale = photo.pixels.shape[1] / image.width
        found = max(detect(np.asarray(image), 0), key=lambda box: box.area(), default=None)
        if found is not None:
            sides = [scale * s for s in (found.left(), found.top(), found.right(), found.bottom())]
        elif photo.largest is not None:
            sides = list(photo.largest.box)
        else:
            return None
        box = dlib.rectangle(*(round(side) for side in sides))
        return dlib.get_face_chip(photo.pixels, landmarks(photo.pixels, box), 150, 0.25)

    def embed(chips: np.ndarray) -> np.ndarray:
        return np.array(network.compute_face_descriptor(list(chips)))

    return Recogniser(
        name="dlib",
        about="dlib's ResNet-29, as in the package face_recognition",
        dimension=128,
        threshold=0.6,
        threshold_source="dlib and face_recognition",
        distance=euclidean_distance,
        align=align,
        embed=embed,
    )


def _missing() -> MissingPackage:
    return MissingPackage(f"the recogniser dlib needs more packages: {install_command('evaluate')}")
