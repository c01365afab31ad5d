"""What is seen of a face's cloak, and the most that may be."""

from __future__ import annotations

from dataclasses import dataclass

from photoveil.transforms.records import Visibility

_LEAST, _MOST = 0.02, 1.3  # of the scale; a change blown up further protects no better


@dataclass(frozen=True)
class Budget:
    """The most that may be seen of a face's cloak, each as in `Seen`."""

    flip: float
    delta_e: float
    dssim: float

    def spent(self, seen: Visibility) -> float:
        """How much of it is used up: 1 is all of what is scarcest."""
        return max(seen.flip / self.flip, seen.delta_e / self.delta_e, seen.dssim / self.dssim)

    def rescale(self, scale: float, seen: Visibility) -> float:
        """The scale at which a change that showed `seen` at `scale` would just keep to it.

        Mean FLIP grows with about the 0.8th power of a change, CIEDE2000 in proportion, DSSIM
        with the square of a faint one and the 1.7th power of a usual one (fitted to the cloaks of
        56 faces: one look is within 2 % then).
        """
        pairs = (
            (self.flip, seen.flip, 1 / 0.8),
            (self.delta_e, seen.delta_e, 1.0),
            (self.dssim, seen.dssim, 1 / 1.7),
        )
        factors = [(most / value) ** power for most, value, power in pairs if value > 0]
        return min(max(scale * min(factors, default=1.0), _LEAST), _MOST)
