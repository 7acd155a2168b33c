# SPDX-License-Identifier: GPL-2.0-or-later
"""A package of one's own, corrected with the suite's tools in a recipe's real builder."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Callable
from pathlib import Path

from builders.debkit.deb import Added, Deb, create
from builders.ground.engine.step import Step
from builders.ground.suite import image
from tests.engine.conftest import Box
from tests.unit import debs
from tests.unit.debs import Item, folder

RULES = """
revision = "+site1"
maintainer = "Some One <some.one@example.org>"
depends = ["adduser"]
files = { "/etc/default/own" = "A=1" }
"""


def own(folder: Path, program: bytes) -> Path:
    control = {
        "Package": "own",
        "Version": "1.0-1",
        "Architecture": "amd64",
        "Maintainer": "x <x@example.org>",
        "Description": "own\n a program",
    }
    member = Added("/usr/bin/own", program, mode=0o755)
    return create(folder / "own.deb", control, members=[member], epoch=1_600_000_000)


def finish(box: Box, raw: Path, out: str = "out", *more: str) -> tuple[int, str]:
    rules = box.folder / "my.toml"
    rules.write_text(RULES)
    where = str(box.folder / out)
    process = box.tool("finish", str(raw), "--rules", str(rules), "--out", where, *more)
    said, _ = process.communicate(timeout=120)
    return process.returncode, said


def test_dependencies_are_those_of_the_suite(box: Box, containers: Callable[[], list[str]]) -> None:
    raw = own(box.folder, Path("/bin/true").read_bytes())
    before = raw.read_bytes()
    status, said = finish(box, raw)
    assert status == 0, said
    assert "left out" not in said
    (made,) = (box.folder / "out").iterdir()
    assert made.name == "own_1.0-1+site1_amd64.deb"
    needs = str(Deb.open(made).control["Depends"])
    assert needs.startswith("adduser, libc6 (>= ")
    assert Deb.open(made).conffiles == ("/etc/default/own",)
    assert raw.read_bytes() == before
    assert not containers()


def test_a_library_that_the_builder_has_not_is_told(
    box: Box, containers: Callable[[], list[str]]
) -> None:
    program = Path("/bin/true").read_bytes().replace(b"libc.so.6\0", b"libq.so.6\0")
    status, said = finish(box, own(box.folder, program))
    assert status == 5
    assert "the builder has no libq.so.6 for /usr/bin/own" in said
    assert "--set builder.packages+=libq6" in said
    assert not (box.folder / "out").exists()
    assert not containers()


# With debugging information and a build id each: a program, and the library that it links.
COMPILE = """
cd /build
echo 'int answer(int x) { return 2 * x; }' >answer.c
echo 'int answer(int); int main(int c, char **v) { return !v || answer(20 + c) != 42; }' >own.c
library=tree/usr/lib/x86_64-linux-gnu
mkdir -p tree/DEBIAN tree/usr/bin $library
gcc -g -shared -fPIC -Wl,-soname,libown.so.1 -o $library/libown.so.1 answer.c
gcc -g -o tree/usr/bin/own own.c $library/libown.so.1
chmod 4755 tree/usr/bin/own
ln tree/usr/bin/own tree/usr/bin/owned
printf '%s\\n' 'Package: own' 'Version: 2:1.0-1' 'Architecture: amd64' 'Multi-Arch: same' \\
    'Maintainer: x <x@example.org>' 'Description: own' ' a program' >tree/DEBIAN/control
mkdir out
dpkg-deb --root-owner-group -b tree out/own.deb
"""
# gdb finds the symbols by build id, and the line in the source by them.
DEBUG = """
cd /build
for deb in in/*.deb; do dpkg-deb -x $deb root; done
LD_LIBRARY_PATH=root/usr/lib/x86_64-linux-gnu root/usr/bin/own
for file in root/usr/bin/own root/usr/lib/x86_64-linux-gnu/libown.so.1; do
    readelf -S -W $file | grep -q -e debug_info -e symtab && exit 1
    readelf -n $file | sed -n 's/^ *Build ID: /id /p'
    id=$(readelf -n $file | sed -n 's/^ *Build ID: *//p')
    rest=${id#??}
    symbols=root/usr/lib/debug/.build-id/${id%$rest}/$rest.debug
    readelf -n $symbols | grep -q $id
    objdump --dwarf=decodedline $symbols | grep -o -m1 '^[a-z]*\\.c ' | sed 's/^/line /'
    link=$(readelf --string-dump=.gnu_debuglink $file | grep -o '[0-9a-f]*\\.debug')
    test $link = $rest.debug
done
"""


def test_symbols_go_where_debuggers_look(box: Box, containers: Callable[[], list[str]]) -> None:
    run = box.run()
    builder = image.find(run)
    assert builder is not None
    with run.alone(), Step(run, "compile", builder.name) as step:
        step.output(COMPILE)
        step.fetch("/build/out", box.folder)
    for out in ("out", "again"):
        status, said = finish(box, box.folder / "own.deb", out)
        assert status == 0, said
        assert "symbols stay" not in said
    made = sorted((box.folder / "out").iterdir())
    names = ["own-dbgsym_1.0-1+site1_amd64.deb", "own_1.0-1+site1_amd64.deb"]
    assert [path.name for path in made] == names
    assert all(name in said for name in names)
    for path in made:
        assert path.read_bytes() == (box.folder / "again" / path.name).read_bytes()
    with run.alone(), Step(run, "debug", builder.name) as step:
        step.output("mkdir /build/in")
        step.container.put("/build/in", [(path.name, path) for path in made])
        told = step.output(DEBUG).split("\n")
    assert [line for line in told if line.startswith("line ")] == ["line own.c ", "line answer.c "]
    ids = {line.removeprefix("id ") for line in told if line.startswith("id ")}
    debug, package = (Deb.open(path).control for path in made)
    assert set(debug["Build-Ids"].split()) == ids
    assert debug["Enhances"] == "own (= 2:1.0-1+site1)"
    assert "Depends" not in debug
    assert debug["Multi-Arch"] == "same"
    assert re.search(r"libc6 \(>= [0-9.]+\)", package["Depends"])
    modes = {e.path: e.info.mode for e in Deb.open(made[1]).index.entries if e.info.isreg()}
    assert modes["/usr/bin/own"] == 0o4755
    assert not containers()


def test_what_an_ordinary_user_cannot_unpack(box: Box) -> None:
    """A device, a folder that nobody may enter, and symbols that are filed by build id."""
    control = {
        "Package": "odd",
        "Version": "1",
        "Architecture": "amd64",
        "Maintainer": "x <x@example.org>",
        "Description": "odd\n a package",
    }
    program = Path("/bin/true").read_bytes()
    files = [
        Item("./usr/bin/true", program, mode=0o111),
        folder("./usr/share/closed/", mode=0),
        Item("./usr/share/closed/x", b"x", mode=0),
        Item("./usr/share/device", kind=tarfile.CHRTYPE, mode=0o600),
        Item(f"./usr/lib/debug/.build-id/{'ab/' + 'cd' * 19}.debug", program),
    ]
    raw = debs.make(box.folder / "odd.deb", files, control=control)
    status, said = finish(box, raw)
    assert status == 0, said
    (made,) = (box.folder / "out").iterdir()
    entries = {e.path: e for e in Deb.open(made).index.entries}
    assert entries["/usr/share/closed"].info.mode == 0
    assert entries["/usr/share/device"].info.type == tarfile.CHRTYPE
    assert f"/usr/lib/debug/.build-id/ab/{'cd' * 19}.debug" in entries
    assert "libc6" in Deb.open(made).control["Depends"]


def test_a_package_for_another_machine(box: Box) -> None:
    raw = debs.make(box.folder / "far.deb", control={"Architecture": "arm64"})
    status, said = finish(box, raw)
    assert status == 2
    assert "far.deb is for arm64, the builder for amd64" in said
