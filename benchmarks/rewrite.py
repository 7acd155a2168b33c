# SPDX-License-Identifier: GPL-2.0-or-later
"""Correcting a package: builders.deb.rewrite against dpkg-deb -R, the edit, dpkg-deb -b.

    python benchmarks/rewrite.py [PACKAGE.deb] [--runs N] [--codecs none,gzip,xz]

Both start from the same package, made by dpkg-deb at its default level, and end with one of the
same compression. Ours runs in this process, as it does in the tool. Without a package, one like
Xen's is made of files of this machine: 36 MB of programs and libraries, and links in /boot.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from builders import deb
from builders.codecs import cores
from builders.deb import Deb, Edit

SIZE = 36 << 20
GOALS = {"control": 0.02, "members": 0.5}
MAINTAINER = "Some One <some.one@example.org>"


@dataclass(frozen=True)
class Row:
    """One measurement: medians in seconds, and sizes of the results in bytes."""

    codec: str
    edit: str
    ours: float
    peer: float
    our_size: int
    peer_size: int

    @property
    def ratio(self) -> float:
        return self.ours / self.peer

    @property
    def met(self) -> bool:
        return self.ratio <= GOALS[self.edit]


def run(
    package: Path | None = None,
    codecs: Sequence[str] = ("none", "gzip", "xz"),
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
            source = folder / f"{codec}.deb"
            _dpkg("-b", "--root-owner-group", f"-Z{codec}", tree, source)
            removed = _removed(Deb.open(source))
            for edit in GOALS:
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
        deb.rewrite(package, mine, Edit(control=control, remove=frozenset(gone)))

    def peer() -> None:
        tree = folder / "peer"
        _dpkg("-R", source, tree)
        control = tree / "DEBIAN" / "control"
        lines = control.read_text().splitlines()
        lines = [f"Maintainer: {MAINTAINER}" if x.startswith("Maintainer:") else x for x in lines]
        control.write_text("\n".join(lines) + "\n")
        for path in gone:
            (tree / path[1:]).unlink()
        _dpkg("-b", "--root-owner-group", f"-Z{codec}", tree, theirs)

    times: dict[Callable[[], None], list[float]] = {ours: [], peer: []}
    for _ in range(runs):
        for work, taken in times.items():
            shutil.rmtree(folder / "peer", ignore_errors=True)
            start = time.perf_counter()
            work()
            taken.append(time.perf_counter() - start)
    _same(mine, theirs)
    return Row(
        codec,
        edit,
        statistics.median(times[ours]),
        statistics.median(times[peer]),
        mine.stat().st_size,
        theirs.stat().st_size,
    )


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


def machine() -> str:
    """What the figures were measured on."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    version = subprocess.run(
        ["dpkg-deb", "--version"], check=True, capture_output=True, text=True
    ).stdout.splitlines()[0]
    return (
        f"{cores()} cores of {model}, {memory} MiB, load {os.getloadavg()[0]:.1f}; "
        f"Python {platform.python_version()}; {version}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("package", nargs="?", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--codecs", default="none,gzip,xz")
    options = parser.parse_args()
    print(machine())
    print(f"{'codec':<6} {'edit':<8} {'ours':>9} {'peer':>9} {'ratio':>7} {'goal':>5}  size")
    for row in run(options.package, options.codecs.split(","), options.runs):
        print(
            f"{row.codec:<6} {row.edit:<8} {row.ours:>7.3f} s {row.peer:>7.3f} s"
            f" {row.ratio:>7.3f} {GOALS[row.edit]:>5} {'met' if row.met else 'MISSED':<6}"
            f" {row.our_size} against {row.peer_size}"
        )
    print(f"medians of {options.runs}; load at the end {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
