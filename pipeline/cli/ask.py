"""Questions before something is deleted."""

from __future__ import annotations

import sys

from rich.console import Console


class NoAnswer(ValueError):
    """Nobody answered the question."""


def agreed(question: str, console: Console, yes: bool = False) -> bool:
    """Ask, and wait for an answer from standard input.

    Args:
        question: without the choice of answers.
        console: to ask on.
        yes: the user has agreed beforehand; nothing is asked.

    Returns:
        False for any answer but yes.

    Raises:
        NoAnswer: standard input ends without one, as in a script.
    """
    if yes:
        return True
    console.print(f"{question} [y/N] ", end="", markup=False, highlight=False, soft_wrap=True)
    sys.stdout.flush()
    answer = sys.stdin.readline()
    if not answer:
        console.print()
        raise NoAnswer("nobody is here to answer, so nothing was done; scripts agree by --yes")
    return answer.strip().lower() in ("y", "yes")
