"""dlib's ResNet-29 (King 2017), the network behind the package `face_recognition`; 128-d.

Its own pipeline: HOG detector, 68 landmarks, 150 px chip with a quarter of padding. Where its
detector finds nothing our own boxes are used: a tracker would not give up so easily.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from transforms.recognisers.recogniser import (
    MissingPackage,
    Recogniser,
    SeenPhoto,
    euclidean_distance,
)


def load() -> Recogniser:
    """The judge.

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
    # The package itself asks for pkg_resources, which setuptools has dropped: its files suffice.
    models = Path(spec.origin).parent / "models"
    detect = dlib.get_frontal_face_detector()
    landmarks = dlib.shape_predictor(str(models / "shape_predictor_68_face_landmarks.dat"))
    network = dlib.face_recognition_model_v1(
        str(models / "dlib_face_recognition_resnet_model_v1.dat")
    )

    def align(photo: SeenPhoto) -> np.ndarray | None:
        boxes = list(detect(photo.pixels, 0))
        if not boxes and photo.largest is not None:
            boxes = [dlib.rectangle(*(round(value) for value in photo.largest.box))]
        if not boxes:
            return None
        box = max(boxes, key=lambda box: box.area())
        return dlib.get_face_chip(photo.pixels, landmarks(photo.pixels, box), 150, 0.25)

    def embed(chips: np.ndarray) -> np.ndarray:
        return np.array(network.compute_face_descriptor(list(chips)))

    return Recogniser(
        name="dlib",
        about="dlib's ResNet-29, as in the package face_recognition",
        white_box=False,
        dimension=128,
        threshold=0.6,
        threshold_source="dlib and face_recognition",
        distance=euclidean_distance,
        align=align,
        embed=embed,
    )


def _missing() -> MissingPackage:
    return MissingPackage("the judge dlib needs an extra: pip install 'photoveil[evaluate]'")
