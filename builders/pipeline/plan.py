# SPDX-License-Identifier: GPL-2.0-or-later
"""A build as a pure description: what goes in, which phases run, what comes out.

`xen` and `kernel` write plans, `stages` makes a key of one, `graph` runs it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from builders import ROOT
from builders.errors import BuildError
from builders.pipeline.record import PlanRecord

WORK = "/build"  # in the container: in/NAME/ the sources, tree/ the tree, out/ the result
TREE = f"{WORK}/tree"
OUT = f"{WORK}/out"

# untar: $1 is a tarball, $2 where what is in its one top folder goes. An archive of another form
# would lose the first part of each name if that were cut without a look.
# unpack: $1 is the folder of a source, $2 where its tree goes. A Debian source package gives its
# upstream tarball, a linux-source package the tarball inside.
UNTAR = r"""
export XZ_DEFAULTS=-T0
untar() {
    mkdir -p "$2" "$2.top"
    tar -C "$2.top" --no-same-owner -xf "$1"
    top=$(ls -A "$2.top")
    if [ -z "$top" ] || [ ! -d "$2.top/$top" ] || [ -L "$2.top/$top" ]; then
        echo "error: ${1##*/} has not one folder at its top, but: $(echo $top | cut -c -200)"
        exit 1
    fi
    # Nothing is there but what another archive has put there.
    rmdir "$2" 2>/dev/null && mv "$2.top/$top" "$2" || cp -a "$2.top/$top/." "$2/"
    chmod 755 "$2"
    rm -rf "$2.top"
}
"""
_UNPACK = (
    UNTAR
    + r"""
unpack() {
    file=$(ls "$1"/*.orig.tar.?z* 2>/dev/null | grep -v '\.asc$' || ls "$1"/*)
    case $file in
        *.deb)
            dpkg-deb -x "$file" "$1.x"
            file=$(ls "$1".x/usr/src/*.tar.*) ;;
    esac
    untar "$file" "$2"
    rm -rf "$1.x"
}
"""
)

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

# The documents that every package of this source has: what a Debian source package says of
# its copyright (Policy 12.5), else what the tree says; and upstream's own list of changes.
_DOCUMENTS = """
mkdir -p {out}
for file in {work}/in/{source}/*.debian.tar.*; do
    test ! -e "$file" || tar -xOf "$file" debian/copyright >{out}/copyright || true
done
for file in {tree}/debian/copyright {tree}/COPYING {tree}/LICENSE; do
    test -s {out}/copyright || test ! -s "$file" || cp "$file" {out}/copyright
done
for file in {tree}/CHANGELOG.md {tree}/ChangeLog {tree}/NEWS; do
    test -e {out}/changelog || test ! -s "$file" || cp "$file" {out}/changelog
done
test -s {out}/copyright || rm -f {out}/copyright
chmod -f 644 {out}/copyright {out}/changelog || true
"""

# As dh_strip(1): $1 is an ELF file below tree/, sym/ gets its path without what no one needs to
# run it, and its debugging information by its build id. What cannot be stripped stays.
_SYMBOLS = r"""
compress=
if objcopy --help | grep -q -e --compress-debug-sections; then
    compress=--compress-debug-sections
fi
archives=
if strip --help | grep -q -e --enable-deterministic-archives; then
    archives=--enable-deterministic-archives
fi
debug=sym/debug/usr/lib/debug
by_id() {
    id=$(readelf -n "$1" 2>/dev/null | sed -n 's/^ *Build ID: *\([0-9a-f]*\)$/\1/p' | head -n 1)
    rest=${id#??}
    test -z "$id" || echo "usr/lib/debug/.build-id/${id%"$rest"}/$rest.debug"
}
debugging() {
    readelf -S -W "$1" 2>/dev/null | grep -q ' \.z\{0,1\}debug_info '
}
separate() {
    # An executable has an interpreter or is static, whatever its ELF type.
    how='--remove-section=.comment'
    if readelf -l -W "$1" 2>/dev/null | grep -q '^ *DYNAMIC '; then
        how="$how --remove-section=.note"
        readelf -l -W "$1" | grep -q '^ *INTERP ' || how="$how --strip-unneeded"
    fi
    readelf -S -W "$1" | grep -q ' \.symtab \| \.z\{0,1\}debug_' || return 0
    new=sym/stripped/${1#tree/}
    mkdir -p "${new%/*}"
    if ! strip $how -o "$new" "$1"; then
        echo "not stripped: $1"
        rm -f "$new"
        return 0
    fi
    debugging "$1" || return 0
    path=$(by_id "$1")
    file=sym/debug/${path:-usr/lib/debug/${1#tree/}.debug}
    mkdir -p "${file%/*}"
    if [ ! -e "$file" ]; then
        objcopy --only-keep-debug $compress "$1" "$file"
        chmod 644 "$file"
    fi
    objcopy --add-gnu-debuglink="$file" "$new"
}
# What a package has in /usr/lib/debug already goes whole, and a link from its name to it.
keep() {
    readelf -h "$1" >/dev/null 2>&1 || return 0
    name=${1#tree/}
    name=${name#usr/lib/debug/}
    path=$(by_id "$1")
    mkdir -p "$debug/$(dirname "$name")"
    if [ -n "$path" ]; then
        path=${path#usr/lib/debug/}
        mkdir -p "$debug/${path%/*}"
        objcopy $compress "$1" "$debug/$path"
        chmod 644 "$debug/$path"
        case $name in
            */*) path=$(dirname "$name" | sed 's,[^/][^/]*,..,g')/$path ;;
        esac
        ln -s "$path" "$debug/$name"
    else
        cp "$1" "$debug/$name"
        chmod 644 "$debug/$name"
    fi
}
symbols() {
    rm -rf sym
    mkdir -p sym/stripped sym/debug
    # Only what is linked: e_type 2 and 3 (elf(5)), in the byte order of the suite's machine.
    perl -0ne '
        chomp; open F, "<", $_ or next; read(F, $b, 18) == 18 or next;
        $t = unpack "S", substr($b, 16); print "$_\n" if $t == 2 || $t == 3' files |
        while read -r file; do
        case $file in
            tree/boot/*) ;;
            *) separate "$file" ;;
        esac
    done
    find tree -path '*/modules' -prune -o -type f -name 'lib*.a' -print | while read -r file; do
        new=sym/stripped/${file#tree/}
        mkdir -p "${new%/*}"
        strip --strip-debug --remove-section=.comment $archives -o "$new" "$file" || rm -f "$new"
    done
    find tree/usr/lib/debug tree/boot -type f 2>/dev/null | while read -r file; do
        case $file in
            tree/usr/lib/debug/* | tree/boot/xen-syms*) keep "$file" ;;
        esac
    done
    if [ -n "$(find sym -type f)" ]; then
        (cd sym && find . -type f -o -type l) | LC_ALL=C sort |
            tar -C sym --owner=0 --group=0 --numeric-owner --mtime="@$1" --no-recursion \
                --format=gnu -T - -cf "$2"
    fi
}
"""

# dpkg-shlibdeps(1) reads the ELF files of each package as the suite's own tools see them.
_COLLECT = """
{symbols}
{documents}
mkdir -p {out} {work}/elf/debian
printf 'Source: raw\\n\\nPackage: raw\\nArchitecture: any\\n' >{work}/elf/debian/control
cp {work}/epoch {out}/epoch
for deb in {debs}; do
    if [ ! -e "$deb" ] && [ ! -L "$deb" ]; then
        echo "nothing matches $deb"
        continue
    fi
    echo "reading $deb"
    name=${{deb##*/}}
    if [ ! -f "$deb" ] || [ -L "$deb" ]; then
        echo "error: $deb is no plain file"
        exit 1
    fi
    if [ -e "{out}/$name" ]; then
        echo "error: two packages are called $name"
        exit 1
    fi
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
        symbols "$(cat {work}/epoch)" {out}/"$name".symbols.tar
    )
done
test -n "$(ls {out}/*.deb 2>/dev/null)" || {{ echo "error: no package: {debs}"; exit 1; }}
for deb in {first}; do
    test -e "$deb" || {{ echo "error: nothing matches {first}"; exit 1; }}
done
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
    work: the folder of it all, which its scripts name.
    """

    name: str
    sources: tuple[str, ...]
    phases: tuple[Phase, ...]
    patches: str = ""
    files: Mapping[str, bytes] = field(default_factory=dict)
    makeflags: bool = True
    after: Mapping[str, Callable[[Callable[[str], bytes]], None]] = field(default_factory=dict)
    work: str = WORK

    def record(self) -> PlanRecord:
        """All of the description that can change what comes out, each with its digest."""
        return PlanRecord(
            {phase.name: _digest(phase.script.encode()) for phase in self.phases},
            {name: _digest(content) for name, content in self.files.items()},
            {name: _digest(content) for name, content in patch_files(self.patches)},
        )


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


def collect(debs: tuple[str, ...], source: str = "") -> Phase:
    """Put the packages that `debs` (globs in the tree) name into the result.

    The first glob has to match; a link, and two packages of one name, are errors.

    With each goes what it needs (.depends), and its files as they are to be: stripped/ without
    their symbols and debug/ those (.symbols.tar); of the tree of `source`, its copyright and
    changelog.
    """
    documents = _DOCUMENTS.format(out=OUT, work=WORK, tree=TREE, source=source)
    script = _COLLECT.format(
        out=OUT,
        work=WORK,
        debs=" ".join(debs),
        first=debs[0],
        symbols=_SYMBOLS,
        documents=documents,
    )
    return Phase("collect", script)
