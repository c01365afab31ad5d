"""Embeddings of photos, from the file on, under each condition and by each recogniser.

Faces are found, aligned and embedded again for each condition, because a tracker has nothing but
the file.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from photoveil.transforms import codecs
from photoveil.transforms.evaluate.conditions import CONDITIONS
from photoveil.transforms.faces.detect import Detector
from photoveil.transforms.faces.parameters import DetectorParameters
from photoveil.transforms.failures import failure
from photoveil.transforms.io import storage
from photoveil.transforms.photo import codec_process
from photoveil.transforms.photo.limits import ReadLimits
from photoveil.transforms.recognisers import Recogniser, SeenPhoto

_BATCH = 32  # crops embedded at once; those that wait bound the memory
_MAX_PIXELS = 250_000_000

_Key = tuple[str, str, str]  # sha256 of the file, condition, recogniser
_NO_FACE = np.zeros(0)


class Embedder:
    """Embeds the largest face of each photo, and caches the result by content.

    unreadable: reason by path of the files that could not be decoded; they count as faceless.
    """

    def __init__(
        self,
        recognisers: Sequence[Recogniser],
        detector: Detector,
        parameters: DetectorParameters,
        tick: Callable[[], None] = lambda: None,
    ) -> None:
        """tick: called after each photo."""
        self.recognisers = tuple(recognisers)
        self.unreadable: dict[str, str] = {}
        self._detector = detector
        self._parameters = parameters
        self._tick = tick
        self._known: dict[_Key, np.ndarray] = {}
        self._waiting: dict[str, list[tuple[_Key, np.ndarray]]] = defaultdict(list)

    def embed(self, paths: Sequence[str], condition: str) -> dict[str, np.ndarray]:
        """Return embeddings by recogniser, float64 (n, D); a row of NaN where no face was found.

        Args:
            paths: of photos, local or in a bucket.
            condition: a key of `CONDITIONS`.
        """
        hashes = []
        for path in paths:
            hashes.append(self._look(path, condition))
            self._tick()
        for recogniser in self.recognisers:
            self._flush(recogniser)
        return {
            recogniser.name: self._stacked(hashes, condition, recogniser)
            for recogniser in self.recognisers
        }

    def only(self, name: str) -> Embedder:
        """Return an embedder by the recogniser `name` alone, which shares what is known."""
        chosen = [recogniser for recogniser in self.recognisers if recogniser.name == name]
        narrow = Embedder(chosen, self._detector, self._parameters, self._tick)
        narrow.unreadable, narrow._known = self.unreadable, self._known
        return narrow

    def save(self, file: Path) -> None:
        """Save the cache for a later run. It holds biometric data: keep the file private."""
        vectors = {"|".join(key): vector for key, vector in self._known.items()}
        np.savez(file, allow_pickle=False, **vectors)

    def load(self, file: Path) -> None:
        """Load what `save` wrote."""
        with np.load(file) as kept:
            for name in kept.files:
                sha, condition, recogniser = name.split("|")
                self._known[sha, condition, recogniser] = kept[name]

    def _look(self, path: str, condition: str) -> str:
        try:
            data = storage.read_bytes(path)
        except OSError as error:
            self.unreadable[path] = storage.explain(error)
            return ""
        sha256 = hashlib.sha256(data).hexdigest()
        new = [r for r in self.recognisers if (sha256, condition, r.name) not in self._known]
        if not new:
            return sha256
        try:
            pixels = codec_process.decode(data, _MAX_PIXELS, ReadLimits()).pixels
        except codecs.CodecError as error:
            self.unreadable[path] = str(error)
            return ""
        except Exception as error:
            self.unreadable[path] = failure("reading", error).reason
            return ""
        photo = SeenPhoto(CONDITIONS[condition](pixels), self._detector, self._parameters)
        for recogniser in new:
            key = (sha256, condition, recogniser.name)
            self._known[key] = _NO_FACE
            crop = recogniser.align(photo)
            if crop is not None:
                self._waiting[recogniser.name].append((key, crop))
            if len(self._waiting[recogniser.name]) == _BATCH:
                self._flush(recogniser)
        return sha256

    def _flush(self, recogniser: Recogniser) -> None:
        waiting = self._waiting.pop(recogniser.name, [])
        if waiting:
            vectors = recogniser.embed(np.stack([crop for _, crop in waiting]))
            for (key, _), vector in zip(waiting, vectors, strict=True):
                self._known[key] = np.asarray(vector, np.float64)

    def _stacked(self, hashes: Sequence[str], condition: str, recogniser: Recogniser) -> np.ndarray:
        rows = np.full((len(hashes), recogniser.dimension), np.nan)
        for row, sha256 in zip(rows, hashes, strict=True):
            vector = self._known.get((sha256, condition, recogniser.name), _NO_FACE)
            if len(vector):
                row[:] = vector
        return rows
