# SPDX-License-Identifier: GPL-2.0-or-later
"""A build as a pure description: what goes in, which phases run, what comes out.

`xen` and `kernel` write plans, `stages` makes a key of one, `pipeline` runs it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from builders.errors import BuildError
from builders.recipe import ROOT

WORK = "/build"  # in the container: in/NAME/ the sources, tree/ the tree, out/ the result
TREE = f"{WORK}/tree"
OUT = f"{WORK}/out"

# $1: folder of a source, $2: where its tree goes. A Debian source package gives its upstream
# tarball, a linux-source package the tarball inside.
_UNPACK = r"""
export XZ_DEFAULTS=-T0
unpack() {
    mkdir -p "$2"
    file=$(ls "$1"/*.orig.tar.?z* 2>/dev/null | grep -v '\.asc$' || ls "$1"/*)
    case $file in
        *.deb)
            dpkg-deb -x "$file" "$1.x"
            file=$(ls "$1".x/usr/src/*.tar.*) ;;
    esac
    tar -C "$2" --strip-components=1 --no-same-owner -xf "$file"
    rm -rf "$1.x"
}
"""

# The newest file tells when the source was made; the same for everyone.
_EPOCH = f"""
find {TREE} -type f -printf '%T@\\n' | sort -n | tail -n 1 | cut -d. -f1 >{WORK}/epoch
"""

_PATCH = f"""
cd {TREE}
grep -v '^[[:space:]]*\\(#\\|$\\)' {WORK}/patches/series | while read -r name options; do
    echo "applying $name"
    patch -p1 --fuzz=0 --batch --forward --no-backup-if-mismatch <"{WORK}/patches/$name"
done
"""

# dpkg-shlibdeps(1) reads the ELF files of each package as the suite's own tools see them.
_COLLECT = """
mkdir -p {out} {work}/elf/debian
printf 'Source: raw\\n\\nPackage: raw\\nArchitecture: any\\n' >{work}/elf/debian/control
cp {work}/epoch {out}/epoch
for deb in {debs}; do
    test -e "$deb" || continue
    echo "reading $deb"
    name=${{deb##*/}}
    cp "$deb" {out}/
    rm -rf {work}/elf/tree {work}/elf/depends
    dpkg-deb -x "$deb" {work}/elf/tree
    (
        cd {work}/elf
        find tree -path tree/lib/modules -prune -o -path tree/usr/lib/debug -prune -o \\
            -type f ! -name '*.o' ! -name '*.ko' -print0 |
            perl -0ne '
                chomp; open F, "<", $_ or next; read F, $b, 4;
                print "$_\\0" if $b eq "\\x7fELF"' >files
        libraries=$(find tree -name '*.so*' -printf '%h\\n' | sort -u)
        # dpkg before 1.17 has no -l, and looks where the run-time linker would
        if dpkg-shlibdeps --help | grep -q '^ *-l'; then
            look=$(test -z "$libraries" || printf -- '-l%s ' $libraries)
        else
            look=
            LD_LIBRARY_PATH=$(printf '%s:' $libraries)
            export LD_LIBRARY_PATH="${{LD_LIBRARY_PATH%:}}"
        fi
        touch depends
        if test -s files; then
            xargs -0 dpkg-shlibdeps --ignore-missing-info --warnings=0 -O $look <files >depends
        fi
        # xargs may have run it more than once: a line each
        sed -n 's/^shlibs:Depends=//p' depends | tr '\\n' ',' >{out}/"$name".depends
    )
done
test -n "$(ls {out}/*.deb 2>/dev/null)" || {{ echo "error: no package: {debs}"; exit 1; }}
"""


@dataclass(frozen=True)
class Phase:
    """A shell script in the tree; `parallel` ones compile, and so take job slots."""

    name: str
    script: str
    parallel: bool = False
    folder: str = TREE


@dataclass(frozen=True)
class Plan:
    """One build.

    sources: the sources it reads, the tree's first; files: further files put below /build.
    makeflags: the make of this build understands a jobserver (make-kpkg(1) does not).
    after: phase -> what checks the tree then; it is given a reader of the tree's files.
    """

    name: str
    sources: tuple[str, ...]
    phases: tuple[Phase, ...]
    patches: str = ""
    files: Mapping[str, bytes] = field(default_factory=dict)
    makeflags: bool = True
    after: Mapping[str, Callable[[Callable[[str], bytes]], None]] = field(default_factory=dict)

    def inputs(self) -> dict[str, str]:
        """All of the description that can change what comes out, each with its digest."""
        parts = {f"script {p.name}": _digest(p.script.encode()) for p in self.phases}
        parts |= {f"file {name}": _digest(content) for name, content in self.files.items()}
        parts |= {f"patch {name}": _digest(content) for name, content in patch_files(self.patches)}
        return parts


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def patch_files(series: str) -> list[tuple[str, bytes]]:
    """The files of a quilt series (quilt(1)): `series` and each patch that it names."""
    if not series:
        return []
    folder = ROOT / "patches" / series
    listed = folder / "series"
    names = [
        line.split()[0]
        for line in listed.read_text(encoding="utf-8").splitlines()
        if line.strip() and not line.lstrip().startswith("#")
    ]
    files = [("series", listed.read_bytes())]
    for name in names:
        try:
            if ".." in Path(name).parts or Path(name).is_absolute():
                raise OSError(None, "it is outside of the series")
            files.append((name, (folder / name).read_bytes()))
        except OSError as error:
            raise BuildError(
                f"patches/{series}/series names {name}: {error.strerror}",
                hint="correct the name, or put the patch there",
            ) from None
    return files


def unpack(source: str) -> Phase:
    """Unpack the tree of `source` and note its date."""
    return Phase("unpack", f"{_UNPACK}unpack {WORK}/in/{source} {TREE}\n{_EPOCH}", folder=WORK)


def patch(series: str) -> list[Phase]:
    """Apply a quilt series, where there is one."""
    return [Phase("patch", _PATCH)] if series else []


def lines(commands: tuple[str, ...], environment: str) -> str:
    """A recipe's shell lines as one script that shows each line before it runs."""
    dated = f'export SOURCE_DATE_EPOCH="$(cat {WORK}/epoch)"\n'
    return dated + environment + "set -x\n" + "\n".join(commands) + "\n"


def collect(debs: tuple[str, ...]) -> Phase:
    """Put the packages that `debs` (globs in the tree) name into the result, and what they need."""
    return Phase("collect", _COLLECT.format(out=OUT, work=WORK, debs=" ".join(debs)))
