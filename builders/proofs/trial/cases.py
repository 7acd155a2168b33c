# SPDX-License-Identifier: GPL-2.0-or-later
"""What `installtest` tries: machines, their cases and the script of each. Data, and no engine.

A script is POSIX sh on a minimal root of the suite, where perl-base is essential and python3
is there only if something depends on it.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """One thing to try. vital: where it fails, the machine's further cases mean nothing."""

    name: str
    script: str
    vital: bool = False


@dataclass(frozen=True)
class Machine:
    """A clean machine and its cases. groups: what apt has to be able to install there."""

    name: str
    cases: tuple[Case, ...]
    groups: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Subject:
    """The packages on trial.

    raw: name and version of what they were made from; needs: their Pre-Depends, Depends and
    Recommends, a relation each; recommends: those of them that are Recommends; paths: all that they
    contain.
    """

    names: tuple[str, ...]
    versions: tuple[str, ...]
    raw: tuple[tuple[str, str], ...] = ()
    needs: tuple[str, ...] = ()
    recommends: tuple[str, ...] = ()
    paths: frozenset[str] = frozenset()


# Debian's own Xen: tools and hypervisor (wheezy to trixie).
RIVAL = "xen-system-amd64"

# Tests leave no trace of their own; apt asks nothing and keeps a changed file of /etc, as
# unattended-upgrades(8) does. What it and maintainer scripts print is indented: no line of theirs
# is taken for one of a case.
_APT = r"""
export PYTHONDONTWRITEBYTECODE=1
get() {
    { status=$({ { apt-get --yes --no-install-recommends -o Dpkg::Options::=--force-confdef \
        -o Dpkg::Options::=--force-confold "$@" </dev/null 3>&- 4>&- || echo $? >&3; } 2>&1 |
        sed --unbuffered 's/^/  /' >&4; } 3>&1); } 4>&1
    return "${status:-0}"
}
installed() {
    dpkg-query --show --showformat='${db:Status-Status} ${Package} ${Version}\n' "$1" 2>&- |
        sed -n 's/^installed //p'
}
files() {
    for package in $names; do dpkg-query --listfiles "$package"; done | LC_ALL=C sort -u
}
"""

# All that a package could leave behind: files with owner and mode, what /etc says, the
# linker's libraries, what dpkg was told of. Not what apt, dpkg and their triggers keep.
_SNAPSHOT = r"""
snapshot() {
    find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /tmp \
        -o -path /trial -o -path /downloads -o -path /var/lib/apt -o -path /var/cache/apt \
        -o -path /var/cache/debconf -o -path /var/cache/man -o -path /var/cache/ldconfig \
        -o -path '/var/log/*' -o -path /var/lib/dpkg -o -path /etc/ld.so.cache \) -prune \
        -o -printf '%p %y %m %u:%g %l\n' | LC_ALL=C sort
    find /etc /var/lib/dpkg/alternatives /var/lib/dpkg/diversions /var/lib/dpkg/statoverride \
        -xdev -type f ! -name ld.so.cache ! -name '*-' -exec md5sum {} + |
        awk '{ print $2 " has the digest " $1 }' | LC_ALL=C sort
    ldconfig -p | tail -n +2 | sed 's/^[[:space:]]*/in the cache of ld.so: /' | LC_ALL=C sort
}
"""

_NEEDS = r"""
satisfy
snapshot >/tmp/before
dpkg-query --show --showformat='${db:Status-Status} ${Package}\n' | grep '^installed' |
    LC_ALL=C sort >/tmp/packages
echo "= $(grep -c . /tmp/packages) packages of the suite"
"""

_INSTALL = r"""
get install $exact
for package in $names; do
    test -n "$(installed "$package")" || echo "! apt did not install $package"
done
dpkg --audit | sed 's/^/! /'
dpkg-query --show --showformat='${db:Status-Status} ${Package}\n' | grep '^installed' |
    LC_ALL=C sort >/tmp/after
comm -23 /tmp/packages /tmp/after | sed 's/^installed /! it removed /'
"""

# dpkg(1): a line for each file that is not what the package's md5sums say.
_DIGESTS = r"""
dpkg --verify $names | sed 's/^/! differs from the package: /'
echo "= $(files | wc -l) files and folders"
"""

# elf(5): dynamic files for this machine, with what they are; nothing of them is run.
_ELF = r"""
elf() {
    files | grep -v '^/usr/lib/debug/' | perl -ne '
        chomp; next if -l $_ or !-f $_; open my $f, "<:raw", $_ or next;
        my $head; next if read($f, $head, 64) != 64 or substr($head, 0, 6) ne "\x7fELF\2\1";
        my ($type, $machine) = unpack "v2", substr $head, 16;
        next if $machine != 62 || $type != 2 && $type != 3;
        my ($at, $size, $count) = (unpack("Q<", substr $head, 32), unpack "v2", substr $head, 54);
        my %has;
        for my $n (0 .. $count - 1) {
            seek $f, $at + $n * $size, 0; read $f, my $part, 4; $has{unpack "V", $part} = 1;
        }
        next unless $has{2};
        print $has{3} ? "program" : m{/lib[^/]*\.so[^/]*$} ? "library" : "module", " $_\n"'
}
"""

# ld.so(8): lists what it would load; with LD_WARN and LD_BIND_NOW also symbols that nothing
# has. A module takes symbols from the program that loads it.
_LIBRARIES = r"""
ld=/lib64/ld-linux-x86-64.so.2
elf >/tmp/elf
while read -r kind file; do
    if test $kind = module; then
        $ld --list "$file" 2>&1
    else
        LD_TRACE_LOADED_OBJECTS=1 LD_WARN=1 LD_BIND_NOW=1 $ld "$file" 2>&1
    fi | sed -n -e "s|^[[:space:]]*\(.*\) => not found.*|! $file needs \1, which no package has|p" \
        -e "s|.*undefined symbol: \([^ ,]*\).*|! $file: no library has the symbol \1|p" \
        -e "s|^$file: error.*: \(.*\)|! $file: \1|p"
done </tmp/elf
echo "= $(grep -c ^program /tmp/elf) programs, $(grep -c ^library /tmp/elf) libraries," \
    "$(grep -c ^module /tmp/elf) modules"
"""

# How far each gets where there is no hypervisor: what it is given, and what it must say.
PROGRAMS: Mapping[str, tuple[str, str]] = {
    "/usr/sbin/xl": ("info", "cannot init xl context"),
    "/usr/sbin/xenstored": ("--help", "xenstored <options>"),
    "/usr/sbin/oxenstored": ("--help", "[Uu]sage"),
    "/usr/sbin/xenconsoled": ("-V", "Xen Console Daemon"),
    "/usr/lib/xen/bin/xen-init-dom0": ("", "cannot open xenstore connection"),
    "/usr/bin/xenstore-ls": ("", "xs_open"),
    "/usr/sbin/xenpm": ("help", "privileged command interface"),
    "/usr/sbin/xentop": ("-V", "xentop [0-9]"),
    "/usr/bin/xentrace": ("--version", "xentrace v"),
    "/usr/sbin/xentrace": ("--version", "xentrace v"),
    "/usr/bin/xen-detect": ("", "Not running on Xen"),
    "/usr/bin/pygrub": ("--help", "Usage"),
    "/usr/lib/xen/bin/pygrub": ("--help", "Usage"),
    "/usr/lib/xen/bin/qemu-dm": ("--help", "QEMU"),
    "/usr/lib/xen/bin/qemu-system-i386": ("--version", "QEMU"),
    "/usr/libexec/xen-qemu-system-i386": ("--version", "QEMU"),
}

_PROGRAM = """
if test -x {path}; then
    said=$(timeout 10 {path} {arguments} </dev/null 2>&1 || :)
    if echo "$said" | grep -q {expected}; then
        count=$((count + 1))
    else
        echo "! {path} {arguments} says: $(echo "$said" | tail -n 1)"
    fi
fi
"""

FUNCTIONS = _APT + _SNAPSHOT + _ELF

# The modules that lie where python looks, each imported by the python of its folder.
_PYTHON = r"""
files | sed -n 's|^/usr/lib/\(python[0-9.]*\)/dist-packages/\(.*\)$|\1 \2|p' |
    sed -n -e 's|/__init__\.py$||p' -e 's|\.py$||p' -e 's|\(\.cpython-[^/]*\)\{0,1\}\.so$||p' |
    sort -u | grep -v ' .*[^A-Za-z0-9_/.]' | tr / . >/tmp/modules
while read -r python module; do
    command -v $python >/dev/null || { echo "! there is no $python for $module"; continue; }
    said=$(cd /; $python -c "import $module" 2>&1) ||
        echo "! $python: import $module: $(echo "$said" | tail -n 1)"
done </tmp/modules
echo "= $(grep -c . /tmp/modules) modules"
"""

_MANUAL = r"""
files | grep '^/usr/share/man/.*[0-9][^/]*$' >/tmp/pages || :
while read -r page; do
    test -f "$page" || continue
    test "$(MANWIDTH=80 man --local-file "$page" 2>&- | wc -c)" -gt 100 ||
        echo "! man can't show $page"
    name=${page##*/}
    name=${name%.gz}
    man --where "${name##*.}" "${name%.*}" >/dev/null 2>&1 || echo "! man does not find $page"
done </tmp/pages
echo "= $(grep -c . /tmp/pages) pages"
"""

# Policy 9.3: an init script has links in the run levels. systemd.unit(5): a unit with an
# [Install] section is enabled, or deb-systemd-helper(1p) was told of it and left it disabled.
_SERVICES = r"""
count=0
for script in $(files | grep '^/etc/init.d/.'); do
    name=${script##*/}
    count=$((count + 1))
    ls /etc/rc[S0-6].d/[SK][0-9][0-9]"$name" >/dev/null 2>&1 ||
        echo "! $script is in no run level"
done
echo "= $count init scripts"
count=0
for unit in $(files | grep -E '^(/usr)?/lib/systemd/system/[^/]*[.][a-z]+$'); do
    name=${unit##*/}
    grep -q '^.Install' "$unit" || continue
    count=$((count + 1))
    told=no
    for file in /etc/systemd/system/*/"$name" \
        /var/lib/systemd/deb-systemd-helper-enabled/"$name".dsh-also; do
        test ! -e "$file" -a ! -L "$file" || told=yes
    done
    test $told = yes || echo "! $unit can be enabled, and systemd was not told of it"
done
echo "= $count units"
"""

_KERNEL = r"""
for image in $(files | grep '^/boot/vmlinu[xz]-'); do
    version=${image#/boot/vmlinu?-}
    test -s /boot/config-$version || echo "! there is no /boot/config-$version"
    if test -s /boot/initrd.img-$version; then
        lsinitramfs /boot/initrd.img-$version | grep -q 'init$' ||
            echo "! /boot/initrd.img-$version has no init"
    else
        echo "! no /boot/initrd.img-$version was made"
    fi
    if find /lib/modules/$version -name '*.ko*' 2>&- | grep -q .; then
        test -s /lib/modules/$version/modules.dep || echo "! depmod was not run for $version"
    fi
    echo "= Linux $version"
done
"""

_REINSTALL = r"""
get install --reinstall $exact
dpkg --audit | sed 's/^/! /'
"""

# Only configuration may stay: in /etc, and what the services kept in /var.
_REMOVE = r"""
get remove $names
for package in $names; do
    test -z "$(installed "$package")" || echo "! $package is still installed"
done
snapshot >/tmp/removed
comm -13 /tmp/before /tmp/removed | grep -Ev '^(/etc|/var)/|^/var/lib ' | cut -d' ' -f1,2 |
    sed 's/^/! is left after remove: /'
comm -23 /tmp/before /tmp/removed | grep -v '^/etc/' | sed 's/^/! is gone after remove: /'
"""

_PURGE = r"""
get purge $names
for package in $names; do
    ! dpkg-query --status "$package" >/dev/null 2>&1 || echo "! dpkg still knows $package"
done
snapshot >/tmp/purged
comm -13 /tmp/before /tmp/purged | sed 's/^/! is left after purge: /'
comm -23 /tmp/before /tmp/purged | sed 's/^/! is gone after purge: /'
"""

# The raw package may not have declared its files in /etc; a person has changed one, and left
# the others.
_CHANGE = r"""
names=$raw_names
get install $raw
file=$(files | grep -E '^/etc/.*[.](conf|cfg|sxp)$' | head -n 1)
test -n "$file" || { echo "= nothing to change in /etc"; exit 0; }
echo '# changed by a person' >>"$file"
echo "$file" >/tmp/changed
echo "= $file"
"""

_UPGRADE = r"""
get install $exact
for package in $names; do
    test -n "$(installed "$package")" || echo "! apt did not install $package"
done
dpkg --audit | sed 's/^/! /'
if test -s /tmp/changed; then
    read -r file </tmp/changed
    grep -q '^# changed by a person' "$file" || echo "! the change in $file is lost"
    echo "= the change in $file is kept"
fi
files | grep '^/etc/' | while read -r f; do
    test "$f" != "$(cat /tmp/changed 2>&-)" || continue
    ls "$f".dpkg-* 2>&- | sed 's/^/! a question about a file that nobody changed: /'
done
"""

_THERE = r"""
get install $rival
dpkg --audit | sed 's/^/! /'
for package in $rival; do
    test -n "$(installed "$package")" || echo "! apt did not install $package"
done
"""

_OVER = r"""
get install $exact
dpkg --audit | sed 's/^/! /'
for package in $names; do
    test -n "$(installed "$package")" || echo "! apt did not install $package"
done
dpkg --verify $names | grep -v '^[^ ]* c ' | sed 's/^/! differs from the package: /'
"""

# What stands in for the other one's packages, and whether it is all there: files, init scripts that
# can run and are in a run level, the folder of logs that Debian's postinst makes.
_WHOLE = r"""
theirs() {
    dpkg-query --show --showformat='${db:Status-Status} ${Package}\n' 'xen*' 'libxen*' 2>&- |
        sed -n "s/^$1 //p" | grep -vxF "$(echo $names | tr ' ' '\n')" || :
}
whole() {
    dpkg --audit | sed 's/^/! /'
    test -n "$(installed $rival)" || echo "! apt did not install $rival"
    packages=$(theirs installed)
    dpkg --verify $packages | grep -v '^[^ ]* c ' | sed 's/^/! differs from the package: /'
    for script in $(dpkg-query --listfiles $packages | grep '^/etc/init.d/.'); do
        test -x "$script" || echo "! $script can't run"
        ls /etc/rc[S0-6].d/[SK][0-9][0-9]"${script##*/}" >/dev/null 2>&1 ||
            echo "! $script is in no run level"
    done
    test -d /var/log/xen || echo "! there is no /var/log/xen"
    echo "= $(echo $packages | wc -w) packages of theirs"
}
"""

_BACK = f"""{_WHOLE}
get install $rival
whole
"""

# What was replaced has left its configuration, and is purged where the other one runs.
_OURS_GONE = f"""{_WHOLE}
get purge $names
for package in $names; do
    ! dpkg-query --status "$package" >/dev/null 2>&1 || echo "! dpkg still knows $package"
done
whole
"""

_BOTH_GONE = f"""{_WHOLE}
get install $exact
get purge $names
packages="$(theirs installed) $(theirs config-files)"
get purge $packages
dpkg --audit | sed 's/^/! /'
for package in $names $packages; do
    ! dpkg-query --status "$package" >/dev/null 2>&1 || echo "! dpkg still knows $package"
done
find / -xdev \\( -path /proc -o -path /trial -o -path /downloads -o -path /tmp \\
    -o -path /var/lib/apt -o -path /var/cache/apt \\) -prune -o -path '*/xen*' -print |
    sed 's/^/! is left: /'
"""


def machines(subject: Subject) -> list[Machine]:
    """The machines on which these packages are to be tried."""
    found = [_fresh(subject)]
    if subject.raw:
        cases = [Case("raw", _CHANGE, vital=True), Case("upgrade", _UPGRADE)]
        raw = tuple(f"{name}={version}" for name, version in subject.raw)
        found.append(Machine("upgrade", tuple(cases), (raw,)))
    if subject.paths & {"/usr/sbin/xl", "/usr/sbin/xm"}:
        cases = [
            Case("theirs", _THERE, vital=True),
            Case("ours", _OVER, vital=True),
            Case("theirs again", _BACK, vital=True),
            Case("ours purged", _OURS_GONE),
            Case("both purged", _BOTH_GONE),
        ]
        found.append(Machine("debian", tuple(cases), ((RIVAL,),)))
    return found


def _fresh(subject: Subject) -> Machine:
    helpers, kernel, manual = _helpers(subject), _kernel(subject), _manual(subject)
    cases = [
        Case("needs", _NEEDS, vital=True),
        Case("install", _INSTALL, vital=True),
        Case("digests", _DIGESTS),
        Case("libraries", _LIBRARIES),
    ]
    programs = [path for path in PROGRAMS if path in subject.paths or "libexec" in path]
    if subject.paths & set(PROGRAMS):
        cases.append(Case("programs", _programs(programs)))
    if any("/dist-packages/" in path for path in subject.paths):
        cases.append(Case("python", _PYTHON))
    if manual:
        cases.append(Case("manual", _MANUAL))
    if any("/init.d/" in path or "/systemd/system/" in path for path in subject.paths):
        cases.append(Case("services", _SERVICES))
    if kernel:
        cases.append(Case("kernel", _KERNEL))
    cases += [
        Case("reinstall", _REINSTALL),
        Case("remove", _REMOVE),
        Case("purge", _PURGE),
    ]
    recommended = [min(_names(r), key=r.index) for r in subject.recommends if _names(r)]
    group = [*subject.names, *(n for n in recommended if n not in subject.names), *helpers]
    return Machine("fresh", tuple(cases), (tuple(dict.fromkeys(group)),))


def _kernel(subject: Subject) -> bool:
    return any(path.startswith(("/boot/vmlinuz-", "/boot/vmlinux-")) for path in subject.paths)


def _manual(subject: Subject) -> bool:
    return any(path.startswith("/usr/share/man/man") for path in subject.paths)


def _helpers(subject: Subject) -> list[str]:
    """What a host has, and the cases need, beside what the packages depend on."""
    used = {"initramfs-tools": _kernel(subject), "man-db": _manual(subject)}
    return [name for name, wanted in used.items() if wanted]


def variables(subject: Subject) -> str:
    """What the scripts are told of the packages, as shell variables."""
    needs = [relation for relation in subject.needs if not _names(relation) & set(subject.names)]
    told = {
        "names": " ".join(subject.names),
        "exact": _exact(zip(subject.names, subject.versions, strict=True)),
        "raw": _exact(subject.raw),
        "raw_names": " ".join(name for name, _ in subject.raw),
        "rival": RIVAL,
    }
    lines = "".join(f"{name}={shlex.quote(value)}\n" for name, value in told.items())
    # A word each: the kernel takes no single one of 128 KiB (execve(2)).
    return f"{lines}satisfy() {{ get satisfy {shlex.join([*needs, *_helpers(subject)])}; }}\n"


def _exact(versions: Iterable[tuple[str, str]]) -> str:
    return " ".join(f"{name}={version}" for name, version in versions)


def _programs(paths: Iterable[str]) -> str:
    tried = "".join(
        _PROGRAM.format(
            path=path, arguments=PROGRAMS[path][0], expected=shlex.quote(PROGRAMS[path][1])
        )
        for path in paths
    )
    return f'count=0\n{tried}echo "= $count programs start"\n'


def _names(relation: str) -> set[str]:
    """The packages that a relation names, all its alternatives (deb-control(5))."""
    return {part.split("(")[0].split(":")[0].strip() for part in relation.split("|")} - {""}
