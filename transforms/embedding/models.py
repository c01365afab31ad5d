"""The assets of each surrogate, for code that only names them: no network is loaded."""

from __future__ import annotations

from typing import Literal

ASSETS: dict[str, tuple[str, ...]] = {
    "mobilefacenet": ("mobilefacenet.tflite",),
    "faceres": ("faceres.json", "faceres.bin"),
    "sface": ("sface.onnx",),
    "faceplugin": ("faceplugin.onnx",),
    "facenet": ("facenet.pb",),
    "dlib": ("dlib_resnet.dat",),
}
"""The names of a surrogate's assets, by its name."""

WHO, WHO_SIZE = "mobilefacenet", 192
"""The surrogate whose embeddings identify people, and their length."""

Precision = Literal["float32", "bfloat16"]
"""The type that a surrogate computes in."""
