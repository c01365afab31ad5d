"""Settings: one validated object, filled from defaults, a preset, a user's file, then flags."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from photoveil.transforms.cloak.parameters import CloakParameters
from photoveil.transforms.duplicates.exact import Placing
from photoveil.transforms.duplicates.perceptual_hash import NearDuplicateParameters
from photoveil.transforms.faces.parameters import DetectorParameters, PeopleParameters
from photoveil.transforms.photo.limits import ReadLimits
from photoveil.transforms.photo.parameters import MetadataParameters

Mode = Literal["low", "mid", "high"]
Runner = Literal["local", "prism", "dask", "flink", "dataflow"]
MODES = ("low", "mid", "high")
"""From the least to see to the most."""
Option = str | int | float | bool


class SettingsError(ValueError):
    """Settings that cannot be used; the message names each key and what is wrong with it."""


class RunSettings(BaseModel):
    """How a run is carried out. None of these settings changes a pixel of the result."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    wave_photos: Annotated[int, Field(ge=1, le=1_000_000)] = 64
    """Maximum number of photos in a wave, whose results are committed together. Memory and what a
    crash costs grow with it."""
    first_wave: Annotated[int, Field(ge=1, le=1_000_000)] = 8
    """Number of photos in the first wave of a new library. Each later one is twice as large, up to
    `run.wave_photos`."""
    duplicates: Placing = "copy"
    """How exact duplicates get the output of the photo they equal. Hard links share its
    modification time."""
    workers: Annotated[int, Field(ge=1, le=256)] = 1
    """Number of processes on this machine. TensorFlow uses all cores in one process; more than one
    pays from 8 cores up."""
    runner: Runner = "local"
    """What carries the pipelines out: see [runners.md](runners.md)."""
    options: dict[str, Option | list[Option]] = {}
    """Options of Beam and of its runner, under Beam's own names."""
    accelerator: str | None = None
    """Accelerator of the workers that cloak faces, in the words of Beam's resource hint."""


class Settings(BaseModel):
    """All settings of a run, by section."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: Mode = "mid"
    """How much a face may change: the preset that the other settings start from."""
    detector: DetectorParameters = DetectorParameters()
    cloak: CloakParameters = CloakParameters()
    limits: ReadLimits = ReadLimits()
    metadata: MetadataParameters = MetadataParameters()
    near_duplicates: NearDuplicateParameters = NearDuplicateParameters()
    people: PeopleParameters = PeopleParameters()
    run: RunSettings = RunSettings()


def load_settings(config: Path | None = None, **flags: Any) -> Settings:
    """Merge the preset of the mode, the preset of the runner, the user's file and flags.

    Args:
        config: the user's YAML file, if any.
        **flags: `mode`, `strip_names`, `only`, `spare` and the fields of `run`; None for those that
            are not given on the command line.

    Returns:
        The validated settings; what comes later in the list above wins.

    Raises:
        SettingsError: the file cannot be read, or a key or value is wrong.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    user = _read_yaml(config) if config else {}
    mode = given.pop("mode", user.get("mode", "mid"))
    if mode not in Mode.__args__:  # type: ignore[attr-defined]
        raise SettingsError(f"mode: {mode!r} is none of low, mid, high")
    told = user.get("run")
    runner = given.get("runner", told.get("runner") if isinstance(told, dict) else None)
    runners_own = _preset(runner) if runner in ("flink", "dataflow") else {}
    values = _merge(_merge(_preset(mode), runners_own), user)
    if (strip_names := given.pop("strip_names", None)) is not None:
        values = _merge(values, {"metadata": {"strip_names": strip_names}})
    people = {name: given.pop(name) for name in ("only", "spare") if name in given}
    values = _merge(values, {"mode": mode, "run": given, "people": people})
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        where = f" in {config}" if config else ""
        lines = [f"  {_key(item['loc'])}: {_problem(item)}" for item in error.errors()]
        raise SettingsError(f"settings not understood{where}:\n" + "\n".join(lines)) from error


def _preset(name: str) -> dict[str, Any]:
    """Read a preset of `configs/`."""
    return (
        yaml.safe_load(files("photoveil.configs").joinpath(f"{name}.yaml").read_text("utf-8")) or {}
    )


def _read_yaml(path: Path) -> dict[str, Any]:
    """Read a user's file.

    Raises:
        SettingsError: it cannot be read, is no YAML, or holds no keys.
    """
    try:
        found = yaml.safe_load(path.read_text("utf-8"))
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is no valid YAML: {error}") from error
    if found is not None and not isinstance(found, dict):
        raise SettingsError(f"{path} must hold keys and values, as the presets in configs/ do")
    return found or {}


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with the values of `over`; mappings in both are merged in turn."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        if isinstance(value, Mapping) and isinstance(below, Mapping):
            merged[key] = _merge(below, value)
        else:
            merged[key] = value
    return merged


def _key(location: tuple[int | str, ...]) -> str:
    """Return a key as the docs write it: `run.workers`."""
    return ".".join(str(part) for part in location)


def _problem(item: Mapping[str, Any]) -> str:
    """Say what is wrong, from one of pydantic's errors."""
    if item["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return "no such setting"
    return f"{item['msg']} (got {item['input']!r})"
