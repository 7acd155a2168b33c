# SPDX-License-Identifier: GPL-2.0-or-later
"""Plans as data, and their scripts run by a real sh, tar, patch and dpkg-deb."""

from __future__ import annotations

import bz2
import dataclasses
import gzip
import io
import lzma
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.errors import BuildError, Exit
from builders.pipeline import plan
from builders.pipeline.plan import Phase, Plan
from builders.pipeline.steps.tree import explain_patch
from tests.unit.samples import Box, package


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path / "build")


@pytest.fixture
def patches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder patches/demo of a project of the test's own."""
    monkeypatch.setattr(plan, "ROOT", tmp_path)
    folder = tmp_path / "patches" / "demo"
    folder.mkdir(parents=True)
    return folder


def tarball(kind: str, files: dict[str, str], mtime: int = 1000) -> bytes:
    """A tarball of files; kind: "", "gz", "bz2" or "xz"."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for n, (name, text) in enumerate(files.items()):
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(text), mtime + n
            tar.addfile(info, io.BytesIO(text.encode()))
    whole = out.getvalue()
    match kind:
        case "gz":
            return gzip.compress(whole)
        case "bz2":
            return bz2.compress(whole)
        case "xz":
            return lzma.compress(whole)
    return whole


# Inputs


def demo(series: str = "") -> Plan:
    return Plan(
        name="demo",
        sources=("xen",),
        phases=(Phase("unpack", "a"), Phase("build", "b")),
        patches=series,
        files={"files/0": b"x", "files/1": b"y"},
    )


def changed(one: Plan, two: Plan) -> set[str]:
    before, after = one.record().inputs(), two.record().inputs()
    return {name for name in before | after if before.get(name) != after.get(name)}


def test_the_same_plan_has_the_same_inputs() -> None:
    assert demo().record().inputs() == demo().record().inputs()
    assert set(demo().record().inputs()) == {
        "script unpack",
        "script build",
        "file files/0",
        "file files/1",
    }


@pytest.mark.parametrize("n", [0, 1])
def test_a_changed_script_changes_its_input_alone(n: int) -> None:
    phases = list(demo().phases)
    phases[n] = dataclasses.replace(phases[n], script="changed")
    it = dataclasses.replace(demo(), phases=tuple(phases))
    assert changed(demo(), it) == {f"script {phases[n].name}"}


@pytest.mark.slow
@given(st.binary(max_size=4), st.binary(max_size=4))
def test_a_changed_file_changes_its_input_alone(zero: bytes, one: bytes) -> None:
    it = dataclasses.replace(demo(), files={"files/0": zero, "files/1": one})
    expected = {"file files/0"} if zero != b"x" else set()
    assert changed(demo(), it) == expected | ({"file files/1"} if one != b"y" else set())


def test_a_changed_patch_changes_its_input_alone(patches: Path) -> None:
    (patches / "series").write_text("one.patch\ntwo.patch\n")
    (patches / "one.patch").write_text("1")
    (patches / "two.patch").write_text("2")
    before = demo("demo").record().inputs()
    assert {"patch series", "patch one.patch", "patch two.patch"} < set(before)
    (patches / "two.patch").write_text("3")
    after = demo("demo").record().inputs()
    assert {n for n in before if before[n] != after[n]} == {"patch two.patch"}
    (patches / "series").write_text("two.patch\none.patch\n")
    again = demo("demo").record().inputs()
    assert {n for n in after if after[n] != again[n]} == {"patch series"}


# A series


def test_a_series_with_comments_blank_lines_and_options(patches: Path) -> None:
    text = "# first\n\n  \none.patch\n  # why\n\tsub/two.patch -p1  # more\n"
    (patches / "series").write_text(text)
    (patches / "sub").mkdir()
    (patches / "one.patch").write_bytes(b"1\n")
    (patches / "sub" / "two.patch").write_bytes(b"2\n")
    assert plan.patch_files("demo") == [
        ("series", text.encode()),
        ("one.patch", b"1\n"),
        ("sub/two.patch", b"2\n"),
    ]


def test_no_series() -> None:
    assert plan.patch_files("") == []
    assert plan.patch("") == []


@pytest.mark.parametrize("name", ["no.patch", "sub", "x" * 5000, "../../../etc/passwd"])
def test_a_series_that_names_a_patch_that_is_none(patches: Path, name: str) -> None:
    (patches / "sub").mkdir()
    (patches / "series").write_text(f"{name}\n")
    with pytest.raises(BuildError) as caught:
        plan.patch_files("demo")
    assert f"patches/demo/series names {name[:3000]}" in caught.value.message
    assert len(caught.value.message) < 5000
    assert caught.value.hint
    assert caught.value.exit is Exit.USAGE


# Unpacking


def test_unpack_takes_the_upstream_tarball_of_a_source_package(box: Box) -> None:
    box.put("in/xen/xen_4.17.5-1.dsc", "Format: 3.0 (quilt)\n")
    box.put("in/xen/xen_4.17.5-1.debian.tar.xz", tarball("xz", {"debian/control": "no"}))
    box.put(
        "in/xen/xen_4.17.5.orig.tar.xz", tarball("xz", {"xen-4/Makefile": "all:", "xen-4/a": ""})
    )
    box.put("in/xen/xen_4.17.5.orig.tar.xz.asc", "-----BEGIN PGP SIGNATURE-----\n")
    assert box.run(plan.unpack("xen").script, ".") == (0, "")
    assert sorted(p.name for p in (box.work / "tree").iterdir()) == ["Makefile", "a"]
    assert (box.work / "epoch").read_text() == "1001\n"


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz"])
def test_unpack_a_plain_tarball(box: Box, kind: str) -> None:
    files = {"xen-4.2.0/Makefile": "all:", "xen-4.2.0/sub/old": "x"}
    box.put(f"in/xen/xen-4.2.0.tar.{kind}", tarball(kind, files, 86400))
    assert box.run(plan.unpack("xen").script, ".") == (0, "")
    assert (box.work / "tree/Makefile").read_text() == "all:"
    assert (box.work / "tree/sub/old").read_text() == "x"


def test_unpack_a_tree_of_git(box: Box) -> None:
    box.put("in/seabios/seabios.tar", tarball("", {"seabios/Makefile": "all:"}))
    assert box.run(plan.unpack("seabios").script, ".") == (0, "")
    assert (box.work / "tree/Makefile").is_file()


def test_unpack_the_tarball_within_a_linux_source_package(box: Box, tmp_path: Path) -> None:
    inner = tarball("xz", {"linux-source-6.1/Makefile": "VERSION = 6"}, 1_600_000_000)
    deb = package(
        tmp_path,
        "linux-source-6.1",
        {
            "usr/src/linux-source-6.1.tar.xz": inner,
            "usr/src/linux-patch-6.1-rt.patch.xz": b"no",
            "usr/share/doc/linux-source-6.1/copyright": b"GPL",
        },
    )
    box.put(f"in/linux/{deb.name}", deb.read_bytes())
    assert box.run(plan.unpack("linux").script, ".") == (0, "")
    assert (box.work / "tree/Makefile").read_text() == "VERSION = 6"
    assert (box.work / "epoch").read_text() == "1600000000\n"
    assert sorted(p.name for p in (box.work / "in").iterdir()) == ["linux"]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["a/Makefile", "b/Makefile"], "a b"),
        (["Makefile", "sub/file"], "Makefile sub"),
        (["./Makefile"], "Makefile"),
        (["alone"], "alone"),
        ([], ""),
    ],
)
def test_an_archive_without_one_top_folder_is_not_cut(
    box: Box, names: list[str], said: str
) -> None:
    box.put("in/xen/xen.tar", tarball("", dict.fromkeys(names, "x")))
    status, text = box.run(plan.unpack("xen").script, ".")
    assert status == 1
    assert text == f"error: xen.tar has not one folder at its top, but: {said}\n"
    assert not list((box.work / "tree").iterdir())


def test_a_top_folder_may_be_written_with_a_dot(box: Box) -> None:
    box.put("in/xen/xen.tar", tarball("", {"./xen-4/Makefile": "all:", "./xen-4/.hidden": ""}))
    assert box.run(plan.unpack("xen").script, ".") == (0, "")
    assert sorted(p.name for p in (box.work / "tree").iterdir()) == [".hidden", "Makefile"]


def test_a_damaged_tarball_fails(box: Box) -> None:
    whole = tarball("xz", {"xen-4/Makefile": "x" * 10000})
    box.put("in/xen/xen.tar.xz", whole[: len(whole) // 2])
    status, said = box.run(plan.unpack("xen").script, ".")
    assert status
    assert "xz" in said


def test_a_damaged_package_fails(box: Box) -> None:
    box.put("in/linux/linux-source_1_all.deb", b"!<arch>\nnothing")
    assert box.run(plan.unpack("linux").script, ".")[0]


def test_the_epoch_is_that_of_the_newest_file(box: Box) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, mtime in (("a", 999_999_999), ("b", 1_000_000_005.75), ("sub/c", 8)):
            info = tarfile.TarInfo(f"top/{name}")
            info.mtime = mtime
            tar.addfile(info)
        link = tarfile.TarInfo("top/link")
        link.type, link.linkname, link.mtime = tarfile.SYMTYPE, "a", 1_500_000_000
        tar.addfile(link)
    box.put("in/xen/xen.tar", out.getvalue())
    assert box.run(plan.unpack("xen").script, ".") == (0, "")
    assert (box.work / "epoch").read_text() == "1000000005\n"


# Shell lines


def test_lines_are_shown_dated_and_stop_at_the_first_failure(box: Box) -> None:
    box.put("epoch", "86400\n")
    script = plan.lines(("echo at $SOURCE_DATE_EPOCH", "false", "echo never"), "export A=b\n")
    status, said = box.run(script)
    assert status == 1
    assert "+ echo at 86400\nat 86400\n+ false\n" in said
    assert "never" not in said


# Patching

OLD = "".join(f"line {n}\n" for n in range(1, 41))


def diff(name: str, old: str, new: str) -> str:
    """A unified diff of one replaced line, as diff -u writes it."""
    import difflib

    before = OLD.splitlines(keepends=True)
    after = [new + "\n" if line == old + "\n" else line for line in before]
    assert before != after
    return "".join(difflib.unified_diff(before, after, f"a/{name}", f"b/{name}"))


class Series:
    """A tree with files of forty lines, and a series to apply to it."""

    def __init__(self, box: Box) -> None:
        self.box = box
        self.plan = Plan("xen", ("xen",), (), patches="demo")
        for name in ("one.c", "two.c", "sub/three.c"):
            box.put(f"tree/{name}", OLD)

    def add(self, name: str, text: str) -> None:
        self.box.put(f"patches/{name}", text)
        with (self.box.work / "patches/series").open("a") as series:
            series.write(name + "\n")

    def apply(self) -> tuple[int, str]:
        return self.box.run(plan.patch("demo")[0].script)

    def explained(self) -> str:
        """What the user is told after the series failed."""
        status, said = self.apply()
        assert status
        log = self.box.put("log", f"### unpack\n### patch\n{said}### patch: status {status}\n")
        error = BuildError("x", hint="y", log=log, excerpt=said, exit=Exit.STEP)
        told = explain_patch(error, self.plan)
        assert (told.log, told.excerpt, told.exit) == (log, said, Exit.STEP)
        assert told.hint
        return told.message


@pytest.fixture
def series(box: Box) -> Series:
    return Series(box)


def test_a_series_is_applied_in_order(series: Series) -> None:
    series.add("one.patch", diff("one.c", "line 5", "line five"))
    series.box.put("patches/two.patch", diff("sub/three.c", "line 9", "line nine"))
    with (series.box.work / "patches/series").open("a") as out:
        out.write("\n# comment\n  # comment\ntwo.patch -p1")  # and no line end
    status, said = series.apply()
    assert status == 0, said
    assert "line five" in (series.box.work / "tree/one.c").read_text()
    assert "line nine" in (series.box.work / "tree/sub/three.c").read_text()
    assert not list((series.box.work / "tree").rglob("*.orig"))
    assert said.index("applying one.patch") < said.index("applying two.patch")


def test_nothing_after_a_patch_that_fails_is_applied(series: Series) -> None:
    series.add("one.patch", diff("one.c", "line 5", "five").replace("line 6", "line six"))
    series.add("two.patch", diff("two.c", "line 5", "five"))
    assert series.apply()[0]
    assert (series.box.work / "tree/two.c").read_text() == OLD


def test_a_patch_does_not_apply_by_guessing(series: Series) -> None:
    # With fuzz, patch(1) would ignore the two context lines that differ.
    series.add("one.patch", diff("one.c", "line 5", "five").replace(" line 2\n", " other\n"))
    assert series.apply()[0]


def test_the_hunk_that_fails_is_named(series: Series) -> None:
    text = diff("one.c", "line 5", "five")
    second = diff("one.c", "line 30", "thirty").split("\n", 2)[2].replace(" line 31", " other")
    series.add("fine.patch", diff("two.c", "line 5", "five"))
    series.add("wrong.patch", text + second)
    message = series.explained()
    assert message == ("patches/demo/wrong.patch does not apply to one.c (hunk #2 at line 27)")


def test_the_file_that_fails_is_named_where_a_later_one_does_not(series: Series) -> None:
    wrong = diff("one.c", "line 5", "five").replace(" line 6", " other")
    series.add("wrong.patch", wrong + diff("sub/three.c", "line 5", "five"))
    message = series.explained()
    assert message == "patches/demo/wrong.patch does not apply to one.c (hunk #1 at line 2)"


def test_every_file_that_fails_is_named(series: Series) -> None:
    wrong = diff("one.c", "line 5", "five").replace(" line 6", " other")
    series.add(
        "wrong.patch",
        wrong + diff("two.c", "line 5", "five") + wrong.replace("one.c", "sub/three.c"),
    )
    message = series.explained()
    assert "one.c (hunk #1 at line 2)" in message
    assert "sub/three.c (hunk #1 at line 2)" in message
    assert "two.c" not in message


def test_a_missing_file_is_named(series: Series) -> None:
    series.add("wrong.patch", diff("sub/gone.c", "line 5", "five"))
    message = series.explained()
    assert message == (
        "patches/demo/wrong.patch does not apply to sub/gone.c (it is not in the tree)"
    )


def test_a_file_that_is_there_already_is_named(series: Series) -> None:
    series.add("new.patch", "--- /dev/null\n+++ b/one.c\n@@ -0,0 +1,1 @@\n+new\n")
    message = series.explained()
    assert message == "patches/demo/new.patch does not apply to one.c (it is there already)"


def test_a_file_to_delete_that_is_gone_is_named(series: Series) -> None:
    series.add("old.patch", "--- a/sub/old.c\n+++ /dev/null\n@@ -1,1 +0,0 @@\n-old\n")
    message = series.explained()
    assert message == "patches/demo/old.patch does not apply to sub/old.c (it is not in the tree)"


def test_a_malformed_patch_is_named(series: Series) -> None:
    text = diff("one.c", "line 5", "five").replace("\n line 6", "\nline 6")
    series.add("wrong.patch", text)
    message = series.explained()
    assert message.startswith("patches/demo/wrong.patch does not apply")
    assert "line 9 of the patch is malformed" in message


def test_a_patch_that_ends_too_early_is_named(series: Series) -> None:
    text = diff("one.c", "line 5", "five")
    series.add("wrong.patch", "\n".join(text.splitlines()[:-3]) + "\n")
    message = series.explained()
    assert message == "patches/demo/wrong.patch does not apply to one.c (hunk #1 at line 2)"


def test_a_patch_that_is_applied_already_is_named(series: Series) -> None:
    text = diff("one.c", "line 5", "five")
    series.add("once.patch", text)
    series.add("twice.patch", text)
    message = series.explained()
    assert message == (
        "patches/demo/twice.patch does not apply to one.c (it seems to be applied already)"
    )


def test_a_file_that_is_no_patch_is_named(series: Series) -> None:
    series.add("wrong.patch", "404 not found\n")
    assert series.explained().startswith("patches/demo/wrong.patch does not apply")


def test_an_engine_that_goes_away_is_no_wrong_patch(series: Series) -> None:
    log = series.box.put("log", "applying one.patch\n")
    for exit in (Exit.ENGINE, Exit.INTERRUPTED):
        error = BuildError("the engine went away", log=log, exit=exit)
        assert explain_patch(error, series.plan) is error


# Collecting


def elf() -> bytes:
    """A small program of this machine that needs libc."""
    return Path("/bin/true").resolve().read_bytes()


tools = pytest.mark.skipif(
    not (shutil.which("dpkg-shlibdeps") and shutil.which("perl")), reason="needs dpkg-dev"
)


@pytest.mark.slow
@tools
def test_collect_takes_the_packages_and_what_they_need(box: Box, tmp_path: Path) -> None:
    box.put("epoch", "86400\n")
    one = package(tmp_path, "one", {"usr/bin/a b": elf(), "etc/x": b"text", "lib/y.o": elf()})
    two = package(tmp_path, "two", {"usr/share/z": b"\x7fELG", "lib/modules/1/m.ko": elf()})
    box.put(f"tree/dist/{one.name}", one.read_bytes())
    box.put(f"out-of-tree/{two.name}", two.read_bytes())
    script = plan.collect(("dist/*.deb", "../out-of-tree/*.deb", "none/*.deb"), "xen").script
    status, said = box.run(script)
    assert status == 0, said
    out = box.work / "out"
    assert sorted(p.name for p in out.iterdir()) == sorted(
        ["epoch", one.name, f"{one.name}.depends", two.name, f"{two.name}.depends"]
    )
    assert (out / one.name).read_bytes() == one.read_bytes()
    assert "libc6" in (out / f"{one.name}.depends").read_text()
    assert (out / f"{two.name}.depends").read_text() == ""
    assert (out / "epoch").read_text() == "86400\n"


@tools
def test_collect_without_a_package_fails_and_says_so(box: Box) -> None:
    box.put("epoch", "1\n")
    status, said = box.run(plan.collect(("dist/*.deb",), "xen").script)
    assert status == 1
    assert said == "nothing matches dist/*.deb\nerror: no package: dist/*.deb\n"


@pytest.mark.slow
@tools
def test_collect_says_what_it_does_not_take(box: Box, tmp_path: Path) -> None:
    made = package(tmp_path, "x", {"usr/share/x": b"x"})
    box.put("epoch", "1\n")
    box.put(f"tree/dist/{made.name}", made.read_bytes())
    status, said = box.run(plan.collect(("other/*.deb", "dist/*.deb"), "xen").script)
    assert status == 1
    assert "error: nothing matches other/*.deb\n" in said
    status, said = box.run(plan.collect(("dist/*.deb", "dist/*.deb"), "xen").script)
    assert status == 1
    assert f"error: two packages are called {made.name}\n" in said


@tools
@pytest.mark.parametrize("target", ["../../../x.deb", "nowhere"])
def test_collect_takes_no_link(box: Box, tmp_path: Path, target: str) -> None:
    (tmp_path / "x.deb").write_bytes(package(tmp_path, "x", {"usr/share/x": b"x"}).read_bytes())
    box.put("epoch", "1\n")
    (box.work / "tree/dist").mkdir(parents=True)
    (box.work / "tree/dist/x.deb").symlink_to(target)
    status, said = box.run(plan.collect(("dist/*.deb",), "xen").script)
    assert status == 1
    assert "error: dist/x.deb is no plain file\n" in said


@tools
def test_collect_of_a_damaged_package_fails(box: Box) -> None:
    box.put("epoch", "1\n")
    box.put("tree/dist/x_1_amd64.deb", b"!<arch>\n")
    assert box.run(plan.collect(("dist/*.deb",), "xen").script)[0]


@pytest.mark.slow
@tools
def test_collect_fails_where_a_needed_library_is_missing(box: Box, tmp_path: Path) -> None:
    box.put("epoch", "1\n")
    needs = elf().replace(b"libc.so.6\0", b"libx.so.9\0")
    assert needs != elf()
    one = package(tmp_path, "one", {"usr/bin/x": needs})
    box.put(f"tree/dist/{one.name}", one.read_bytes())
    status, said = box.run(plan.collect(("dist/*.deb",), "xen").script)
    assert status
    assert "libx.so.9" in said


@pytest.mark.slow
def test_collect_joins_what_several_calls_say(box: Box, tmp_path: Path) -> None:
    # So many names that xargs(1) needs more than one call; a stand-in says what each was given.
    box.put("epoch", "1\n")
    names = [f"usr/bin/{'x' * 200}{n}" for n in range(1000)]
    one = package(tmp_path, "one", dict.fromkeys(names, b"\x7fELF"))
    box.put(f"tree/dist/{one.name}", one.read_bytes())
    box.command("dpkg-shlibdeps", "#!/bin/sh\necho shlibs:Depends=libc6, need$#\n")
    status, said = box.run(plan.collect(("dist/*.deb",), "xen").script)
    assert status == 0, said
    stated = (box.work / "out" / f"{one.name}.depends").read_text()
    needs = [need.strip() for need in stated.split(",") if need.strip()]
    assert needs.count("libc6") > 1
    assert all(need == "libc6" or need.startswith("need") for need in needs)


compiler = pytest.mark.skipif(
    not all(map(shutil.which, ("gcc", "strip", "objcopy", "readelf", "dpkg-shlibdeps"))),
    reason="needs gcc and binutils",
)


@pytest.mark.slow
@compiler
def test_collect_separates_the_symbols(box: Box, tmp_path: Path) -> None:
    source = tmp_path / "s.c"
    source.write_text("int shown(int a) { return a; }\nint main(void) { return shown(0); }\n")
    built = {}
    for name, options in (
        ("tool", ["-g", "-Wl,--build-id"]),
        ("lib.so", ["-g", "-shared", "-fPIC", "-Wl,--build-id"]),
        ("static", ["-static", "-g", "-Wl,--build-id=none"]),
        ("bare", ["-Wl,--build-id", "-s"]),
        ("lib.o", ["-g", "-c"]),
    ):
        made = tmp_path / name
        subprocess.run(["gcc", *options, "-o", made, source], check=True)
        built[name] = made.read_bytes()
    subprocess.run(["ar", "rc", tmp_path / "lib.a", tmp_path / "lib.o"], check=True)
    files = {
        "usr/bin/tool": built["tool"],
        "usr/bin/bare": built["bare"],
        "usr/lib/libx.so.1": built["lib.so"],
        "usr/lib/libx.a": (tmp_path / "lib.a").read_bytes(),
        "usr/lib/xen/boot/firmware": built["static"],
        "usr/lib/debug/xen-syms-1": built["tool"],
        "usr/lib/debug/xen-syms-1.map": b"map",
        "usr/lib/debug/usr/lib/deep": built["lib.so"],
        "boot/xen-syms-2": built["static"],
        "lib/modules/1/m.ko": built["lib.o"],
    }
    one = package(tmp_path, "one", files)
    box.put("epoch", "86400\n")
    box.put(f"tree/dist/{one.name}", one.read_bytes())
    box.put("tree/COPYING", b"free\n")
    status, said = box.run(plan.collect(("dist/*.deb",), "xen").script)
    assert status == 0, said
    assert (box.work / "out" / "copyright").read_bytes() == b"free\n"
    archive = box.work / "out" / f"{one.name}.symbols.tar"
    out = tmp_path / "symbols"
    with tarfile.open(archive) as tar:
        assert {(m.uid, m.gid, m.mtime) for m in tar} == {(0, 0, 86400)}
        tar.extractall(out, filter="tar")
    stripped = sorted(str(p.relative_to(out)) for p in (out / "stripped").rglob("*") if p.is_file())
    assert stripped == [
        "stripped/usr/bin/tool",
        "stripped/usr/lib/libx.a",
        "stripped/usr/lib/libx.so.1",
        "stripped/usr/lib/xen/boot/firmware",
    ]

    def sections(path: Path) -> str:
        return subprocess.run(
            ["readelf", "-S", "-W", path], check=True, capture_output=True, text=True
        ).stdout

    for name in ("usr/bin/tool", "usr/lib/libx.so.1"):
        assert ".debug_info" not in sections(out / "stripped" / name)
        assert ".symtab" not in sections(out / "stripped" / name)
        assert ".gnu_debuglink" in sections(out / "stripped" / name)
    assert ".debug_info" not in sections(out / "stripped/usr/lib/libx.a")
    assert ".symtab" in sections(out / "stripped/usr/lib/libx.a")
    subprocess.run([out / "stripped/usr/bin/tool"], check=True)
    subprocess.run([out / "stripped/usr/lib/xen/boot/firmware"], check=True)
    debug = out / "debug/usr/lib/debug"
    assert len(list((debug / ".build-id").rglob("*.debug"))) == 2
    for path in (
        *(debug / ".build-id").rglob("*.debug"),
        debug / "usr/lib/xen/boot/firmware.debug",
    ):
        assert ".debug_info" in sections(path)
    # By its own name one finds what the build id leads to.
    assert (debug / "xen-syms-1").is_symlink()
    assert (debug / "xen-syms-1").resolve().suffix == ".debug"
    assert (debug / "xen-syms-1").exists()
    assert not (debug / "xen-syms-1.map").exists()
    deep = (debug / "usr/lib/deep").readlink()
    assert str(deep).startswith("../../.build-id/")
    assert (debug / "boot/xen-syms-2").is_file()


@pytest.mark.slow
@compiler
def test_collect_fails_where_a_library_is_nowhere(box: Box, tmp_path: Path) -> None:
    source = tmp_path / "s.c"
    source.write_text("int f(void) { return 0; }\n")
    library, tool = tmp_path / "libnowhere.so.1", tmp_path / "tool"
    options = ["-shared", "-fPIC", f"-Wl,-soname,{library.name}"]
    subprocess.run(["gcc", *options, "-o", library, source], check=True)
    source.write_text("int f(void);\nint main(void) { return f(); }\n")
    subprocess.run(["gcc", "-o", tool, source, library], check=True)
    one = package(tmp_path, "one", {"usr/bin/tool": tool.read_bytes()})
    box.put("epoch", "1\n")
    box.put(f"tree/dist/{one.name}", one.read_bytes())
    status, said = box.run(plan.collect(("dist/*.deb",), "xen").script)
    assert status != 0
    assert library.name in said


@pytest.mark.slow
def test_collect_takes_the_copyright_of_a_debian_source(box: Box, tmp_path: Path) -> None:
    box.put("epoch", "1\n")
    one = package(tmp_path, "one", {"usr/share/z": b"z"})
    box.put(f"tree/dist/{one.name}", one.read_bytes())
    box.put("tree/COPYING", b"of the tree\n")
    box.put("tree/CHANGELOG.md", b"changes\n")
    (tmp_path / "debian").mkdir()
    (tmp_path / "debian" / "copyright").write_text("of the source package\n")
    archive = tmp_path / "xen_1.debian.tar.xz"
    subprocess.run(["tar", "-C", tmp_path, "-cJf", archive, "debian"], check=True)
    box.put(f"in/xen/{archive.name}", archive.read_bytes())
    status, said = box.run(plan.collect(("dist/*.deb",), "xen").script)
    assert status == 0, said
    assert (box.work / "out" / "copyright").read_text() == "of the source package\n"
    assert (box.work / "out" / "changelog").read_text() == "changes\n"
    assert not list((box.work / "out").glob("*.symbols.tar"))
