# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules on where files lie (Policy 9.1, the FHS)."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator

from builders.debkit.audit.facts import Facts
from builders.debkit.audit.model import Found, Needs, Severity, rule
from builders.debkit.deb.places import VOLATILE, beneath
from builders.debkit.deb.tar import lost


@rule(
    "file-in-usr-local",
    Severity.ERROR,
    explanation="/usr/local belongs to the administrator.",
    reference="Policy 9.1.2",
    remedy="configure the build with --prefix=/usr",
    needs=Needs.MEMBERS,
)
def _usr_local(facts: Facts) -> Iterator[Found]:
    for entry in facts.entries:
        if entry.path.startswith("/usr/local/") and not entry.info.isdir():
            yield Found("lies in /usr/local", entry.path)


# The folders of the root (FHS 3 and Policy 9.1.1); what is not one of them is somebody's own.
_TOP = frozenset(
    [
        "bin",
        "boot",
        "dev",
        "etc",
        "home",
        "lib",
        "lib32",
        "lib64",
        "libx32",
        "lost+found",
        "media",
        "mnt",
        "opt",
        "proc",
        "root",
        "run",
        "sbin",
        "srv",
        "sys",
        "tmp",
        "usr",
        "var",
    ]
)
_USR = frozenset(
    [
        "bin",
        "games",
        "include",
        "lib",
        "lib32",
        "lib64",
        "libexec",
        "libx32",
        "local",
        "sbin",
        "share",
        "src",
        "X11R6",
    ]
)
_PERSONAL = re.compile(r"/(home|root|srv|mnt|media)/.")
_LOADER = re.compile(r"/lib64/(ld-linux-x86-64|ld64)\.so\.[0-9]|/usr/lib64/ld-linux-x86-64\.so\.2")


@rule(
    "volatile-path",
    Severity.ERROR,
    explanation="A file lies in a folder that is empty after each boot, or in a file system of"
    " the kernel. It is gone after the first reboot, or hidden at once.",
    reference="Policy 9.1.4, 10.6; FHS 3.15, 5.13; tmpfiles.d(5)",
    remedy="make it when the service starts (tmpfiles.d, RuntimeDirectory=); ship nothing there",
    needs=Needs.MEMBERS,
)
def _volatile_path(facts: Facts) -> Iterator[Found]:
    for entry in facts.entries:
        if place := beneath(entry.path, VOLATILE):
            yield Found(f"lies in {place}", entry.path)


@rule(
    "path-outside-fhs",
    Severity.ERROR,
    explanation="A file lies outside the folders that belong to packages: in one of a person or"
    " of the site (/home, /root, /srv, /mnt, /media), or in a new folder of the root."
    " A folder of /usr or /opt that the standard does not have is a warning.",
    reference="Policy 9.1.1; FHS 3.2, 3.13, 4.2",
    remedy="configure the build with Debian's folders (--prefix=/usr --sysconfdir=/etc)",
    needs=Needs.MEMBERS,
)
def _path_outside_fhs(facts: Facts) -> Iterator[Found]:
    told: set[str] = set()
    for entry in facts.entries:
        parts = entry.path.split("/")[1:]
        if parts[0] and parts[0] not in _TOP:
            if parts[0] not in told:
                told.add(parts[0])
                yield Found("is a folder of the root that the FHS does not know", f"/{parts[0]}")
        elif _PERSONAL.match(entry.path):
            yield Found(f"lies in /{parts[0]}, which is not for packages", entry.path)
        elif parts[0] == "opt" and len(parts) > 1 and parts[1] not in told:
            told.add(parts[1])
            yield Found(
                "lies in /opt, which is for software from outside of the distribution",
                entry.path,
                Severity.WARNING,
            )
        elif parts[0] == "usr" and len(parts) > 1 and parts[1] not in _USR | told:
            told.add(parts[1])
            yield Found(
                "is a folder of /usr that the FHS does not know",
                f"/usr/{parts[1]}",
                Severity.WARNING,
            )


@rule(
    "lib64",
    Severity.WARNING,
    explanation="Debian's linker does not look into lib64. Only the program loader lies there,"
    " for programs of other distributions.",
    reference="Policy 9.1.1 (exception to the FHS), 9.1.4",
    remedy="configure the build with --libdir=/usr/lib/<triplet>",
    needs=Needs.MEMBERS,
)
def _lib64(facts: Facts) -> Iterator[Found]:
    for entry in facts.entries:
        inside = re.match(r"(/usr)?/lib64/", entry.path) and not _LOADER.match(entry.path)
        if inside and not entry.info.isdir():
            yield Found("lies in lib64", entry.path)


@rule(
    "aliased-path",
    Severity.ERROR,
    explanation="The package has a file twice: in /bin, /sbin or /lib, and under the same name"
    " below /usr. On a system with merged /usr both are one file, and chance decides"
    " which of them stays.",
    reference="Policy 10.1",
    remedy="ship it below /usr only",
    needs=Needs.MEMBERS,
)
def _aliased_path(facts: Facts) -> Iterator[Found]:
    for entry in facts.entries:
        aliased = re.match(r"/(bin|sbin|lib|lib32|lib64|libx32)/", entry.path)
        if aliased and not entry.info.isdir() and f"/usr{entry.path}" in facts.paths:
            yield Found(f"is also there as /usr{entry.path}", entry.path)


_LEFT_FOLDER = re.compile(r"/(\.git|\.svn|\.hg|\.bzr|CVS|\.DS_Store|__MACOSX|\.deps|\.libs)(?=/|$)")
_LEFT_FILE = re.compile(
    r"[^/]+(~|\.rej|\.swp|\.dpkg-(old|new|dist|tmp))|\.#[^/]*|Thumbs\.db|perllocal\.pod"
)


@rule(
    "leftover-file",
    Severity.WARNING,
    explanation="A file that tools leave behind: an editor's backup, a rejected patch, the folder"
    " of a version control system, or of another operating system.",
    reference="the shape of its name",
    remedy="name it under remove in the recipe's corrections",
    needs=Needs.MEMBERS,
)
def _leftover_file(facts: Facts) -> Iterator[Found]:
    told: set[str] = set()
    for entry in facts.entries:
        folder = _LEFT_FOLDER.search(entry.path)
        path = entry.path[: folder.end()] if folder else entry.path
        if path not in told and (folder or _LEFT_FILE.fullmatch(path.rpartition("/")[2])):
            told.add(path)
            yield Found("was left behind by a tool", path)
    for path, base in lost(facts.entries):
        message = f"is the name under which dpkg unpacks {base}: one of them is lost"
        yield Found(message, path, Severity.ERROR)


@rule(
    "file-name",
    Severity.WARNING,
    explanation="The name of a file is not in UTF-8, or has control characters (an error): nobody"
    " can show or type it.",
    reference="Policy 10.10",
    remedy="rename the file",
    needs=Needs.MEMBERS,
)
def _file_name(facts: Facts) -> Iterator[Found]:
    for entry in facts.entries:
        if re.search(r"[\x00-\x1f\x7f]", entry.path):
            yield Found("has control characters in its name", entry.path, Severity.ERROR)
        elif not entry.path.isascii() and re.search(r"[\udc80-\udcff]", entry.path):
            yield Found("has a name that is not UTF-8", entry.path)


# What base-files of every suite has, so that it is there before any other package.
_BASE_FILES = """
/ /bin /boot /dev /etc /etc/default /etc/opt /etc/profile.d /etc/skel /home /lib /lib64 /proc
/root /run /sbin /sys /tmp /usr /usr/bin /usr/games /usr/include /usr/lib /usr/lib64 /usr/sbin
/usr/share /usr/share/base-files /usr/share/common-licenses /usr/share/dict /usr/share/doc
/usr/share/info /usr/share/lintian /usr/share/lintian/overrides /usr/share/man /usr/share/misc
/usr/src /var /var/backups /var/cache /var/lib /var/lib/dpkg /var/lib/misc /var/local /var/lock
/var/log /var/run /var/spool /var/tmp
"""
_BASE = frozenset(_BASE_FILES.split())


@rule(
    "missing-folder",
    Severity.ERROR,
    explanation="A folder is listed after its files, or not at all, and base-files does not have"
    " it either. dpkg makes no folder that a package does not list: it stops in the"
    " middle of the package.",
    reference="dpkg(1), deb(5); dpkg-deb(1) writes every folder before its files",
    remedy="finish the package, or make it with dpkg-deb -b, which lists every folder first",
    needs=Needs.MEMBERS,
)
def _missing_folder(facts: Facts) -> Iterator[Found]:
    folders = {entry.path for entry in facts.entries if entry.info.isdir()}
    # dpkg puts no link in the place of a folder.
    folder_or_link = (tarfile.DIRTYPE, tarfile.SYMTYPE)
    there = set(_BASE - {e.path for e in facts.entries if e.info.type not in folder_or_link})
    late = there | folders
    told: set[str] = set()
    for entry in facts.entries:
        above = entry.path.rpartition("/")[0] or "/"
        # dpkg makes links last of all.
        if above not in (late if entry.info.issym() else there) and above not in told:
            told.add(above)
            yield Found(f"is not listed before {entry.path}", above)
        if entry.info.isdir():
            there.add(entry.path)


_MERGED = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")  # links of a merged /usr
_OWNERS = ("base-files", "usrmerge", "usr-is-merged")


@rule(
    "merged-folder-replaced",
    Severity.ERROR,
    explanation="The package has a link or file where the system has /lib or another folder of the"
    " merged /usr: only base-files owns these.",
    reference="Policy 10.1",
    remedy="ship the files below /usr, and not the link",
    needs=Needs.MEMBERS,
)
def _merged_folder_replaced(facts: Facts) -> Iterator[Found]:
    if facts.control.get("Package", "") in _OWNERS:
        return
    for entry in facts.entries:
        if entry.path in _MERGED and not entry.info.isdir():
            yield Found("is no folder here, and belongs to base-files", entry.path)


@rule(
    "unmerged-path",
    Severity.WARNING,
    explanation="From trixie on, files lie below /usr only. Where packages disagree, dpkg knows a"
    " file under two names and may lose it in an upgrade. Known only where the suite"
    " is stated.",
    reference="Policy 10.1, dpkg's FAQ on a merged /usr",
    remedy="move it below /usr",
    needs=Needs.MEMBERS,
)
def _unmerged_path(facts: Facts) -> Iterator[Found]:
    merged = ("trixie", "forky", "sid", "unstable")
    if facts.udeb or facts.expectations.suite.partition("-")[0] not in merged:
        return
    for entry in facts.entries:
        top = "/" + entry.path.split("/")[1]
        if top in _MERGED and entry.path != top and not entry.info.isdir():
            yield Found(f"is in {top}: /usr{top} is its place", entry.path)
