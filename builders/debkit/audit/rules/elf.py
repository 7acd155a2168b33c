# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules on ELF files: programs and shared libraries."""

from __future__ import annotations

import re
from collections.abc import Iterator

from builders.debkit.audit.facts import Facts, linked_with
from builders.debkit.audit.model import Found, Needs, Severity, rule
from builders.debkit.deb.metadata import stated_sonames

MACHINES = {
    "amd64": 62,
    "i386": 3,
    "arm64": 183,
    "armhf": 40,
    "armel": 40,
    "ppc64el": 21,
    "s390x": 22,
    "riscv64": 243,
    "mips64el": 8,
    "mipsel": 8,
    "mips": 8,
    "x32": 62,
    "ppc64": 21,
    "powerpc": 20,
    "sparc64": 43,
    "alpha": 0x9026,
    "hppa": 15,
    "ia64": 50,
    "m68k": 4,
    "sh4": 42,
    "loong64": 258,
    "arc": 195,
    "hurd-i386": 3,
    "hurd-amd64": 62,
    "kfreebsd-i386": 3,
    "kfreebsd-amd64": 62,
}
_PROGRAM = re.compile(r"(/usr)?/(s?bin|games)/[^/]+")
# Firmware, boot loaders, other systems' code, samples and tests: not for this one to run.
_ASIDE = re.compile(r"/usr/(share|src)/|/boot/|/lib/(modules|firmware)/|/(boot|tests?|examples)/")
_LOADER = re.compile(r".*/ld(-linux[^/]*|64)?\.so\.[0-9]|.*/ld-[0-9.]+\.so")


@rule(
    "elf-unread",
    Severity.WARNING,
    explanation="An ELF file could not be read, so that what it needs is not known.",
    reference="elf(5)",
    remedy="look at it with readelf -d",
)
def _elf_unread(facts: Facts) -> Iterator[Found]:
    for path, why in facts.unread.items():
        yield Found(why, path)


# Beside its own, what a machine runs in another mode: 32 bits beside 64.
_ALSO = {62: {3}, 3: {62}, 183: {40}, 21: {20}, 43: {2, 18}}
# Not for this machine to run, or for one that a compiler or a boot loader is for.
_FOREIGN = re.compile(
    r"/usr/share/|(/usr)?/lib/(firmware|debug|gcc-cross|grub|syslinux|u-boot|ipxe|qemu|go-|rustlib)"
    r"|/boot/|/usr/[a-z0-9_]+-linux-gnu[a-z0-9_]*/|/usr/lib/llvm-[0-9.]+/lib/clang/"
    r"|.*/(boot|tests?|testdata|testing|fixtures|samples|examples|cross)/"
)


_TRIPLET = re.compile(r"/usr/lib/([a-z0-9_]+)-linux-gnu[a-z0-9_]*/")
_TRIPLETS = {
    "x86_64": 62,
    "i386": 3,
    "aarch64": 183,
    "arm": 40,
    "powerpc64le": 21,
    "riscv64": 243,
    "s390x": 22,
    "mips64el": 8,
    "sparc64": 43,
}


@rule(
    "other-architecture",
    Severity.ERROR,
    explanation="A program, library or kernel module is for another machine than the package,"
    " wherever it lies (firmware, /usr/share and what boots is not looked at), or the package says"
    " that it is for all of them. Headers of a kernel have programs in scripts, which are to run"
    " where the package is installed.",
    reference="Policy 5.6.8",
    remedy="state the architecture that it was built for, or build it for that of the package",
)
def _other_architecture(facts: Facts) -> Iterator[Found]:
    stated = facts.control.get("Architecture", "").strip()
    wanted = MACHINES.get(stated)
    names = {number: name for name, number in reversed(MACHINES.items())}
    libraries = {path for path, _ in facts.libraries()}

    def told(number: int, path: str) -> Iterator[Found]:
        machine = names.get(number, f"machine {number}")
        if stated == "all":
            yield Found(f"is for {machine}, in a package for all architectures", path)
        elif wanted is not None and number != wanted:
            # Debian has a few programs for i386 in packages for amd64, which run there.
            runs = number in _ALSO.get(wanted, ()) and stated != "i386"
            severity = Severity.WARNING if runs else None
            yield Found(f"is for {machine}, not {stated}", path, severity)

    for path, found in facts.elves.items():
        if _PROGRAM.fullmatch(path) or path in libraries:
            yield from told(found.machine, path)
        elif not found.machine:  # EM_NONE: byte code that has the form of ELF, as Guile's
            continue
        elif (found.program or found.dynamic) and not _FOREIGN.match(path):
            runs = wanted is not None and found.machine in _ALSO.get(wanted, ())
            # A folder of another architecture is for that one: what boots its boards, say.
            triplet = _TRIPLET.match(path)
            if not runs and not (triplet and _TRIPLETS.get(triplet[1]) == found.machine):
                yield from told(found.machine, path)
    for path, machine in facts.modules.items():
        yield from told(machine, path)


@rule(
    "unstripped-elf",
    Severity.WARNING,
    explanation="A program or library still has its symbols or debugging information. They are"
    " several times its size, and nobody needs them to run it.",
    reference="Policy 10.1",
    remedy="finish the package: symbols go to a -dbgsym package (dh_strip(1))",
)
def _unstripped_elf(facts: Facts) -> Iterator[Found]:
    if facts.name.endswith(("-dbg", "-dbgsym")):
        return
    for path, found in facts.elves.items():
        # gdb needs the symbols of the loader and of libpthread to follow threads.
        if _ASIDE.search(path) or _LOADER.fullmatch(path) or not found.dynamic:
            continue
        if found.debug:
            yield Found("has debugging information", path)
        elif found.symbols and found.build_id and "libpthread" not in path:
            yield Found("has a symbol table", path)
        elif found.symbols and "libpthread" not in path:
            yield Found("has a symbol table, and no build id to find its symbols by", path)


@rule(
    "executable-library",
    Severity.WARNING,
    explanation="A shared library may be run as a program, and would crash at once.",
    reference="Policy 8.1, 10.1",
    remedy="set its mode to 0644",
)
def _executable_library(facts: Facts) -> Iterator[Found]:
    for path, found in facts.libraries():
        mode = facts.paths[path].info.mode
        if mode & 0o111 and found.soname and not found.program and not _LOADER.fullmatch(path):
            yield Found(f"has mode {mode & 0o7777:04o}", path)


def _versioned(soname: str) -> bool:
    return bool(re.search(r"\.so\.[0-9]|-[0-9][0-9.]*\.so$", soname))


@rule(
    "library-without-link",
    Severity.ERROR,
    explanation="A shared library has another name than its SONAME, and no link of that name lies"
    " beside it: until ldconfig runs, the programs that need it do not start.",
    reference="Policy 8.1",
    remedy="ship a link named like the SONAME",
)
def _library_without_link(facts: Facts) -> Iterator[Found]:
    for path, found in facts.libraries():
        folder = path.rpartition("/")[0]
        if _versioned(found.soname) and f"{folder}/{found.soname}" not in facts.paths:
            yield Found(f"has the SONAME {found.soname}, and no link of that name", path)


@rule(
    "library-without-soname",
    Severity.WARNING,
    explanation="A shared library in the linker's folders has no SONAME. Programs that are linked"
    " with it need it by the name of its file, and no package relation follows from"
    " that.",
    reference="Policy 8.1",
    remedy="link it with -Wl,-soname, or move a plug-in to a folder of its own",
)
def _library_without_soname(facts: Facts) -> Iterator[Found]:
    for path, found in facts.libraries():
        if found.dynamic and not found.soname and not found.program and path.find(".so.") > 0:
            yield Found("has no SONAME", path)


def _public(facts: Facts) -> list[str]:
    """The libraries with a version that others may be linked with."""
    return [path for path, found in facts.libraries() if _versioned(found.soname)]


def _triggers(facts: Facts) -> bool:
    text = facts.files.get("triggers", b"").decode("utf-8", "replace")
    return bool(re.search(r"^[ \t]*activate(-noawait)?[ \t]+ldconfig[ \t]*$", text, re.MULTILINE))


@rule(
    "ldconfig-missing",
    Severity.ERROR,
    explanation="The package has shared libraries in the linker's folders and does not have"
    " ldconfig run. So the linker's cache lacks them after an installation, and keeps"
    " older ones after an upgrade.",
    reference="Policy 8.1.1",
    remedy="finish the package: it gets the trigger activate-noawait ldconfig",
)
def _ldconfig_missing(facts: Facts) -> Iterator[Found]:
    if facts.udeb:
        return
    libraries = _public(facts)
    # The C library brings ldconfig, and runs it itself.
    run = _triggers(facts) or "ldconfig" in facts.script("postinst")
    if libraries and not run and not any(_LOADER.fullmatch(path) for path in libraries):
        yield Found("no trigger has ldconfig run", libraries[0])


@rule(
    "ldconfig-needless",
    Severity.WARNING,
    explanation="The package has ldconfig run, though nothing in it lies in the linker's folders.",
    reference="Policy 8.1.1",
    remedy="remove the trigger",
)
def _ldconfig_needless(facts: Facts) -> Iterator[Found]:
    folders = any(path.startswith("/etc/ld.so.conf.d/") for path in facts.paths)
    # A link there is enough: the library may lie in a folder of its own.
    if _triggers(facts) and not (folders or facts.unread or any(map(linked_with, facts.paths))):
        yield Found("triggers has ldconfig run for nothing")


@rule(
    "missing-shlibs",
    Severity.WARNING,
    explanation="Others may link with the package's shared libraries, and no shlibs or symbols"
    " file says what their packages have to depend on.",
    reference="Policy 8.6, deb-shlibs(5)",
    remedy="finish the package: shlibs is made from the SONAMEs; or move the library to a folder of"
    " its own",
)
def _missing_shlibs(facts: Facts) -> Iterator[Found]:
    if facts.udeb:
        return
    stated = stated_sonames(facts.files)
    for path in _public(facts):
        soname = facts.elves[path].soname
        if _LOADER.fullmatch(path) and not stated:
            continue
        if soname not in stated:
            yield Found(f"is {soname}, which no shlibs file names", path)


@rule(
    "library-path",
    Severity.WARNING,
    explanation="An ELF file looks for its libraries in folders that it names itself. It is an"
    " error where others may write there, where it was built there, or where the path"
    " is relative to a folder that changes: anybody could make it load another"
    " library.",
    reference="Policy 10.2 (rationale), ld.so(8), chrpath(1)",
    remedy="link it without -rpath, or take it out with chrpath -d or patchelf --remove-rpath",
)
def _library_path(facts: Facts) -> Iterator[Found]:
    folders = {path.rpartition("/")[0] for path in facts.paths}
    depends = facts.relations("Depends")
    for path, found in facts.elves.items():
        for folder in dict.fromkeys(found.runpath):
            if folder.startswith(("$ORIGIN", "${ORIGIN}")):
                continue
            if not folder.startswith("/"):
                yield Found(f"looks for libraries in {folder!r}", path, Severity.ERROR)
            elif re.match(r"/(home|tmp|var/tmp|build|root|srv|mnt)(/|$)", folder):
                yield Found(f"looks for libraries in {folder}", path, Severity.ERROR)
            elif re.match(r"/usr/local(/|$)", folder):
                yield Found(f"looks for libraries in {folder}, the administrator's", path)
            elif re.fullmatch(r"(/usr)?/lib(64|/[a-z0-9_]+-linux-gnu)?/?", folder):
                yield Found(f"looks for libraries in {folder}, where the linker looks anyway", path)
            elif folder.rstrip("/") not in folders and not depends:
                yield Found(f"looks for libraries in {folder}, which nothing brings", path)


@rule(
    "executable-stack",
    Severity.WARNING,
    explanation="A program or library asks for a stack that code can run on. That makes a mistake"
    " in it easier to exploit, and newer systems refuse to load it.",
    reference="execstack(8), elf(5) PT_GNU_STACK",
    remedy="add a .note.GNU-stack section to what was written in assembly, or link with"
    " -z noexecstack",
)
def _executable_stack(facts: Facts) -> Iterator[Found]:
    for path, found in facts.elves.items():
        if found.dynamic and not _ASIDE.search(path):
            if found.stack:
                yield Found("asks for an executable stack", path)
            elif found.stack is None and found.machine in (3, 62):
                yield Found("does not say that its stack is not executable", path)


@rule(
    "text-relocation",
    Severity.WARNING,
    explanation="The loader has to change the code of this file in memory. Processes cannot share"
    " it then, and hardened systems refuse it.",
    reference="Policy 10.2",
    remedy="compile all of it with -fPIC",
)
def _text_relocation(facts: Facts) -> Iterator[Found]:
    for path, found in facts.elves.items():
        if found.textrel and found.machine != 3 and not _ASIDE.search(path):
            yield Found("has text relocations", path)


@rule(
    "static-program",
    Severity.INFO,
    explanation="A program has its libraries built in: corrections of these do not reach it.",
    reference="Policy 10.1",
    remedy="link it dynamically, or state Built-Using where its licence asks for it",
)
def _static_program(facts: Facts) -> Iterator[Found]:
    for path, found in facts.elves.items():
        if _PROGRAM.fullmatch(path) and not found.dynamic:
            yield Found("is linked statically", path)


@rule(
    "debug-files",
    Severity.WARNING,
    explanation="Files for debuggers are in a package that is not for debugging, so that"
    " everybody installs them; or they are right in /usr/lib/debug, where gdb does not"
    " find them.",
    reference="Policy 8.1 (rationale), dh_strip(1), gdb(1) debug-file-directory",
    remedy="finish the package: they go to a -dbgsym package",
    needs=Needs.MEMBERS,
)
def _debug_files(facts: Facts) -> Iterator[Found]:
    if facts.name.endswith(("-dbg", "-dbgsym")):
        return
    inside = [
        entry.path
        for entry in facts.entries
        if entry.path.startswith("/usr/lib/debug/") and not entry.info.isdir()
    ]
    if inside:
        yield Found("lies in /usr/lib/debug, in a package that is not -dbgsym", inside[0])


@rule(
    "development-file",
    Severity.INFO,
    explanation="Beside its programs the package has what is only for compiling against its"
    " libraries: headers, static libraries, or the link that the linker looks for.",
    reference="Policy 8.3, 8.4",
    remedy="move it to a -dev package, where anybody is to compile against it",
    needs=Needs.MEMBERS,
)
def _development_file(facts: Facts) -> Iterator[Found]:
    if facts.name.endswith("-dev") or not any(_PROGRAM.fullmatch(path) for path in facts.paths):
        return
    links = re.compile(r"(/usr)?/lib(/[a-z0-9_]+-linux-gnu)?/(lib[^/]+\.(a|so)|pkgconfig/.*)")
    found = [
        e.path
        for e in facts.entries
        if (links.fullmatch(e.path) and (e.info.issym() or not e.path.endswith(".so")))
        or (e.path.startswith("/usr/include/") and e.path.endswith(".h"))
    ]
    if found:
        yield Found(f"and {len(found) - 1} more are for compiling", found[0])
