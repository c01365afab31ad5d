"""Examples for the help of each command."""

from __future__ import annotations

EXAMPLES: dict[str, tuple[tuple[str, str], ...]] = {
    "run": (
        ("run ~/Pictures ~/Pictures-cloaked", "cloak what is new"),
        ("run ~/Pictures/2019/*.jpg ~/Pictures-cloaked", "some photos, and nothing else"),
        ("run ~/Pictures/2019 ~/Pictures/2020 ~/Pictures-cloaked", "two folders"),
        ("run ~/Pictures ~/Pictures-cloaked --dry-run", "only say what would be done"),
        ("run ~/Pictures ~/Pictures-cloaked --deadline 06:00 --quiet", "at night, from cron"),
        ("run ~/Pictures ~/Pictures-cloaked --except Anna", "leave Anna's faces as they are"),
        ("run ~/Pictures ~/Pictures-cloaked --review review.json", "do what you marked"),
    ),
    "plan": (
        ("plan ~/Pictures ~/Pictures-cloaked", "say what a run would do"),
        ("plan ~/Pictures ~/Pictures-cloaked --mode high --recloak", "and in another mode"),
    ),
    "scan": (("scan ~/Pictures ~/Pictures-cloaked", "find people before the first run"),),
    "evaluate": (
        ("evaluate ~/Pictures-cloaked --originals ~/Pictures", "measure the protection"),
        (
            "evaluate ~/Pictures-cloaked --originals ~/Pictures --report evaluation.json",
            "and keep the figures",
        ),
    ),
    "report": (
        ("report ~/Pictures-cloaked --open", "look at each photo before and after"),
        ("report ~/Pictures-cloaked --portable --to ~/report", "to take to another machine"),
    ),
    "undo": (
        ("undo ~/Pictures-cloaked/2012/portrait.jpg", "publish the original of a photo"),
        ("undo ~/Pictures-cloaked/2012 --yes", "of a folder, without a question"),
    ),
    "redo": (("redo ~/Pictures-cloaked/2012/portrait.jpg", "have it cloaked again"),),
    "status": (("status ~/Pictures-cloaked", "what is there, and how the last run ended"),),
    "restore": (("restore ~/Pictures-cloaked", "put back what the last prune deleted"),),
    "verify": (
        ("verify ~/Pictures-cloaked", "read everything again"),
        ("verify ~/Pictures-cloaked --repair", "and delete what the next run makes anew"),
        ("verify ~/Pictures-cloaked --leaks", "look for uncloaked faces"),
    ),
    "people": (
        ("people ~/Pictures-cloaked", "list the people"),
        ("people ~/Pictures-cloaked --name p1a2b3c=Anna", "name one of them"),
    ),
    "schedule": (
        ("schedule ~/Pictures ~/Pictures-cloaked", "show the units of a nightly run"),
        ("schedule ~/Pictures ~/Pictures-cloaked --start 23:30 --install", "and start it"),
        (
            "schedule ~/Pictures ~/Pictures-cloaked --threads 2",
            "on two cores",
        ),
    ),
    "forget": (
        ("forget ~/Pictures-cloaked", "delete the private state of a library"),
        ("forget --all", "delete all of them"),
    ),
    "states": (("states", "list the private states of this machine"),),
    "assets": (("assets", "fetch the models"),),
    "demo": (("demo ~/photoveil-demo", "try it on public photos"),),
}
"""By command: what to type after `photoveil`, and what that does."""


def epilog(command: str) -> str:
    """Return the examples of a command as the last part of its help."""
    lines = [f"photoveil {typed}  [dim]# {does}[/dim]" for typed, does in EXAMPLES[command]]
    return "\n\n".join(["[bold]Examples[/bold]", *lines])
