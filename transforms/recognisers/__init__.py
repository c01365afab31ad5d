"""Recognisers that play the tracker: judges, which the optimiser never sees, and surrogates.

A new judge is one file with a `load() -> Recogniser` and an entry in `JUDGES`.
"""

from __future__ import annotations

from collections.abc import Callable

from photoveil.transforms.embedding.surrogates import SURROGATES
from photoveil.transforms.recognisers import dlib_resnet, facenet, surrogate
from photoveil.transforms.recognisers.recogniser import MissingPackage, Recogniser, SeenPhoto

__all__ = ["JUDGES", "MissingPackage", "Recogniser", "SeenPhoto", "load_recogniser", "names"]

JUDGES: dict[str, Callable[[], Recogniser]] = {
    "dlib": dlib_resnet.load,
    "facenet": facenet.load,
}


def names() -> tuple[str, ...]:
    """All recognisers, judges first."""
    return (*JUDGES, *(name for name in SURROGATES if name not in JUDGES))


def load_recogniser(name: str) -> Recogniser:
    """The recogniser of that name, its files fetched if need be.

    Raises:
        KeyError: there is none of that name.
        ValueError: a judge has become a surrogate, so that it can judge no more.
        MissingPackage: it needs a package that is not installed; the message says how.
        transforms.io.assets.AssetError: its files cannot be had.
    """
    if name in JUDGES and name in SURROGATES:
        raise ValueError(f"{name} is a judge and must not be a surrogate too")
    return JUDGES[name]() if name in JUDGES else surrogate.load(name)
