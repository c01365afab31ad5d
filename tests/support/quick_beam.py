"""Spare tests what Beam does again for each pipeline: asking the same classes the same questions.

More than half of the time of a run over one photo is the construction of its pipelines. Most of
that is `inspect.signature` of the same methods, and an argument parser for each look at an option.
The answers do not change within a process, so they are remembered.
"""

from __future__ import annotations

import copy
import types
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms import core

_read_arguments = core.get_function_args_defaults
_arguments: dict[Any, tuple[list[str], list[Any]]] = {}
_parsed: dict[Any, Any] = {}


def remember() -> None:
    """Let Beam, in this process, remember the signatures of methods and the parsed options."""
    core.get_function_args_defaults = _arguments_of
    PipelineOptions.view_as = _view_as


def _arguments_of(function: Any) -> tuple[list[str], list[Any]]:
    """Return the names and the defaults of a function's arguments."""
    if not isinstance(function, types.MethodType):
        return _read_arguments(function)
    key = function.__func__
    if key not in _arguments:
        _arguments[key] = _read_arguments(function)
    names, defaults = _arguments[key]
    return [*names], [*defaults]


def _view_as(options: Any, kind: type) -> Any:
    """Return a view of the options as of one kind, which shares their values."""
    key = kind, None if options._flags is None else tuple(options._flags)
    if key not in _parsed:
        _parsed[key] = kind(options._flags)._visible_options
    view: Any = object.__new__(kind)
    view._flags, view._visible_options = options._flags, copy.deepcopy(_parsed[key])
    for name, value in vars(view._visible_options).items():
        options._all_options.setdefault(name, value)
    view._all_options = options._all_options
    return view
