"""Parameters of the cloak, with their ranges; `configs/` holds presets."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from photoveil.transforms.embedding.models import Precision
from photoveil.transforms.visibility.budget import Budget


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class CloakParameters:
    """How strongly and how visibly a face is changed.

    Pixel lengths are in the 112 px aligned crop; levels are 8-bit luminance levels.
    """

    surrogates: Annotated[tuple[str, ...], Field(min_length=1)] = (
        "dlib",
        "faceplugin",
        "sface",
        "mobilefacenet",
        "facenet",
        "faceplugin",
        "sface",
        "faceres",
    )
    """Recognisers to move away from, by their names in `transforms.embedding.surrogates`, in the
    order of their turns: one that transfers well gets more of them."""
    perturbation: Literal["displacement", "luminance"] = "displacement"
    """The kind of change, by its name in `transforms.cloak.space`."""
    preconditioner: Literal["texture", "none"] = "texture"
    """How a gradient becomes a step, by its name in `transforms.cloak.precondition`."""
    projection: Literal["dssim", "cap"] = "dssim"
    """What a change may be while optimising, by its name in `transforms.cloak.project`."""
    objective: Literal["evade", "poison"] = "evade"
    """evade: away from what the face is taken for. poison: towards the person's own target, the
    same in all photos; a person met first evades."""
    flip_budget: Annotated[float, Field(gt=0, le=1)] = 0.03
    """Most mean FLIP between the bent original and the written face, at viewing size."""
    delta_e_budget: Annotated[float, Field(gt=0, le=20)] = 1.0
    """Most mean CIEDE2000, likewise."""
    dssim_budget: Annotated[float, Field(gt=0, le=0.1)] = 0.0025
    """Most structural dissimilarity of the aligned crop: about so while optimising, and when
    written."""
    contrast_budget: Annotated[float, Field(gt=0, le=64)] = 1.25
    """Most levels of contrast added on smooth skin, at the worst spot of the written face."""
    max_change: Annotated[float, Field(gt=0, le=64)] = 25.0
    """Most levels any pixel may change while optimising."""
    smooth_cap: Annotated[float, Field(ge=0, le=64)] = 1.0
    """Most levels where the crop is quite smooth."""
    texture_cap: Annotated[float, Field(ge=0, le=10)] = 0.6
    """Levels more for each level of local contrast."""
    shift_peak: Annotated[float, Field(gt=0, le=20)] = 3.0
    """Most displacement, in percent of the interocular distance."""
    shift_rms: Annotated[float, Field(gt=0, le=20)] = 1.2
    """Most root mean square displacement over the crop, likewise."""
    max_stretch: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Most local stretch: 0.5 lets a short length change by half."""
    shift_sigma: Annotated[float, Field(gt=0, le=20)] = 1.5
    """Pixels; of the Gaussian that makes the displacement smooth."""
    stiff_sigma: Annotated[float, Field(gt=0, le=20)] = 4.0
    """The same along strong straight edges, which small waves would bend visibly."""
    shift_rate: Annotated[float, Field(gt=0, le=20)] = 3.6
    """Percent of the interocular distance, root mean square of the first step; it falls in
    proportion to the learning rate."""
    steps: Annotated[int, Field(ge=1, le=1000)] = 28
    """Passes, forward and backward, through a surrogate, for a person met first; the surrogates
    take turns."""
    known_steps: Annotated[int, Field(ge=1, le=1000)] = 10
    """The same for a person whose other photos were cloaked before: it starts from these."""
    learning_rate: Annotated[float, Field(gt=0, le=50)] = 9.0
    """Levels, about the root mean square of the first step."""
    final_learning_rate: Annotated[float, Field(gt=0, le=50)] = 1.0
    """Of the last step; those between fall evenly."""
    gradient_power: Annotated[float, Field(ge=0.5, le=4)] = 2.0
    """Sharpens where a change goes: 1 follows the gradient, more prefers its peaks."""
    texture_floor: Annotated[float, Field(gt=0, le=100)] = 4.0
    """Levels; what smooth skin gets of a step, beside the contrast that textured parts add."""
    texture_power: Annotated[float, Field(ge=0, le=4)] = 1.5
    """Of that sum: the more, the less of a step falls on smooth skin."""
    high_pass: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Share of the change's low frequencies, which look like shadows, that each step takes off."""
    high_pass_sigma: Annotated[float, Field(gt=0, le=20)] = 4.0
    """Pixels; of the Gaussian that tells what is low."""
    jitter_rotation: Annotated[float, Field(ge=0, le=0.5)] = 0.04
    """Standard deviation in radians; with the next two, the spread of other recognisers' crops."""
    jitter_scale: Annotated[float, Field(ge=0, le=0.5)] = 0.03
    """Standard deviation of the logarithm of the scale."""
    jitter_shift: Annotated[float, Field(ge=0, le=20)] = 2.0
    """Standard deviation in pixels."""
    batch_size: Annotated[int, Field(ge=1, le=1024)] = 8
    """Faces optimised at once."""
    precision: Precision = "float32"
    """What the surrogates compute in. bfloat16 is for GPUs that have it; on a CPU it is slower."""

    @property
    def recognisers(self) -> tuple[str, ...]:
        """The surrogates, each of them once."""
        return tuple(dict.fromkeys(self.surrogates))

    @property
    def budget(self) -> Budget:
        """The visibility budget of the written file."""
        return Budget(
            self.flip_budget, self.delta_e_budget, self.dssim_budget, self.contrast_budget
        )
