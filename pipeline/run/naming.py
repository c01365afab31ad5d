"""Gives the files of a plan the names that OUT can hold; see `transforms.naming.output_names`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pyarrow.compute as pc

from photoveil.pipeline.library import manifest
from photoveil.pipeline.library.identity import FOLDER
from photoveil.pipeline.library.library import Library
from photoveil.pipeline.run.plan import Plan, Relation
from photoveil.transforms.naming import output_names
from photoveil.transforms.naming.output_names import Held, Wanted
from photoveil.transforms.naming.probe import find_rules
from photoveil.transforms.records import ContentGroup, Naming, PhotoRef


def with_names(plan: Plan, library: Library) -> Plan:
    """The plan with a name for each output that cannot have the path of its source.

    Raises:
        OSError: nothing can be written to OUT, or the manifest not be read.
    """
    if not plan.refs:
        return plan
    rules = find_rules(library.root, library.scratch, [ref.relative for ref in plan.refs])
    moved = {item.ref.relative: item.row for item in plan.known if item.how == Relation.MOVED}
    wanted = [Wanted(ref.relative, moved.get(ref.relative)) for ref in plan.refs]
    names = output_names.assign(wanted, _held(library), rules, FOLDER)
    return _named(plan, names) if names else plan


def _named(plan: Plan, names: dict[str, Naming]) -> Plan:
    def name(ref: PhotoRef) -> PhotoRef:
        return replace(ref, naming=names.get(ref.relative))

    def named(groups: Iterable[ContentGroup]) -> tuple[ContentGroup, ...]:
        return tuple(
            replace(group, ref=name(group.ref), copies=tuple(map(name, group.copies)))
            for group in groups
        )

    return replace(
        plan,
        todo=named(plan.todo),
        originals=named(plan.originals),
        known=tuple(replace(item, ref=name(item.ref)) for item in plan.known),
    )


def _held(library: Library) -> list[Held]:
    table = manifest.read(library.manifest, ["source", "output", "notes"])
    table = table.filter(pc.is_valid(table["output"]))
    differs = pc.not_equal(table["source"], table["output"])
    others = table.filter(differs).to_pylist()
    same = table.filter(pc.invert(differs))["source"].to_pylist()
    return [
        *(Held(source, source) for source in same),
        *(Held(r["source"], r["output"], output_names.why(r["notes"])) for r in others),
    ]
