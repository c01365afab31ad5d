"""The last lines of a run: what happened, in plain words, and where to look."""

from __future__ import annotations

from pipeline.library import Library
from pipeline.screen import duration
from pipeline.waves import Outcome

_MOST_LISTED = 20

_CAVEAT = (
    "A cloak makes today's recognisers less sure of a face. It is no guarantee: recognisers "
    "built later,\nor trained on cloaked photos, may see through it, and photos already online "
    "stay as they are."
)


def summary(outcome: Outcome, library: Library) -> str:
    """Several lines without a final newline."""
    counts, plan = outcome.statuses, outcome.plan
    lines = [
        f"{_number(sum(counts.values()), 'file')} looked at in {duration(outcome.seconds)}."
        if plan.todo
        else "Nothing new."
    ]
    lines += [
        f"  {counts[status]:>6,}  {words}"
        for status, words in (
            ("cloaked", f"cloaked ({_number(outcome.faces, 'face')}{_visibility(outcome)})"),
            ("no_face", "without a face: copied as they are"),
            ("unchanged", "with tiny faces only: copied as they are"),
            ("duplicate", "duplicates: got the same cloaked file as their twin"),
            ("unsupported", "left out, not copied"),
            ("failed", "failed, not copied"),
        )
        if counts[status]
    ]
    if plan.unchanged:
        lines.append(f"  {plan.unchanged:>6,}  done by an earlier run")
    if plan.stale:
        lines.append(
            f"  {plan.stale:>6,}  done by an earlier run with other settings: left so "
            "(--recloak does them anew)"
        )
    if outcome.left_out:
        lines += ["", "Left out:"]
        lines += [
            f"  {count:>6,}  {reason}"
            for reason, count in outcome.left_out.most_common(_MOST_LISTED)
        ]
    if outcome.failed:
        lines += ["", "Failed:"]
        lines += [f"  {source}: {why}" for source, why in sorted(outcome.failed)[:_MOST_LISTED]]
        if len(outcome.failed) > _MOST_LISTED:
            lines.append(f"  … and {len(outcome.failed) - _MOST_LISTED:,} more, see the manifest")
        lines.append("They are tried again at the next run.")
    lines += ["", f"Photos:   {library.root}", f"Manifest: {library.manifest}", "", _CAVEAT]
    return "\n".join(lines)


def _visibility(outcome: Outcome) -> str:
    if not outcome.flips:
        return ""
    mean, worst = sum(outcome.flips) / len(outcome.flips), max(outcome.flips)
    return f"; visible change FLIP {mean:.3f} on average, {worst:.3f} at worst, of 1"


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
