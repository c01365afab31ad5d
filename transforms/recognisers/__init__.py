"""Recognisers as a tracker uses them: held-out ones, which the optimiser never uses, and
surrogates.

To add a held-out recogniser, write a file with `load() -> Recogniser` and enter it in `JUDGES`.
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
    """Return the names of all recognisers, held-out ones first."""
    return (*JUDGES, *(name for name in SURROGATES if name not in JUDGES))


def load_recogniser(name: str) -> Recogniser:
    """Load the recogniser of that name, and fetch its files if necessary.

    Raises:
        KeyError: there is none of that name.
        ValueError: a held-out recogniser has become a surrogate, so it is not held out any more.
        MissingPackage: it needs a package that is not installed; the message says how to install
            it.
        transforms.io.assets.AssetError: its files cannot be fetched.
    """
    if name in JUDGES and name in SURROGATES:
        raise ValueError(f"{name} is a judge and must not be a surrogate too")
    return JUDGES[name]() if name in JUDGES else surrogate.load(name)
