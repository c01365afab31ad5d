"""When `--prune` may delete: it has to be hard to do by mistake.

A disk that is not there looks like an archive whose photos were all deleted, and so does another
folder. Prune is refused unless photos of the archive are there as they were, and needs a person's
word where much would go. What is pruned goes to the trash of the private state.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from photoveil.pipeline.library.identity import LibraryError
from photoveil.pipeline.library.library import Library
from photoveil.pipeline.run.plan import Plan
from photoveil.transforms.io import storage

MUCH = 0.1
"""The share of a library's photos above which a prune needs consent."""


@dataclass(frozen=True)
class Consent:
    """What a person agrees to.

    yes: to any number of files. most: to so many files and no more. ask: puts a question to the
        person; None where nobody can answer.
    """

    yes: bool = False
    most: int | None = None
    ask: Callable[[str], bool] | None = None


def check_archive(library: Library, plan: Plan) -> None:
    """Refuse to prune where nothing of the archive is there.

    Raises:
        LibraryError: so.
    """
    if plan.is_away:
        raise LibraryError(
            f"none of the {plan.photos:,} photos of this library is in {library.source} with the "
            "bytes that it had; is the disk there, and is it the right folder? Nothing was pruned"
        )


def check(library: Library, plan: Plan, consent: Consent) -> None:
    """Refuse to prune without consent where much would go.

    Raises:
        LibraryError: nothing may be pruned; the message says why and what to do.
    """
    count = len(plan.gone)
    if not count:
        return
    check_archive(library, plan)
    if consent.most is not None:
        if count > consent.most:
            raise LibraryError(
                f"{_files(count)} would be pruned, more than --max-delete {consent.most:,} allows. "
                "Nothing was done"
            )
        return
    doubts = _doubts(library, plan)
    if not doubts or consent.yes:
        return
    what = f"{_files(count)} would be pruned: {'; '.join(doubts)}"
    if consent.ask is None:
        raise LibraryError(
            f"{what}. Nothing was done. `photoveil plan` lists them; if that is right, add "
            f"--max-delete {count}, or --yes for any number"
        )
    if not consent.ask(f"{what}. Prune them?"):
        raise LibraryError("nothing was done. Without --prune, a run keeps them")


def _doubts(library: Library, plan: Plan) -> list[str]:
    """Why a prune may be a mistake."""
    doubts = []
    if plan.gone_photos > MUCH * plan.photos:
        share = plan.gone_photos / plan.photos
        doubts.append(f"{share:.0%} of the photos in the library".replace("%", " %"))
    there = [name for name in plan.bare if _is_folder(library.source, name)]
    if there:
        doubts.append(
            f"{', '.join(there[:3])}{' and others' if len(there) > 3 else ''}: still there, but "
            "empty, as the place of a disk that is not mounted"
        )
    return doubts


def _is_folder(source: str, name: str) -> bool:
    return storage.is_local(source) and os.path.isdir(os.path.join(source, name))


def _files(count: int) -> str:
    return f"{count:,} cloaked {'file' if count == 1 else 'files'}"
