"""What outputs are called where OUT cannot hold the names of the sources."""

from __future__ import annotations

import errno
import os
import unicodedata
from pathlib import Path

import pytest

from photoveil.transforms.io import storage
from photoveil.transforms.naming import output_names, probe
from photoveil.transforms.naming.output_names import Held, Rules, Wanted, assign
from tests.disks import FORBIDDEN, FoldingStore

EXFAT = Rules(folds_case=True, refused=FORBIDDEN, raw=False, in_utf16=True)
APFS = Rules(folds_case=True, folds_form=True, raw=False, in_utf16=True)
WINDOWS = Rules(folds_case=True, refused=FORBIDDEN, ends=frozenset(". "), devices=False)
LINUX = Rules()
COMPOSED, APART = (unicodedata.normalize(form, "é.jpg") for form in ("NFC", "NFD"))


def names(
    *paths: str,
    held: tuple[Held, ...] = (),
    rules: Rules = EXFAT,
    moved: dict[str, str] | None = None,
) -> dict[str, str]:
    """Where each file goes."""
    wanted = [Wanted(path, (moved or {}).get(path)) for path in paths]
    given = assign(wanted, held, rules, "_photoveil")
    assert all(naming.why for naming in given.values())
    return {path: given[path].path if path in given else path for path in paths}


def test_a_linux_disk_holds_all_names_as_they_are() -> None:
    paths = ["A.JPG", "a.jpg", "Sub/x.jpg", "sub/X.jpg", COMPOSED, APART, "a:b?.jpg", "CON", "c. "]
    paths += ["x" * 255, "caf\udce9.jpg", "_Photoveil/a.jpg", "a/b.jpg", "%41.jpg"]
    assert assign([Wanted(path) for path in paths], [], LINUX, "_photoveil") == {}


def test_one_of_two_gets_a_mark_of_its_own_path_whatever_the_order() -> None:
    one = names("d/IMG_1.JPG", "d/img_1.jpg")
    assert one["d/IMG_1.JPG"] == "d/IMG_1.JPG"
    assert one["d/img_1.jpg"] == "d/img_1 (e6016d4d).jpg"
    assert names("d/img_1.jpg", "d/IMG_1.JPG") == one
    assert names("d/img_1.jpg", held=(Held("d/IMG_1.JPG", "d/IMG_1.JPG"),)).items() <= one.items()
    assert names("x.jpg", *one)["d/img_1.jpg"] == one["d/img_1.jpg"]


def test_what_is_there_keeps_its_name_though_another_comes_first() -> None:
    held = (Held("img_1.jpg", "img_1.jpg"),)
    found = names("IMG_1.JPG", held=held)
    assert found["IMG_1.JPG"].startswith("IMG_1 (")
    assert names("IMG_1.JPG", "img_1.jpg", held=held)["img_1.jpg"] == "img_1.jpg"  # done anew


@pytest.mark.parametrize("rules", [APFS, Rules(folds_form=True)])
def test_spellings_of_one_letter_are_one_name_where_forms_are_folded(rules: Rules) -> None:
    found = names(COMPOSED, APART, rules=rules)
    assert len({rules.key(name) for name in found.values()}) == 2
    assert names(COMPOSED, APART, rules=EXFAT) == {COMPOSED: COMPOSED, APART: APART}


def test_a_sidecar_and_a_live_video_go_with_their_photo() -> None:
    found = names(
        *("IMG_1.HEIC", "IMG_1.MOV", "IMG_1.xmp"),
        *("img_1.heic", "img_1.mov", "img_1.heic.xmp", "img_1.aae", "img_1.heic.json"),
    )
    assert [found[name] for name in ("IMG_1.HEIC", "IMG_1.MOV", "IMG_1.xmp")] == [
        *("IMG_1.HEIC", "IMG_1.MOV", "IMG_1.xmp")
    ]
    start = found["img_1.heic"].removesuffix(".heic")
    assert start != "img_1"
    for name in ("img_1.mov", "img_1.heic.xmp", "img_1.aae", "img_1.heic.json"):
        assert found[name] == start + name.removeprefix("img_1")


def test_a_sidecar_that_comes_later_goes_with_its_photo() -> None:
    first = names("IMG_1.JPG", "img_1.jpg")
    held = tuple(Held(source, output, "") for source, output in first.items())
    later = names("img_1.xmp", "IMG_1.xmp", held=held)
    assert later["img_1.xmp"] == first["img_1.jpg"].replace(".jpg", ".xmp")
    assert later["IMG_1.xmp"] == "IMG_1.xmp"


def test_names_that_differ_by_their_extensions_alone() -> None:
    found = names("a.JPG", "a.jpg", "a.jpg.xmp", "a.JPG.xmp", "a.xmp")
    assert found["a.JPG"] == "a.JPG"
    assert found["a.xmp"] == "a.xmp"
    assert len({EXFAT.key(name) for name in found.values()}) == 5
    held = tuple(Held(source, found[source]) for source in ("a.JPG", "a.jpg"))
    assert names("a.jpg.xmp", held=held)["a.jpg.xmp"] == f"{found['a.jpg']}.xmp"


@pytest.mark.parametrize(
    ("source", "output"),
    [
        ("10:30?.jpg", "10%3A30%3F.jpg"),
        ("a\\b\x07.jpg", "a%5Cb%07.jpg"),
        ("where. /what.", "where%2E%20/what%2E"),
        ("con.jpg", "%63on.jpg"),
        ("AUX/COM1.tar.gz", "%41UX/%43OM1.tar.gz"),
        ("console.jpg", "console.jpg"),
        ("100%.jpg", "100%.jpg"),
    ],
)
def test_what_is_refused_is_written_as_codes(source: str, output: str) -> None:
    assert names(source, rules=WINDOWS)[source] == output


def test_bytes_that_are_no_utf8_are_written_as_codes() -> None:
    assert names("d\udce9/caf\udce9.jpg")["d\udce9/caf\udce9.jpg"] == "d%E9/caf%E9.jpg"


def test_codes_that_are_in_a_name_already_clash_with_nobody() -> None:
    found = names("a:b.jpg", "a%3Ab.jpg")
    assert found["a%3Ab.jpg"] == "a%3Ab.jpg"
    assert found["a:b.jpg"].startswith("a%3Ab (")


@pytest.mark.parametrize(
    ("name", "rules"),
    [
        ("x" * 251 + ".jpeg", EXFAT),
        ("あ" * 100 + ".jpg", LINUX),
        ("あ" * 100 + ".jpg.supplemental-metadata.json", LINUX),
        ("x" * 150 + ".jpg", Rules(longest=143)),
        ("😀" * 130 + ".jpg", EXFAT),
        ("x" * 300, EXFAT),
    ],
)
def test_a_name_that_is_too_long_is_cut_and_keeps_its_ending(name: str, rules: Rules) -> None:
    found = names(f"{name}/{name}", rules=rules)[f"{name}/{name}"]
    assert all(rules.length(part) <= rules.longest for part in found.split("/"))
    assert found.endswith(name[name.find(".") :] if "." in name else ")")
    assert os.fsencode(found.split("/")[1])[:20] == os.fsencode(name)[:20]
    twin = name[:90] + "yy" + name[92:]
    assert len(set(names(name, twin, rules=rules).values())) == 2


def test_a_path_that_is_too_long_loses_inner_folders() -> None:
    rules = Rules(raw=False, longest=180, longest_path=200)
    deep = "/".join(f"folder {number}" for number in range(40))
    found = names(f"{deep}/a.jpg", f"{deep}/b.jpg", f"{deep}/c/a.jpg", rules=rules)
    assert all(len(name) <= 200 for name in found.values())
    assert len(set(found.values())) == 3
    assert found[f"{deep}/a.jpg"].startswith("folder 0/folder 1/")
    assert found[f"{deep}/a.jpg"][:-5] == found[f"{deep}/b.jpg"][:-5]


def test_folders_that_are_one_are_shared_and_none_is_a_file_or_the_librarys_own() -> None:
    assert names("Sub/a.jpg", "sub/b.jpg") == {"Sub/a.jpg": "Sub/a.jpg", "sub/b.jpg": "Sub/b.jpg"}
    found = names("Sub/a.jpg", "sub/A.jpg", "SUB")
    assert len({EXFAT.key(name) for name in found.values()}) == 3
    assert found["SUB"].startswith("SUB (")
    held = (Held("Sub", "Sub"),)
    assert names("sub/a.jpg", held=held)["sub/a.jpg"].startswith("sub (")
    assert names("_Photoveil/lock")["_Photoveil/lock"].startswith("_Photoveil (")


def test_a_rename_of_case_only_leaves_the_output_where_it_is() -> None:
    held = (Held("Sub/A.JPG", "Sub/A.JPG"), Held("b.jpg", "b.jpg"))
    found = names("sub/a.jpg", held=held, moved={"sub/a.jpg": "Sub/A.JPG"})
    assert found == {"sub/a.jpg": "Sub/A.JPG"}
    assert names("sub/a.jpg", held=held, moved={"sub/a.jpg": "Sub/A.JPG"}, rules=LINUX) == {
        "sub/a.jpg": "sub/a.jpg"
    }
    # The old name is another photo's now: that one keeps the output, and this one gets its own.
    found = names("Sub/A.JPG", "sub/a.jpg", held=held, moved={"sub/a.jpg": "Sub/A.JPG"})
    assert found["Sub/A.JPG"] == "Sub/A.JPG"
    assert found["sub/a.jpg"].startswith("Sub/a (")


def test_outputs_of_a_disk_that_held_them_all_are_named_anew() -> None:
    held = (Held("A.JPG", "A.JPG"), Held("a.jpg", "a.jpg"), Held("b:.jpg", "b:.jpg"))
    assert names("A.JPG", held=held)["A.JPG"].startswith("A (")  # a.jpg is done and stays
    found = names("A.JPG", "a.jpg", "b:.jpg", held=held)
    assert found["A.JPG"] == "A.JPG"
    assert found["a.jpg"].startswith("a (")
    assert found["b:.jpg"] == "b%3A.jpg"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ß", "ẞ"),
        ("\u0131", "I"),
        ("ﬁ", "FI"),
        ("Σ", "ς"),
        ("K", "k"),
        ("é", "E\u0301"),
        ("a\u200d", "A"),
    ],
)
def test_what_any_file_system_folds_has_one_key(one: str, other: str) -> None:
    assert APFS.key(one) == APFS.key(other)


def test_an_output_tells_which_source_it_may_be_of() -> None:
    sources = ["d/IMG_1.JPG", "d/img_1.jpg", "10:30.jpg", "y.jpg"]
    outputs = names(*sources, rules=WINDOWS)
    tell = output_names.may_be_of(sources)
    assert all(map(tell, outputs.values()))
    assert not tell("d/img_2.jpg")
    assert not tell("d/img_1 (00000000) copy.jpg")


def test_the_notes_of_a_row_say_why() -> None:
    naming = assign([Wanted("a:b.jpg")], [], EXFAT, "_photoveil")["a:b.jpg"]
    notes = ["thumbnail rebuilt", *output_names.note(naming)]
    assert notes[1] == "written under another name: OUT takes no : in names"
    assert output_names.why(notes) == naming.why
    assert output_names.other_notes(notes) == ["thumbnail rebuilt"]
    assert output_names.note(None) == ()


def test_a_linux_disk_is_found_to_be_one(tmp_path: Path) -> None:
    paths = ["A.JPG", "a.jpg", "a:b?.jpg", "CON", "c. ", "caf\udce9.jpg", "😀", "あ", "a\x01"]
    rules = probe.find_rules(str(tmp_path), str(tmp_path / "scratch"), paths)
    assert rules == Rules(longest_path=rules.longest_path)
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_folding_store_is_found_to_be_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    FoldingStore(tmp_path, monkeypatch)
    paths = ["A.JPG", "a:b?.jpg", "CON", "caf\udce9.jpg", "😀", "x" * 300]
    rules = probe.find_rules(str(tmp_path), str(tmp_path / "scratch"), paths)
    assert rules == Rules(
        folds_case=True,
        refused=frozenset(":?"),
        raw=False,
        longest_path=rules.longest_path,
    )
    assert list((tmp_path / "scratch").iterdir()) == []


@pytest.mark.parametrize("limit", [143, 100])
def test_a_short_limit_is_found(limit: int) -> None:
    def takes(name: str) -> bool:
        return len(name.encode()) <= limit

    assert probe._most(takes, 255) == limit


def test_a_full_or_read_only_disk_is_no_fault_of_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scratch").mkdir()

    real = os.open

    def full(path: str, flags: int, *arguments: int, **more: int) -> int:
        if flags & os.O_CREAT:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(path, flags, *arguments, **more)

    monkeypatch.setattr(os, "open", full)
    with pytest.raises(OSError, match="No space"):
        probe.find_rules(str(tmp_path), str(tmp_path / "scratch"), ["a.jpg"])


@pytest.mark.parametrize(
    ("root", "path", "why"),
    [
        ("gs://bucket/out", "a\nb.jpg", "U+000A"),
        ("s3://bucket/out", "caf\udce9.jpg", "UTF-8"),
        ("s3://bucket/out", "/".join(["x" * 200] * 6), "1,020 bytes"),
    ],
)
def test_a_bucket_has_rules_of_its_own(root: str, path: str, why: str) -> None:
    rules = probe.find_rules(root, f"{root}/scratch", [path])
    given = assign([Wanted(path)], [], rules, "_photoveil")[path]
    assert why in given.why
    assert len(f"out/{given.path}".encode()) <= 1024
    given.path.encode()
    ordinary = ["A.JPG", "a.jpg", "a:b?*.jpg", "CON", "x. ", COMPOSED, APART, "x" * 255]
    assert assign([Wanted(path) for path in ordinary], [], rules, "_photoveil") == {}


def test_another_files_second_name_is_never_written_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "IMG_0001 holiday.JPG").write_bytes(b"one")
    (tmp_path / "IMG_00~1.JPG").symlink_to("IMG_0001 holiday.JPG")  # as FAT and NTFS find it
    real = os.listdir
    monkeypatch.setattr(os, "listdir", lambda folder: [n for n in real(folder) if "~" not in n])
    with pytest.raises(OSError, match="name for that of another file"):
        output_names.place(str(tmp_path), "IMG_00~1.JPG")
    assert output_names.place(str(tmp_path), "IMG_0001 holiday.JPG")
    assert output_names.place(str(tmp_path), "new.jpg")


def test_one_entry_and_hard_links_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = tmp_path / "exact"
    exact.mkdir()
    (exact / "A.jpg").write_bytes(b"one")
    os.link(exact / "A.jpg", exact / "a.jpg")
    assert not storage.is_one_entry(str(exact), "A.jpg", "a.jpg")
    assert output_names.without_kept(str(exact), ["A.jpg"], ["a.jpg"]) == ["A.jpg"]
    folding = tmp_path / "folding"
    folding.mkdir()
    FoldingStore(folding, monkeypatch)
    (folding / "Sub").mkdir()
    (folding / "Sub/A.jpg").write_bytes(b"one")
    assert storage.is_one_entry(str(folding), "sub/a.jpg", "Sub/A.jpg")
    assert storage.is_one_entry(str(folding), "sub/A.jpg", "Sub/a.jpg")
    assert output_names.without_kept(str(folding), ["sub/a.jpg", "b"], ["Sub/A.jpg"]) == ["b"]
    assert output_names.without_kept(str(folding), ["Sub/A.jpg", "b"], ["sub/a.jpg"]) == ["b"]


def test_a_folder_is_known_by_one_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    FoldingStore(tmp_path, monkeypatch)
    (tmp_path / "Photos").mkdir()
    assert storage.absolute(f"{tmp_path}/photos/Out/") == f"{tmp_path}/Photos/Out"
    assert storage.absolute(f"{tmp_path}/Photos") == f"{tmp_path}/Photos"
    assert storage.absolute("/nowhere/at/all") == "/nowhere/at/all"
