"""What a run will do and what it did, in plain words."""

from __future__ import annotations

import shlex

from photoveil.pipeline.cli.output import MOST_LISTED, counted, failures, listed
from photoveil.pipeline.library.library import Library
from photoveil.pipeline.run.estimate import Estimate
from photoveil.pipeline.run.plan import Plan, Relation
from photoveil.pipeline.run.pruning import MUCH
from photoveil.pipeline.run.result import RunResult, ScanResult
from photoveil.pipeline.words import duration, number, size
from photoveil.transforms.records import Status

_LEAST_SHARE = 0.01  # of the workers' time that is worth a word
# From how many on it is worth a word: files in a folder, where some systems have a limit of 65,534;
# photos that look alike, faces in a photo and faces of a person, which are more work than others.
_LARGE_FOLDER = 10_000
_MANY_ALIKE = 100
_MANY_FACES = 50
_MANY_OF_ONE = 100

CAVEAT = (
    "A cloak makes today's recognisers less sure of a face. It is no guarantee: recognisers "
    "built later,\nor trained on cloaked photos, may see through it, and photos already online "
    "stay as they are."
)


def plan_summary(plan: Plan, forecast: Estimate, free: int | None, source: str) -> str:
    """Describe a plan in several lines, without a final newline.

    Args:
        plan: of the run.
        forecast: of its time.
        free: bytes on the output's disk; None if that is not known.
        source: the archive.
    """
    lines = []
    if plan.is_away:
        lines += [
            f"WARNING: none of the {number(plan.photos, 'photo')} of this library is in {source} "
            "with the bytes that it had.",
            "Is the disk there, and is it the right folder? Nothing is marked as gone, and "
            "--prune is refused.",
            "",
        ]
    lines += ["Plan:" if plan.refs else "Nothing new."]
    lines += [f"  {count:>6,}  to do: {why}" for why, count in plan.why.most_common()]
    restored = sum(item.how == Relation.RESTORED for item in plan.known)
    lines += counted(
        (
            plan.duplicates,
            "of them or beside them duplicates, cloaked once; "
            f"at most {plan.widest:,} files are the same",
        ),
        (
            sum(1 + len(group.copies) for group in plan.originals),
            "of them get the original, as the review says",
        ),
        (plan.moved, "moved or renamed: their cloaked photos move too"),
        (restored, "with a new date or a lost output: put right without cloaking"),
        (plan.unchanged, "done by an earlier run"),
        (plan.left_out, "left out by an earlier run, unchanged"),
        (plan.failed, "failed in an earlier run, unchanged: still fail (--retry tries them again)"),
        (plan.not_chosen, "others in the folder, not given: left as they are"),
        (plan.older, "older: left for another run (--since)"),
        (
            len(plan.gone),
            f"no longer there: cloaked files kept{_pruning(plan)}",
        ),
    )
    lines += [
        f"  {count:>6,}  done with {differs}: left so (--recloak does them anew)"
        for differs, count in plan.stale.most_common()
    ]
    lines += listed("No longer there:", plan.gone)
    folder, in_folder = plan.largest_folder
    if in_folder >= _LARGE_FOLDER:
        name = f"The folder {folder}" if folder else "IN itself"
        lines.append(f"{name} has {in_folder:,} of the files to do.")
    if plan.todo:
        lines += _faces(forecast)
        if forecast.alike >= _MANY_ALIKE:
            lines.append(
                f"Near duplicates: up to {forecast.alike:,} photos looked alike in an earlier run, "
                "and were compared with one another."
            )
        time = (
            f"about {duration(forecast.seconds)} (by the pace of earlier runs)"
            if forecast.measured
            else f"{duration(forecast.seconds)} to {duration(forecast.most)} (a guess, as no run "
            "here was timed yet)"
        )
        lines.append(f"Time: {time}. Disk: about {size(plan.room)}, as much as the originals.")
    if free is not None and plan.room > free:
        lines.append(f"Only {size(free)} are free there: the run will stop when they are used.")
    return "\n".join(lines)


def _pruning(plan: Plan) -> str:
    """Describe what `--prune` would do with outputs without originals; "" if it is refused."""
    if plan.is_away:
        return ""
    if plan.gone_photos <= MUCH * plan.photos:
        return " (--prune deletes them)"
    share = f"{plan.gone_photos / plan.photos:.0%}".replace("%", " %")
    return f" (--prune deletes them; {share} of the photos, so it asks)"


def _faces(forecast: Estimate) -> list[str]:
    """Describe how many faces the files to do are known, and estimated, to have."""
    people = f"{forecast.people:,} {'person' if forecast.people == 1 else 'people'}"
    known = f"{number(forecast.faces, 'face')} of {people}" if forecast.faces else "none"
    if forecast.most_faces >= _MANY_FACES:
        known += f", up to {forecast.most_faces:,} in a photo"
    if forecast.people > 1 and forecast.most_seen >= _MANY_OF_ONE:
        known += f", {forecast.most_seen:,} of one person"
    if not forecast.unseen:
        return [f"Faces: {known}, as scanned before."]
    seen = f"{known} in the {forecast.scanned:,} scanned before; " if forecast.scanned else ""
    if forecast.rate is None:
        likely = (
            f"those in {number(forecast.unseen, 'file')} show once they are scanned "
            "(`photoveil scan` does it ahead)"
        )
    else:
        count = f"{forecast.rate * forecast.unseen:,.0f}"
        likely = (
            f"about {count} in {number(forecast.unseen, 'new file')} "
            f"(a forecast: {forecast.rate:.2g} a file in this library so far)"
        )
    who = f"; {forecast.known:,} people are known in the library" if forecast.known else ""
    return [f"Faces: {seen}{likely}{who}."]


def scan_summary(scan: ScanResult, known: int, library: Library) -> str:
    """Describe a scan in several lines, without a final newline.

    Args:
        scan: the result.
        known: number of people of the library.
        library: that was scanned.
    """
    lines = [
        f"{number(scan.files, 'file')} scanned in {duration(scan.seconds)}: "
        f"{number(scan.faces, 'face')}. {known:,} people are known now; nothing is cloaked yet.",
    ]
    if scan.stopped:
        lines.append(f"Stopped by {scan.stopped}; the same command goes on.")
    run = shlex.join(["photoveil", "run", library.source, library.root])
    lines += [
        "",
        f"`{shlex.join(['photoveil', 'people', library.root])}` shows who they are.",
        f"`{run}` cloaks them all, with --only or --except NAME whom you choose.",
    ]
    return "\n".join(lines)


def summary(outcome: RunResult, library: Library) -> str:
    """Describe a run in several lines, without a final newline."""
    counts, plan = outcome.statuses, outcome.plan
    lines = (
        [f"{number(sum(counts.values()), 'file')} looked at in {duration(outcome.seconds)}."]
        if plan.refs
        else []
    )
    lines += counted(
        (
            counts[Status.CLOAKED],
            f"cloaked ({number(outcome.faces, 'face')}{_visibility(outcome)})",
        ),
        (outcome.near, "of them near duplicates: got the cloak of the photo that they are like"),
        (counts[Status.SKIPPED], "near duplicates, left out as the settings say"),
        (counts[Status.NO_FACE], "without a face: copied"),
        (counts[Status.UNCHANGED], "with no face to cloak: copied"),
        (counts[Status.DUPLICATE], "duplicates: got the same cloaked file as their twin"),
        (outcome.moved, "moved with their originals"),
        (outcome.pruned, "pruned: their originals are gone"),
        (counts[Status.COMPANION], "sidecars and other files of photos: copied"),
        (
            sum(ref.naming is not None for ref in plan.refs),
            "written under another name, as OUT cannot hold their own (notes in the manifest)",
        ),
        (counts[Status.UNSUPPORTED], "left out, not copied"),
        (counts[Status.FAILED], "failed, not copied"),
    )
    if outcome.left_out:
        lines += ["", "Left out:"]
        lines += [
            f"  {count:>6,}  {reason}"
            for reason, count in outcome.left_out.most_common(MOST_LISTED)
        ]
    lines += [*failures("Failed:", outcome.failed)]
    if outcome.still_failed:
        lines += failures(
            f"Failed in an earlier run, and not tried again ({len(outcome.still_failed):,}):",
            outcome.still_failed,
        )
        lines.append("They are tried when the files or the settings change, or with --retry.")
    if outcome.pruned and outcome.trash is not None:
        lines += [
            "",
            f"The pruned files are kept until the next prune, in {outcome.trash}.",
            f"`{shlex.join(['photoveil', 'restore', library.root])}` puts them back.",
        ]
    people = outcome.people
    if people.merged or people.split:
        merged, split = number(len(people.merged), "person"), len(people.split)
        lines += ["", f"People: {merged} merged into others, {split} split off (see changes.log)."]
    if outcome.stopped:
        left = number(plan.files - sum(counts.values()), "file")
        lines += ["", f"Stopped by {outcome.stopped}, {left} to go: the same command goes on."]
    lines += _time(outcome)
    lines += ["", f"Photos:   {library.root}", f"Manifest: {library.manifest}", "", CAVEAT]
    return "\n".join(lines)


def _time(outcome: RunResult) -> list[str]:
    shares = [(name, share) for name, share in outcome.work.shares() if share >= _LEAST_SHARE]
    told = ", ".join(f"{name} {share:.0%}".replace("%", " %") for name, share in shares)
    return ["", f"Where the time went: {told}."] if told else []


def _visibility(outcome: RunResult) -> str:
    if not outcome.flips:
        return ""
    mean, worst = sum(outcome.flips) / len(outcome.flips), max(outcome.flips)
    return f"; visible change FLIP {mean:.3f} on average, {worst:.3f} at worst, of 1"
