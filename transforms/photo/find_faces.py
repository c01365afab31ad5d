"""RetinaFace behind Beam's RunInference."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

from photoveil.transforms.beam.model_handler import StageHandler
from photoveil.transforms.codecs import DecodedPhoto
from photoveil.transforms.faces.detect import (
    Detector,
    detect_faces,
    load_retinaface,
    load_retinaface_resnet50,
)
from photoveil.transforms.faces.parameters import DetectorParameters
from photoveil.transforms.io import assets
from photoveil.transforms.leaks.clean_faces import inside
from photoveil.transforms.records import FoundFaces, ReadPhoto


class FaceDetectorHandler(StageHandler[ReadPhoto, Detector]):
    """From decoded photos to `FoundFaces`, the inference of each prediction.

    One photo a batch: photos differ in size, and the frozen graph has its own non-maximum
    suppression for a single image.
    """

    def __init__(self, parameters: DetectorParameters) -> None:
        super().__init__("detect", 1)
        self._parameters = parameters

    def load_model(self) -> Detector:
        if self._parameters.model == "retinaface-resnet50":
            return load_retinaface_resnet50()
        return load_retinaface(str(assets.fetch("retinaface.pb")))

    def answers(self, batch: Sequence[ReadPhoto], model: Detector) -> Iterable[FoundFaces]:
        detect = partial(detect_faces, detector=model, parameters=self._parameters)
        for photo in batch:
            assert photo.pixels is not None
            faces = detect(photo.pixels, also=photo.quarters)
            shown = DecodedPhoto(str(photo.format), photo.pixels, photo.orientation)
            others = inside(photo.hidden, shown, faces, detect, self._parameters.min_face)
            yield FoundFaces(faces, tuple(others))
