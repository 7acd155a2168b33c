# SPDX-License-Identifier: GPL-2.0-or-later
"""What differs between two packages, and the judgement on it."""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import ROOT
from builders.debkit.compare import Change, Comparison, compare, exit_code, pairs
from builders.debkit.compare.changes import parse_relations
from builders.debkit.compare.terms import change
from builders.errors import BuildError, Exit
from builders.show.changes import _row, table
from builders.show.changes import document as document_of
from builders.show.outcome import to_json
from builders.verbs import inspect
from tests.unit import debs
from tests.unit.debs import Item, elf, folder, hardlink, symlink


def between(
    tmp_path: Path,
    old: Iterable[Item] = (),
    new: Iterable[Item] = (),
    *,
    control: tuple[Mapping[str, str], Mapping[str, str]] = ({}, {}),
    files: tuple[Mapping[str, bytes], Mapping[str, bytes]] = ({}, {}),
) -> Comparison:
    first = debs.make(tmp_path / "old.deb", old, control=control[0], files=files[0])
    second = debs.make(tmp_path / "new.deb", new, control=control[1], files=files[1])
    return compare(first, second)


def told(comparison: Comparison, kind: str) -> list[tuple[str, str, str, str]]:
    """(severity, subject, action, judgement) of the changes of a kind."""
    return [
        (str(c.severity or ""), c.subject, c.action, c.judgement)
        for c in comparison.changes
        if c.kind == kind
    ]


def fields(old: Mapping[str, str], new: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    return {"Version": "1", **old}, {"Version": "2", **new}


def test_the_same_package(tmp_path: Path) -> None:
    one = debs.mkdeb(tmp_path / "a.deb")
    same = compare(one, one)
    assert same.changes == ()
    assert exit_code([same]) is Exit.DONE
    assert " ".join(table([same], [], [], 80, colour=False).split()).endswith(": no difference")


# Fields


@pytest.mark.parametrize(
    ("old", "new", "severity", "words"),
    [
        ("1.0", "1.1", "", ""),
        ("1.0", "1.0~rc1", "warning", "a downgrade: apt does it only when told to"),
        ("1:1", "2", "warning", "a downgrade: apt does it only when told to"),
        ("1", "x y", "error", "is no version that dpkg can compare (deb-version(7))"),
    ],
)
def test_versions(tmp_path: Path, old: str, new: str, severity: str, words: str) -> None:
    control = ({"Version": old}, {"Version": new})
    assert told(between(tmp_path, control=control), "field") == [
        (severity, "Version", "changed", words)
    ]


def test_other_content_under_the_same_version(tmp_path: Path) -> None:
    changes = between(tmp_path, [Item("./usr/bin/x", b"1")], [Item("./usr/bin/x", b"2")])
    [(severity, subject, _, judgement)] = told(changes, "field")
    assert (severity, subject) == ("warning", "Version")
    assert "apt does not see a new package" in judgement


def test_relations_are_parsed() -> None:
    assert parse_relations("a, b (>= 1)  |  c ,\n libc6:any(>= 2), d [amd64],") == {
        "a": "a",
        "b | c": "b (>= 1) | c",
        "libc6:any": "libc6:any(>= 2)",
        "d [amd64]": "d [amd64]",
    }
    assert parse_relations("a (>= 1), a (<< 2)") == {"a": "a (>= 1), a (<< 2)"}


def test_conditions_in_another_order_are_the_same(tmp_path: Path) -> None:
    control = fields({"Depends": "a (>= 1), b, a (<< 2)"}, {"Depends": "a (<< 2), a (>= 1), b"})
    assert not told(between(tmp_path, [], [], control=control), "relation")


def program(*needed: str) -> Item:
    return Item("./usr/bin/x", elf(needed), mode=0o755)


YAJL = "libyajl.so.2"


def test_a_dependency_that_went_with_its_need(tmp_path: Path) -> None:
    control = fields({"Depends": "libyajl2 (>= 2)"}, {})
    fine = between(tmp_path, [program(YAJL)], [program()], control=control)
    assert told(fine, "relation") == [
        ("", "Depends: libyajl2", "removed", "fine: no file needs libyajl.so.2 any more")
    ]
    assert told(fine, "needs") == [("", YAJL, "removed", "")]
    lost = between(tmp_path, [program(YAJL)], [program(YAJL)], control=control)
    assert told(lost, "relation") == [
        (
            "error",
            "Depends: libyajl2",
            "removed",
            "/usr/bin/x still needs libyajl.so.2: the dependency is missing",
        )
    ]
    assert exit_code([lost]) is Exit.AUDIT
    unknown = between(tmp_path, [program()], [program()], control=control)
    assert told(unknown, "relation")[0][0] == "info"


def test_a_dependency_that_moved(tmp_path: Path) -> None:
    old = {"Depends": "qemu, python3", "Pre-Depends": ""}
    new = {"Recommends": "qemu", "Pre-Depends": "python3 (>= 3.11)"}
    by_name = {c.subject: c for c in between(tmp_path, control=fields(old, new)).changes}
    assert by_name["Depends: qemu"].judgement == "only in Recommends now"
    assert by_name["Depends: python3"].judgement.startswith("still there in another form")
    assert by_name["Depends: python3"].severity is None


def test_a_new_need(tmp_path: Path) -> None:
    missing = between(tmp_path, [program()], [program(YAJL)], control=fields({}, {}))
    [(severity, _, _, judgement)] = told(missing, "needs")
    assert severity == "warning"
    assert judgement == "needed by /usr/bin/x; no new dependency brings it"
    control = fields({}, {"Depends": "libyajl2"})
    declared = between(tmp_path, [program()], [program(YAJL)], control=control)
    assert told(declared, "needs") == [("", YAJL, "added", "needed by /usr/bin/x")]
    assert told(declared, "relation")[0][3] == "brings libyajl.so.2, for 1 file"
    own = [program(YAJL), Item("./usr/lib/libyajl.so.2", elf(soname=YAJL))]
    assert told(between(tmp_path, [program()], own, control=fields({}, {})), "needs")[0][0] == ""


@pytest.mark.parametrize(
    ("field", "old", "new", "severity", "words"),
    [
        ("Conflicts", "", "xen-utils", "warning", "apt removes or upgrades xen-utils"),
        ("Breaks", "", "x (<< 2)", "warning", "apt removes or upgrades x"),
        ("Conflicts", "x", "", "", ""),
        ("Provides", "x", "", "warning", "no longer satisfied"),
        ("Replaces", "x", "", "warning", "a file of x is in the way"),
        ("Suggests", "x", "", "", ""),
        ("Depends", "x (>= 1)", "x (>= 2)", "", "the condition on its version"),
        ("Depends", "", "x", "info", "has to be there now"),
    ],
)
def test_other_relations(
    tmp_path: Path, field: str, old: str, new: str, severity: str, words: str
) -> None:
    changes = between(tmp_path, control=fields({field: old}, {field: new}))
    [(found, _, _, judgement)] = told(changes, "relation")
    assert found == severity
    assert words in judgement


# Files


def test_files_that_come_and_go(tmp_path: Path) -> None:
    old = [
        Item("./usr/bin/gone", b"a"),
        Item("./usr/share/doc/x", b"b"),
        Item("./lib/systemd/system/x.service", b"c"),
        Item("./usr/lib/old/moved", b"the same"),
        Item("./bin/merged", b"other than before"),
    ]
    new = [
        Item("./usr/lib/new/moved", b"the same"),
        Item("./usr/bin/merged", b"merged"),
        Item("./usr/share/doc/y", b"y"),
    ]
    changes = between(tmp_path, old, new, control=fields({}, {}))
    by_path = {c.subject: c for c in changes.changes if c.kind == "file"}
    assert by_path["/usr/bin/gone"].judgement == "the command is gone"
    assert by_path["/lib/systemd/system/x.service"].judgement == "the service is gone"
    assert by_path["/usr/share/doc/x"].severity is None
    assert by_path["/usr/lib/old/moved"].new == "/usr/lib/new/moved"
    assert "/usr/lib/new/moved" not in by_path
    assert by_path["/bin/merged"].judgement == "it is in /usr/bin now"
    assert by_path["/usr/share/doc/y"].action == "added"


def test_a_library_that_goes(tmp_path: Path) -> None:
    library = Item("./usr/lib/libx.so.1", elf(soname="libx.so.1"))
    shlibs = {"shlibs": b"libx 1 x (>= 1)\n"}
    changes = between(tmp_path, [library], [], control=fields({}, {}), files=(shlibs, {}))
    assert exit_code([changes]) is Exit.AUDIT
    [found] = [c for c in changes.changes if c.subject == "/usr/lib/libx.so.1"]
    assert found.judgement == "what was linked against this library stops working"
    moved = Item("./usr/lib/x86_64-linux-gnu/libx.so.1", elf(soname="libx.so.1"))
    assert exit_code([between(tmp_path, [library], [moved], control=fields({}, {}))]) is Exit.DONE
    # Nobody else was told of it: a part of its own programs.
    private = between(tmp_path, [library], [], control=fields({}, {}))
    assert exit_code([private]) is Exit.DONE
    assert told(private, "file")[0][0] == "warning"


@pytest.mark.parametrize(
    ("soname", "old", "new"),
    [
        ("libcrypto.so.3", "libssl3 (>= 3)", "libssl3t64 (>= 3)"),
        ("libcups.so.2", "libcups2 (= 2.4)", "libcups2t64 (>= 2.4)"),
        ("libglib-2.0.so.0", "libglib2.0-0 (>= 2)", "libglib2.0-0t64 (>= 2)"),
    ],
)
def test_a_dependency_that_has_another_name_is_not_lost(
    tmp_path: Path, soname: str, old: str, new: str
) -> None:
    control = fields({"Depends": old}, {"Depends": new})
    changes = between(tmp_path, [program(soname)], [program(soname)], control=control)
    assert exit_code([changes]) is Exit.DONE
    (name,) = new.split(" (")[:1]
    assert f"{name} brings {soname} now" in {row[3] for row in told(changes, "relation")}


@pytest.mark.parametrize(
    ("old", "new", "severity", "words"),
    [
        (0o755, 0o4755, "warning", "setuid bit new: whoever runs it is root"),
        (0o755, 0o2755, "warning", "setgid bit new: it runs as group root"),
        (0o4755, 0o755, "", ""),
        (0o755, 0o777, "error", "everybody may write to it"),
        (0o755, 0o644, "error", "cannot be run any more"),
        (0o755, 0o750, "info", "can no longer be read by everybody"),
    ],
)
def test_modes(tmp_path: Path, old: int, new: int, severity: str, words: str) -> None:
    changes = between(
        tmp_path,
        [Item("./usr/bin/x", b"x", mode=old)],
        [Item("./usr/bin/x", b"x", mode=new)],
        control=fields({}, {}),
    )
    assert told(changes, "file") == [(severity, "/usr/bin/x", "changed", words)]


def test_what_is_new_is_judged_too(tmp_path: Path) -> None:
    new = [
        Item("./usr/bin/su", b"x", mode=0o4755),
        folder("./var/all/", 0o777),
        folder("./var/sticky/", 0o1777),
        Item("./dev/x", kind=tarfile.CHRTYPE),
        symlink("./usr/bin/y", "su"),
    ]
    by_path = {c.subject: c for c in between(tmp_path, [], new, control=fields({}, {})).changes}
    assert "setuid" in by_path["/usr/bin/su"].judgement
    assert by_path["/var/all"].judgement == "everybody may write to it"
    assert by_path["/var/sticky"].severity is None
    assert "in a script" in by_path["/dev/x"].judgement
    assert by_path["/usr/bin/y"].severity is None


def test_content_owner_link_and_hard_link(tmp_path: Path) -> None:
    old = [
        Item("./usr/share/a", b"1"),
        Item("./usr/share/b", b"1"),
        symlink("./usr/share/c", "a"),
        Item("./usr/share/d", b"1"),
        hardlink("./usr/share/e", "./usr/share/d"),
        Item("./usr/share/same", b"1"),
    ]
    new = [
        Item("./usr/share/a", b"2"),
        Item("./usr/share/b", b"1", uid=1000),
        symlink("./usr/share/c", "b"),
        Item("./usr/share/d", b"2 bytes"),
        hardlink("./usr/share/e", "./usr/share/d"),
        Item("./usr/share/same", b"1", mtime=5),
    ]
    changes = between(tmp_path, old, new, control=fields({}, {})).changes
    found = [(c.subject, c.old, c.new) for c in changes if c.kind == "file"]
    assert found == [
        ("/usr/share/a", "1 bytes", "1 bytes"),
        ("/usr/share/b", "owner root:root", "owner builder:root"),
        ("/usr/share/c", "-> a", "-> b"),
        ("/usr/share/d", "1 bytes", "7 bytes"),
        ("/usr/share/e", "1 bytes", "7 bytes"),
    ]


def test_a_directory_that_becomes_a_link(tmp_path: Path) -> None:
    old, new = [folder("./usr/share/x/")], [symlink("./usr/share/x", "y")]
    changes = between(tmp_path, old, new, control=fields({}, {}))
    [(severity, _, _, judgement)] = told(changes, "file")
    assert severity == "error"
    assert "dpkg-maintscript-helper dir_to_symlink" in judgement
    helped = between(
        tmp_path,
        old,
        new,
        control=fields({}, {}),
        files=({}, {"preinst": b"dpkg-maintscript-helper dir_to_symlink /usr/share/x y\n"}),
    )
    assert told(helped, "file")[0][0] == "info"
    back = between(tmp_path, new, old, control=fields({}, {}))
    assert told(back, "file")[0][0] == "warning"  # what is unpacked goes through the link
    assert "symlink_to_dir" in told(back, "file")[0][3]


def test_conffiles(tmp_path: Path) -> None:
    items = [Item("./etc/a", b"a"), Item("./etc/b", b"b"), Item("./etc/c", b"c")]
    changes = between(
        tmp_path,
        items,
        [*items[:1], Item("./etc/c", b"new")],
        control=fields({}, {}),
        files=({"conffiles": b"/etc/a\n/etc/b\n"}, {"conffiles": b"/etc/c\n"}),
    )
    assert told(changes, "conffile") == [
        (
            "error",
            "/etc/a",
            "removed",
            "is no conffile any more: an upgrade overwrites what was changed in it",
        ),
        ("warning", "/etc/b", "removed", "it stays on the disk as an obsolete conffile"),
        (
            "info",
            "/etc/c",
            "added",
            "was an ordinary file: dpkg asks about it in the first upgrade",
        ),
    ]
    helped = between(
        tmp_path,
        items[1:2],
        [],
        control=fields({}, {}),
        files=(
            {"conffiles": b"/etc/b\n"},
            {"preinst": b"dpkg-maintscript-helper rm_conffile /etc/b 2\n"},
        ),
    )
    assert told(helped, "conffile")[0][0] == "info"


# Scripts, sizes and kernels


def test_maintainer_scripts(tmp_path: Path) -> None:
    changes = between(
        tmp_path,
        control=fields({}, {}),
        files=(
            {"postinst": b"#!/bin/sh\nset -e\nold\n", "prerm": b"#!/bin/sh\n"},
            {"postinst": b"#!/bin/sh\nset -e\nnew\033[2J\n", "preinst": b"\0binary"},
        ),
    )
    by_name = {c.subject: c for c in changes.changes if c.kind == "script"}
    assert by_name["postinst"].diff[2:] == (
        "@@ -1,4 +1,4 @@",
        " #!/bin/sh",
        " set -e",
        "-old",
        "+new [2J",
        " ",
    )
    assert by_name["preinst"].diff == ("too long, or no text, to be compared line by line",)
    assert by_name["prerm"].severity == "warning"
    assert "too long, or no text" in table([changes], [], [], 80, colour=False)


def test_a_long_script_is_cut_short(tmp_path: Path) -> None:
    long = b"".join(b"%d\n" % n for n in range(1000))
    changes = between(tmp_path, control=fields({}, {}), files=({}, {"postinst": long}))
    [script] = [c for c in changes.changes if c.kind == "script"]
    assert len(script.diff) == 201
    assert script.diff[-1] == "(804 more lines)"
    text = table([changes], [], [], 80, colour=False)
    assert "      +20\n" in text
    assert "      +30\n" not in text
    assert "and 175 more lines: --format json has more" in text


@pytest.mark.slow
def test_of_very_many_files_the_scripts_are_compared(tmp_path: Path) -> None:
    lines = [b"%d\n" % step + b"".join(b"%d\n" % n for n in range(3899)) for step in (1, 2)]
    files = [dict.fromkeys([*(f"a{k}" for k in range(20)), "postinst"], text) for text in lines]
    changes = between(tmp_path, control=fields({}, {}), files=(files[0], files[1]))
    short = {c.subject for c in changes.changes if c.diff and c.diff[0].startswith("too long")}
    # 20,000 lines: postinst, and the first four of the others.
    assert short == {f"a{k}" for k in range(20)} - {"a0", "a1", "a10", "a11"}


def test_sizes(tmp_path: Path) -> None:
    big = Item("./usr/share/x", os.urandom(3 << 20))
    changes = between(tmp_path, [], [big], control=fields({}, {}))
    assert {(s, j.partition(" by")[0]) for s, _, _, j in told(changes, "size")} == {
        ("warning", "grows")
    }
    changes = between(tmp_path, [big], [], control=fields({}, {}))
    assert {(s, j.partition(" by")[0]) for s, _, _, j in told(changes, "size")} == {("", "shrinks")}


def config(*options: str) -> bytes:
    return "".join(f"{option}\n" for option in options).encode()


def test_kernel_options(tmp_path: Path) -> None:
    old = config("CONFIG_XEN=y", "CONFIG_XEN_PCIDEV_BACKEND=y", "CONFIG_E1000=y", "CONFIG_A=m")
    new = config("CONFIG_XEN=y", "# CONFIG_XEN_PCIDEV_BACKEND is not set", "CONFIG_E1000=m")
    changes = between(
        tmp_path,
        [Item("./boot/config-6.1.1", old)],
        [Item("./boot/config-6.1.2", new)],
        control=fields({}, {}),
    )
    assert [(s, o, a) for s, o, a, _ in told(changes, "kernel option")] == [
        ("", "CONFIG_A", "removed"),
        ("", "CONFIG_E1000", "changed"),
        ("error", "CONFIG_XEN_PCIDEV_BACKEND", "removed"),
    ]
    assert "CONFIG_A: m -> not set" in table([changes], [], [], 80, colour=False)


# What is compared with what


def test_folders(tmp_path: Path) -> None:
    for side, version in (("old", "6.1.9"), ("new", "6.1.10")):
        (tmp_path / side).mkdir()
        for name in (f"linux-image-{version}-dom0", "xen", f"only-{side}"):
            debs.make(tmp_path / side / f"{name}.deb", control={"Package": name})
    found = pairs(tmp_path / "old", tmp_path / "new")
    assert [(a.name, b.name) for a, b in found.pairs] == [
        ("linux-image-6.1.9-dom0.deb", "linux-image-6.1.10-dom0.deb"),
        ("xen.deb", "xen.deb"),
    ]
    assert [p.name for p in found.only_old] == ["only-old.deb"]
    assert [p.name for p in found.only_new] == ["only-new.deb"]
    one = pairs(tmp_path / "old/xen.deb", tmp_path / "new")
    assert [b.name for _, b in one.pairs] == ["xen.deb"]
    both = (str(tmp_path / "old"), str(tmp_path / "new"))
    outcome = inspect.run(inspect.Options(path=both, diff=True))
    text = outcome.said("table")
    assert outcome.code == 0
    assert "only in the first: " in text
    assert "only in the second: " in text


def test_folders_that_cannot_be_paired(tmp_path: Path) -> None:
    for side in ("old", "new"):
        (tmp_path / side).mkdir()
        debs.make(tmp_path / side / "a.deb", control={"Package": side})
    with pytest.raises(BuildError, match="has its counterpart"):
        pairs(tmp_path / "old", tmp_path / "new")
    debs.make(tmp_path / "old" / "b.deb", [Item("./usr/x", b"another")], control={"Package": "old"})
    with pytest.raises(BuildError, match="are the same package"):
        pairs(tmp_path / "old", tmp_path / "new")
    with pytest.raises(BuildError, match="no such file"):
        pairs(tmp_path / "old", tmp_path / "none")
    (tmp_path / "x.deb").write_bytes(b"no package")
    with pytest.raises(BuildError, match="begin as an ar archive"):
        compare(tmp_path / "x.deb", tmp_path / "old/a.deb")


# What is said


@pytest.fixture
def many(tmp_path: Path) -> Comparison:
    old = [Item(f"./usr/bin/{n}", b"x") for n in range(40)]
    return between(tmp_path, old, [Item("./etc/\033[2J", b"\n")], control=fields({}, {}))


def test_of_many_files_those_that_came_and_went_are_shown(tmp_path: Path) -> None:
    """A file of other content is the rule in an upgrade; one that is gone is what to look at."""
    common = [f"./usr/share/a/{n:02}" for n in range(30)]
    old = [Item(path, b"x") for path in [*common, "./usr/share/z/gone"]]
    new = [Item(path, b"y") for path in [*common, "./usr/share/z/new"]]
    comparison = between(tmp_path, old, new, control=fields({}, {}))
    rows = table([comparison], [], [], 100, colour=False).splitlines()
    at = next(n for n, row in enumerate(rows) if row.startswith("files: "))
    assert {row.split(":")[0].split(" (")[0] for row in rows[at + 1 : at + 3]} == {
        "  - /usr/share/z/gone",
        "  + /usr/share/z/new",
    }
    assert rows[at + 3].startswith("  ~ /usr/share/a/00: ")


@pytest.mark.parametrize("width", [10, 40, 80, 200])
def test_the_table_keeps_to_its_width(many: Comparison, width: int) -> None:
    plain = table([many], [Path("x")], [], width, colour=False)
    assert max(map(len, plain.splitlines())) <= max(width, 40)
    assert "\033" not in plain
    assert "and 16 more: --format json has all" in " ".join(plain.split())
    coloured = table([many], [Path("x")], [], width, colour=True)
    stripped = coloured
    for code in ("1;31", "31", "32", "33", "36", "2", "1", "0"):
        stripped = stripped.replace(f"\033[{code}m", "")
    assert stripped == plain
    assert coloured != plain


def test_the_json_is_as_its_schema_says(many: Comparison, tmp_path: Path) -> None:
    schema = json.loads((ROOT / "docs/schemas/inspect-diff.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    real = compare(debs.mkdeb(tmp_path / "a.deb"), debs.make(tmp_path / "b.deb"))
    document = json.loads(to_json(document_of([many, real], [Path("x")], [])))
    jsonschema.validate(document, schema)
    assert document["summary"]["changes"] == len(many.changes) + len(real.changes)
    assert document["summary"]["warning"] == sum(
        change["severity"] == "warning" for c in document["comparisons"] for change in c["changes"]
    )
    assert "\\u001b" not in json.dumps(document)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**document, "more": 1}, schema)


@pytest.mark.slow
@given(st.text(), st.text(), st.text())
def test_every_change_can_be_said(subject: str, old: str, new: str) -> None:
    for kind in ("field", "relation", "file", "kernel option", "needs", "script"):
        it: Change = change(kind, subject, old, new)
        for line in _row(it, 60, colour=False):
            assert line.isprintable()
