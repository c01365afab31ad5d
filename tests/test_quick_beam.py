"""What tests let Beam remember is what it would find again."""

from __future__ import annotations

import apache_beam as beam
from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions, TypeOptions

from tests.support import quick_beam
from tests.support.quick_beam import remember


class Twice(beam.DoFn):
    def process(self, element: int, times: int = 2) -> list[int]:
        return [element] * times

    def finish_bundle(self) -> None:
        pass


def test_arguments_are_those_that_beam_reads() -> None:
    remember()
    for method in (Twice().process, Twice().process, Twice().finish_bundle, Twice.process, len):
        assert quick_beam._arguments_of(method) == quick_beam._read_arguments(method)


def test_views_of_options_share_their_values_and_no_others() -> None:
    remember()
    flags = ["--direct_num_workers", "3"]
    one, other = PipelineOptions(flags), PipelineOptions(flags)
    assert one.view_as(DirectOptions).direct_num_workers == 3
    one.view_as(DirectOptions).direct_num_workers = 5
    assert one.view_as(TypeOptions).view_as(DirectOptions).direct_num_workers == 5
    assert other.view_as(DirectOptions).direct_num_workers == 3
    assert PipelineOptions([]).view_as(DirectOptions).direct_num_workers == 1
    assert one.get_all_options().keys() == other.get_all_options().keys()
