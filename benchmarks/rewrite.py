# SPDX-License-Identifier: GPL-2.0-or-later
"""Correcting a package: builders.debkit.deb.rewrite against dpkg-deb -R, the edit, dpkg-deb -b.

    python -m benchmarks.rewrite [PACKAGE.deb] [--runs N] [--codecs xz0,none,gzip,gzip-ng,xz]

Both start from the same package, made by dpkg-deb at its default level, and end with one of the
same compression. xz0 is xz at level 0: what Xen's own mkdeb asks for, and so the raw package's.
gzip-ng is ours by zlib-ng, where that is installed, against dpkg-deb's gzip.
Ours runs in this process, as it does in the tool. Without a package, one like Xen's is made of
files of this machine: 36 MB of programs and libraries, and links in /boot.

Ours makes the md5sums anew where members change; dpkg-deb does not. Of an uncompressed package the
copy alone takes longer than the goal for a change of the control file allows.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.machine import Row, show
from builders.debkit import deb
from builders.debkit.deb import Deb, Edit

SIZE = 36 << 20
GOALS = {"control": 0.02, "members": 0.5}
_CODECS = ("xz0", "none", "gzip", "gzip-ng", "xz")
_NG_GOAL = 0.3  # of files removed: zlib-ng against dpkg-deb's zlib
_NG = "gzip-ng"
MAINTAINER = "Some One <some.one@example.org>"


def run(
    package: Path | None = None,
    codecs: Sequence[str] = _CODECS,
    runs: int = 3,
) -> list[Row]:
    """Measure both edits with each codec; the tools take turns, so that load falls on both."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="rewrite-") as name:
        folder = Path(name)
        tree = folder / "tree"
        if package:
            _dpkg("-R", package, tree)
        else:
            _like_xen(tree)
        for codec in codecs:
            if codec == _NG and importlib.util.find_spec("zlib_ng") is None:
                continue
            source = folder / f"{codec}.deb"
            _dpkg("-b", "--root-owner-group", *_options(codec), tree, source)
            removed = _removed(Deb.open(source))
            for edit in GOALS:
                if codec == _NG and edit == "control":
                    continue  # nothing is packed
                rows.append(_measure(folder, source, codec, edit, removed, runs))
    return rows


def _measure(
    folder: Path, source: Path, codec: str, edit: str, removed: list[str], runs: int
) -> Row:
    mine, theirs = folder / "ours.deb", folder / "peer.deb"
    gone = removed if edit == "members" else []

    def ours() -> None:
        package = Deb.open(source)
        control = {**package.control, "Maintainer": MAINTAINER}
        compression = codec if codec == _NG else ""
        it = Edit(control=control, remove=frozenset(gone), compression=compression)
        deb.rewrite(package, mine, it)

    def peer() -> None:
        tree = folder / "peer"
        _dpkg("-R", source, tree)
        control = tree / "DEBIAN" / "control"
        lines = control.read_text().splitlines()
        lines = [f"Maintainer: {MAINTAINER}" if x.startswith("Maintainer:") else x for x in lines]
        control.write_text("\n".join(lines) + "\n")
        for path in gone:
            (tree / path[1:]).unlink()
        _dpkg("-b", "--root-owner-group", *_options(codec), tree, theirs)

    times: dict[Callable[[], None], list[float]] = {ours: [], peer: []}
    for _ in range(runs):
        for work, taken in times.items():
            shutil.rmtree(folder / "peer", ignore_errors=True)
            start = time.perf_counter()
            work()
            taken.append(time.perf_counter() - start)
    _same(mine, theirs)
    sizes = f"{mine.stat().st_size / theirs.stat().st_size:.3f} of its size"
    goal = _NG_GOAL if codec == _NG else GOALS[edit]
    return Row(f"rewrite {codec}, {edit} ({sizes})", times[ours], times[peer], goal)


def _options(codec: str) -> list[str]:
    """How dpkg-deb(1) is told of a codec, with a level where one is named."""
    if codec == _NG:
        return ["-Zgzip"]
    name = codec.rstrip("0123456789")
    return [f"-Z{name}", *([f"-z{codec[len(name) :]}"] if name != codec else [])]


def _same(mine: Path, theirs: Path) -> None:
    """Both results hold the same files; a fast wrong one would prove nothing."""
    sums = [
        {entry.path: (entry.md5, entry.info.mode) for entry in Deb.open(path).index.entries}
        for path in (mine, theirs)
    ]
    if sums[0] != sums[1]:
        raise SystemExit("the two results differ")


def _removed(package: Deb) -> list[str]:
    """What is taken away: links and symbols in /boot, or else the first tenth of the files."""
    paths = [e.path for e in package.index.entries if e.info.issym() or e.info.isreg()]
    boot = [p for p in paths if p.startswith("/boot/xen") and not p.endswith("-4.17.5.gz")]
    conffiles = set(package.conffiles)
    return boot or [p for p in paths if p not in conffiles][: max(1, len(paths) // 10)]


def _like_xen(tree: Path) -> None:
    """A tree as Xen's `make debball` leaves it, of this machine's largest programs."""
    control = tree / "DEBIAN" / "control"
    control.parent.mkdir(parents=True)
    control.write_text(
        "Package: xen-upstream\nVersion: 4.17.5\nArchitecture: amd64\n"
        "Maintainer: Unmaintained snapshot <nobody@example.org>\nDescription: like Xen\n"
    )
    boot, library, programs = tree / "boot", tree / "usr/lib/xen", tree / "usr/sbin"
    for folder in (boot, library, programs, tree / "etc/xen"):
        folder.mkdir(parents=True)
    (tree / "etc/xen/xl.conf").write_text("autoballoon=0\n")
    left = SIZE
    places = [Path("/usr/lib") / f"{platform.machine()}-linux-gnu", Path("/usr/bin")]
    files = sorted(
        {path.resolve() for place in places for path in place.glob("*") if path.is_file()},
        key=lambda path: (-path.stat().st_size, path.name),
    )
    for number, path in enumerate(files):
        size = path.stat().st_size
        if size > SIZE // 6 or size > left:
            continue
        with path.open("rb") as file:
            if file.read(4) != b"\x7fELF":
                continue
        target = programs if number % 2 else library
        if left == SIZE:
            target = boot / "xen-syms-4.17.5"
        shutil.copyfile(path, target / path.name if target.is_dir() else target)
        left -= size
    shutil.copyfile(boot / "xen-syms-4.17.5", boot / "xen-4.17.5.gz")
    for name in ("xen.gz", "xen-4.gz", "xen-4.17.gz"):
        (boot / name).symlink_to("xen-4.17.5.gz")
    for path in sorted(tree.rglob("*"), reverse=True):
        os.utime(path, (1_000_000_000, 1_000_000_000), follow_symlinks=False)


def _dpkg(*arguments: str | Path) -> None:
    subprocess.run(["dpkg-deb", *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("package", nargs="?", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--codecs", default=",".join(_CODECS))
    options = parser.parse_args()
    rows = run(options.package, options.codecs.split(","), options.runs)
    show(rows, load=round(os.getloadavg()[0], 1))


if __name__ == "__main__":
    main()
