"""When two names may be one to a file system that ignores case or Unicode normal form."""

from __future__ import annotations

import re
import unicodedata

# Unicode's Default_Ignorable_Code_Point: ext4 and APFS take no notice of these in a name.
_IGNORED = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)


def key(path: str, case: bool = True, form: bool = True) -> str:
    """Return a key that is equal for two paths that a file system may take for one.

    That is any file system that folds case, normal form or both. The key is coarser than any one
    file system's own table, of which there are many.
    """
    if form:
        path = unicodedata.normalize("NFD", _IGNORED.sub("", path))
    if case:
        path = path.casefold().upper().casefold()
    # Folding may bring forth what is not in normal form.
    return unicodedata.normalize("NFD", path) if form else path
