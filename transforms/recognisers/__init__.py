"""Recognisers as a tracker uses them, each with its own way of cutting faces out.

A recogniser is *held out* of a cloak that was not optimised against it. To add one that has its own
detection or alignment, write a file with `load() -> Recogniser` and enter it in `OWN_ALIGNMENT`.
"""

from __future__ import annotations

from collections.abc import Callable

from photoveil.transforms.embedding.surrogates import SURROGATES
from photoveil.transforms.recognisers import dlib_resnet, facenet, frbench, surrogate
from photoveil.transforms.recognisers.recogniser import MissingPackage, Recogniser, SeenPhoto

__all__ = ["MissingPackage", "Recogniser", "SeenPhoto", "is_known", "load_recogniser", "names"]

OWN_ALIGNMENT: dict[str, Callable[[], Recogniser]] = {
    "dlib": dlib_resnet.load,
    "facenet": facenet.load,
}


def names() -> tuple[str, ...]:
    """Return the names of all recognisers but FRBench's, those with their own alignment first."""
    return (*OWN_ALIGNMENT, *(name for name in SURROGATES if name not in OWN_ALIGNMENT))


def is_known(name: str) -> bool:
    """Return True if `load_recogniser` accepts the name.

    Any name with FRBench's prefix is accepted here: only FRBench knows which of them exist.
    """
    return name in names() or name.startswith(frbench.PREFIX)


def load_recogniser(name: str) -> Recogniser:
    """Load a recogniser, and fetch its files if necessary.

    Raises:
        KeyError: no recogniser has that name.
        MissingPackage: it needs a package that is not installed; the message says how to install
            it.
        transforms.io.assets.AssetError: its files cannot be fetched, or are FRBench's, which are
            never fetched, and not on this machine.
    """
    if name.startswith(frbench.PREFIX):
        return frbench.load(name.removeprefix(frbench.PREFIX))
    return OWN_ALIGNMENT[name]() if name in OWN_ALIGNMENT else surrogate.load(name)
