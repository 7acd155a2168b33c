# SPDX-License-Identifier: GPL-2.0-or-later
# ruff: noqa: E501  # tables of values
"""Odd packages: every field and file of control.tar with every kind of fault, and mixtures.

`packages(start, count)` is the same list on every box. The first ones are an enumeration, one
fault each; what comes after it is drawn by chance, from the number of the package alone.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import random
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from tests.unit import debs

_WHEN = 1_700_000_000
_COPYRIGHT = b"Copyright 2024 Some One. Public domain.\n"
_RELATIONS = (
    "Depends",
    "Pre-Depends",
    "Recommends",
    "Suggests",
    "Enhances",
    "Conflicts",
    "Breaks",
    "Replaces",
    "Provides",
)


@dataclass(frozen=True, eq=False)
class Odd:
    """A package to be judged.

    name: of the package, and its folder below /usr/share. label: what is odd about it.
    fields: of the control file, in their order; control is that file where it is given whole.
    files: of control.tar, with their modes. conf: whether it has a file in /etc.
    """

    name: str
    label: str = "sound"
    fields: Mapping[str, str] = field(default_factory=dict)
    control: bytes | None = None
    files: Mapping[str, tuple[bytes, int]] = field(default_factory=dict)
    folders: tuple[str, ...] = ()
    conf: bool = False
    extra: tuple[debs.Item, ...] = ()
    data: bytes = b"hello\n"

    def paragraph(self) -> bytes:
        """The control file."""
        if self.control is not None:
            return self.control
        fields = {**sound(self.name), **self.fields}
        # As dpkg-gencontrol does. What comes last is another matter, which has its own cases.
        fields["Description"] = fields.pop("Description")
        return "".join(
            f"{name}:{'' if value.startswith(chr(10)) else ' '}{value}\n"
            for name, value in fields.items()
            if value is not None
        ).encode("utf-8", "surrogateescape")

    def items(self) -> list[debs.Item]:
        """The members of data.tar, without folders."""
        base = f"./usr/share/{self.name}"
        found = [
            debs.Item(f"{base}/data.txt", self.data, mtime=_WHEN),
            debs.Item(f"./usr/share/doc/{self.name}/copyright", _COPYRIGHT, mtime=_WHEN),
            debs.Item(
                f"./usr/share/doc/{self.name}/changelog.gz", _changelog(self.name), mtime=_WHEN
            ),
        ]
        if self.conf:
            found.append(debs.Item(f"./etc/{self.name}/a.conf", b"a = 1\n", mtime=_WHEN))
        return [*found, *self.extra]

    def sums(self) -> bytes:
        """What md5sums ought to have."""
        return b"".join(
            f"{hashlib.md5(item.content, usedforsecurity=False).hexdigest()}  {item.name[2:]}\n".encode()
            for item in self.items()
            if not item.name.startswith("./etc/") and item.kind == tarfile.REGTYPE
        )

    def conffiles(self) -> bytes:
        """What conffiles ought to have."""
        return f"/etc/{self.name}/a.conf\n".encode() if self.conf else b""

    def write(self, folder: Path) -> Path:
        """The package as a file of that folder."""
        files = {"md5sums": (self.sums(), 0o644)}
        if self.conf:
            files["conffiles"] = (self.conffiles(), 0o644)
        files |= self.files
        members = [
            debs.folder("./"),
            debs.Item("./control", self.paragraph()),
            *(debs.folder(f"./{name}/") for name in self.folders if name not in files),
            *(
                debs.Item(f"./{name}", content, mode=mode)
                for name, (content, mode) in files.items()
                if content is not None
            ),
        ]
        path = folder / f"{self.name}.deb"
        path.write_bytes(
            debs.ar(
                [
                    ("debian-binary", b"2.0\n"),
                    ("control.tar", _tar(members)),
                    ("data.tar", _tar(debs.with_folders(self.items()))),
                ]
            )
        )
        return path


def sound(name: str) -> dict[str, str]:
    """The fields of a package that all take."""
    return {
        "Package": name,
        "Version": "1.0",
        "Architecture": "all",
        "Maintainer": "Some One <some.one@example.org>",
        "Installed-Size": "9",
        "Section": "misc",
        "Priority": "optional",
        "Description": "package to be judged\n It has a file, and nothing that anybody needs.",
    }


def _tar(items: Sequence[debs.Item]) -> bytes:
    out = io.BytesIO()
    for item in items:
        info = tarfile.TarInfo(item.name)
        info.type, info.mode, info.mtime = item.kind, item.mode, item.mtime
        info.uname = info.gname = "root"
        info.linkname = item.link
        info.size = len(item.content)
        out.write(info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape"))
        out.write(item.content + bytes(-info.size % 512))
    return out.getvalue() + bytes(1024)


@cache
def _changelog(name: str) -> bytes:
    text = (
        f"{name} (1.0) unstable; urgency=medium\n\n  * Made.\n\n"
        " -- Some One <some.one@example.org>  Tue, 14 Nov 2023 22:13:20 +0000\n"
    )
    return gzip.compress(text.encode(), 9, mtime=0)


# --- The enumeration: label, and what it makes of a sound package.

Fault = Callable[[Odd], Odd]


def _set(name: str, value: str) -> Fault:
    return lambda odd: replace(odd, fields={**odd.fields, name: value.replace("@", odd.name)})


def _file(name: str, content: bytes, mode: int = 0o644) -> Fault:
    return lambda odd: replace(
        odd, files={**odd.files, name: (content.replace(b"@", odd.name.encode()), mode)}
    )


def _folder(name: str) -> Fault:
    return lambda odd: replace(odd, folders=(*odd.folders, name))


def _whole(change: Callable[[bytes], bytes]) -> Fault:
    return lambda odd: replace(odd, control=change(odd.paragraph()))


_VERSIONS = (
    "1", "1.0-1", "0", "1:1.0", "1.0~rc1", "1.0+b1", "1.0:2", "2:1.0:2-3", "1.0-1-1", "9999999999:1",
    "2147483647:1", "2147483648:1", "-1:1", "+1:1", " 1:1", "1 :1", ":1", "1:", "a1", "1.0_1", "1.0-",
    "1.0-1_1", "1.0-1:2", "1.0/2", "1.0 1", "", "-", "~1", "1..2", "1.0-~", "1-", "1.0\t", "1.0-\u00e4",
    "\u0663.1", "0x1", "x:1", "1.0,2", "1:2:3:4", "0:0-0", "1.0-a", "1.0--1", "00001", "1^2", "1.0@", "-1",
)  # fmt: skip
_NAMES = (
    "@", "@-x", "@+", "@.", "@_x", "@-X", "A@", "0@", "-@", "+@", ".@", "_@", "@ x", "@/x", "@:any", "@@",
    "@,x", "", "\u00e4@", "@\u00e4", "@~", "@(x)", "@\tx", "@=", "@|x", "@--", "@;",
)  # fmt: skip
_ARCHITECTURES = (
    "all", "amd64", "i386", "arm64", "armhf", "riscv64", "loong64", "x32", "kfreebsd-amd64", "hurd-i386",
    "musl-linux-amd64", "uclibc-linux-armel", "arc", "mint-m68k", "darwin-amd64", "mips64r6el",
    "any", "linux-any", "any-amd64", "source", "aarch64", "armv7l", "x86_64", "i686", "noarch", "AMD64",
    "All", "ALL", "native", "amd64 i386", "amd64,i386", "", "-", "amd64-", "linux-amd64", "gnu-linux-amd64",
    "musl-amd64", "hurd", "gnu-any-any", "none", "all amd64", "amd64/x", "\u00e4", "!amd64", "amd64 ",
)  # fmt: skip
_WORDS = (
    "yes",
    "no",
    "Yes",
    "NO",
    "true",
    "1",
    "",
    "maybe",
    "yes no",
    "yes,no",
    "y",
    "off",
    "-",
    "no.",
)
_MULTI = (
    "no", "same", "foreign", "allowed", "Same", "FOREIGN", "yes", "none", "", "same foreign", "any", "1",
    "foreign,same", "s", "samex", "allowed ", "no-same",
)  # fmt: skip
_PRIORITIES = (
    "required", "important", "standard", "optional", "extra", "Optional", "OPTIONAL", "high", "base",
    "recommended", "", "optional x", "1", "optional,extra", "unknown", "other", "source", "-", "option",
    "this is not one", "optionalx",
)  # fmt: skip
_RELATION_VALUES = (
    "",
    "aaa", "aaa (>= 1)", "aaa(>=1)", "aaa ( >= 1 )", "aaa (<< 1), bbb (>> 2)", "aaa | bbb", "aaa:any",
    "aaa:amd64", "aaa:native", "aaa:i386 (= 1)", "aaa (= 1:2-3)", "aaa (<= 1)", "aaa (< 1)", "aaa (> 1)",
    "aaa (1.0)", "aaa (==1)", "aaa (=> 1)", "aaa (=< 1)", "aaa (<> 1)", "aaa (>< 1)", "aaa (~ 1)",
    "aaa (!= 1)", "aaa (>= )", "aaa ()", "aaa (>=", "aaa (>= 1", "aaa >= 1", "aaa 1", "aaa bbb",
    "aaa, ", "aaa,", ", aaa", ",", ",,", "aaa,, bbb", "aaa |", "| aaa", "aaa || bbb", "aaa | | bbb", "|",
    "aaa,|bbb", "aaa|bbb,ccc", "aaa\n , bbb", "\n aaa,\n bbb", "aaa,\n bbb", "aaa,\n\tbbb,\n", "aaa, \n bbb",
    "AAA", "a", "a_b", "_a", "-a", "+a", ".a", "0a", "a+", "a.", "a-", "aaa/bbb", "aaa;", '"aaa"', "aaa*",
    "${shlibs:Depends}", "${misc:Depends}, aaa", "aaa (= ${binary:Version})", "aaa [amd64]", "aaa [!amd64]",
    "aaa <!nocheck>", "aaa <cross>", "aaa [linux-any] <!x>", "aaa:", "aaa::any", "aaa: any", "aaa :any",
    "aaa:any:any", "aaa:a_b", "aaa:-x", "aaa:\u00e4", "aaa (>= 1.0_1)", "aaa (>= v1)", "aaa (>= 1 2)",
    "aaa (>= 1)(<< 2)", "aaa (>= 1) (<< 2)", "aaa (>= 1, << 2)", "aaa (>= 1.0-)", "aaa (>= :1)",
    "aaa (>= 1:)", "aaa (>= -1:1)", "aaa (>=1:1:1)", "aaa (>= 99999999999:1)", "aaa (>= \u0663.1)",
    "aaa ((>= 1))", "aaa (>= 1))", "aaa )", "( aaa", "aaa (>= (1))", "aaa\u00a0(>= 1)", "aaa\u2028bbb",
    "aaa\u0085bbb", "\u00e4\u00e4", "aaa # no", "# aaa", "aaa and bbb", "aaa or bbb", "@", "@ (<< 1)", "@ (= 1.0)",
    "@ | aaa", "aaa@bbb", "aaa\r\n bbb", "aaa (>= 1\n )", "aaa (\n >= 1)", "aaa\n (>= 1)", "aaa (>> 1) | bbb",
    "aaa (>=\t1)", "aaa,bbb,ccc", "aaa , bbb , ccc", "aaa%", "aaa (>= 1%2)", "aaa{}", "aaa (>= 1~)", "aaa (=1)",
    "aaa (=a)", "aaa (= a1)", "aaa (a1)", "aaa (>=+1)", "aaa (<<-1)", "aaa:all", "aaa:any (>= 1) | bbb:any", "aaa\x0bbbb",
    "aaa,\x0cbbb", "aaa (>=\x0b1)", "aaa\n .\n bbb",
)  # fmt: skip
_PLAIN_VALUES = (
    "", "x", "x\n y", "x\n .\n y", "x\n\ty", "x\n  \n y", "x\n \n y", "\n x", "x\r", "x\u00e4", "x\u0085y", "x\u2028y",
    "x\x00y", "x\x1ay", "x\x0by", "\udcffx", "12", "-1", "1 2", "1.5", "99999999999999999999", "x: y", "${x}",
)  # fmt: skip
_PLAIN_FIELDS = (
    "Maintainer", "Description", "Installed-Size", "Section", "Source", "Origin", "Bugs", "Homepage", "Tag",
    "Built-Using", "Original-Maintainer", "X-Own", "Kernel-Version", "Package-Type", "Static-Built-Using",
    "Task", "Uploaders", "Ruby-Versions",
)  # fmt: skip
# Fields that a package is not to have: of a status file, a list of packages, or of before 2000.
_STRANGE = {
    "Status": ("install ok installed", "x", ""),
    "Config-Version": ("1.0", "x", ""),
    "Conffiles": ("\n /etc/x 0123456789abcdef0123456789abcdef", "x", "", "\n x", "\n /etc/x", "\n /etc/x y obsolete"),
    "Filename": ("x", "", "x y"),
    "Size": ("1", "", "1 2"),
    "MD5sum": ("0" * 32, "", "a b"),
    "Triggers-Pending": ("x", "", "/x"),
    "Triggers-Awaited": ("x", ""),
    "Revision": ("1", "", "x_y"),
    "Package-Revision": ("1", ""),
    "Package_Revision": ("1", ""),
    "Class": ("optional", "", "x y"),
    "Recommended": ("aaa", "aaa,", ""),
    "Optional": ("aaa", "aaa,", ""),
    "Important": ("yes", "no", "x"),
    "X": ("y", ""),
    "Q": ("y",),
    "SHA256": ("x", ""),
    "Binary": ("x",),
    "Build-Depends": ("aaa,", "aaa [amd64]"),
    "Tag": ("a::b", "a::b,\n c::d"),
}  # fmt: skip


def _fields() -> Iterator[tuple[str, Fault]]:
    for value in _VERSIONS:
        yield f"Version {value!r}", _set("Version", value)
    for value in _NAMES:
        yield f"Package {value!r}", _set("Package", value)
    for value in _ARCHITECTURES:
        yield f"Architecture {value!r}", _set("Architecture", value)
    for name in ("Essential", "Protected", "Build-Essential", "Important"):
        for value in _WORDS:
            yield f"{name} {value!r}", _set(name, value)
    for value in _MULTI:
        yield f"Multi-Arch {value!r}", _set("Multi-Arch", value)

        def both(odd: Odd, value: str = value) -> Odd:
            return _set("Architecture", "amd64")(_set("Multi-Arch", value)(odd))

        yield f"Multi-Arch {value!r}, amd64", both
    for value in _PRIORITIES:
        yield f"Priority {value!r}", _set("Priority", value)
    for name in _RELATIONS:
        for value in _RELATION_VALUES:
            yield f"{name} {value!r}", _set(name, value)
    for name in _PLAIN_FIELDS:
        for value in _PLAIN_VALUES:
            yield f"{name} {value!r}", _set(name, value)
    for name, values in _STRANGE.items():
        for value in values:
            yield f"{name} {value!r}", _set(name, value)
    for name in sound(""):
        yield f"no {name}", _without(name)


def _without(name: str) -> Fault:
    def change(odd: Odd) -> Odd:
        fields = {k: v for k, v in {**sound(odd.name), **odd.fields}.items() if k != name}
        text = "".join(f"{k}: {v}\n" for k, v in fields.items())
        return replace(odd, control=text.encode())

    return change


def _controls() -> Iterator[tuple[str, Fault]]:
    """The control file as a whole."""
    changes: dict[str, Callable[[bytes], bytes]] = {
        "no newline at the end": lambda c: c.rstrip(b"\n"),
        "two newlines at the end": lambda c: c + b"\n",
        "ten newlines at the end": lambda c: c + b"\n" * 10,
        "newlines before": lambda c: b"\n\n" + c,
        "a second paragraph": lambda c: c + b"\nPackage: other\nVersion: 2\n",
        "a second paragraph of a comment": lambda c: c + b"\n# more\n",
        "spaces after the end": lambda c: c + b"\n   \n",
        "CR LF": lambda c: c.replace(b"\n", b"\r\n"),
        "CR": lambda c: c.replace(b"\n", b"\r"),
        "BOM": lambda c: b"\xef\xbb\xbf" + c,
        "empty": lambda _: b"",
        "only newlines": lambda _: b"\n\n\n",
        "only a comment": lambda _: b"# nothing\n",
        "a comment first": lambda c: b"# a comment\n" + c,
        "a comment within": lambda c: c.replace(b"Version:", b"# a comment\nVersion:"),
        "a comment in a value": lambda c: c.replace(b"\n It has", b"\n# a comment\n It has"),
        "a line without colon": lambda c: c.replace(b"Version:", b"hello\nVersion:"),
        "a blank line within": lambda c: c.replace(b"Version:", b"\nVersion:"),
        "a line of one space": lambda c: c.replace(b"Version:", b" \nVersion:"),
        "a line of a tab": lambda c: c.replace(b"Version:", b"\t\nVersion:"),
        "a space before a field": lambda c: c.replace(b"Version:", b" Version:"),
        "a space before the colon": lambda c: c.replace(b"Version:", b"Version :"),
        "a tab before the colon": lambda c: c.replace(b"Version:", b"Version\t:"),
        "no space after the colon": lambda c: c.replace(b": ", b":"),
        "many spaces after the colon": lambda c: c.replace(b": ", b":    "),
        "a tab after the colon": lambda c: c.replace(b": ", b":\t"),
        "lower case names": lambda c: c.replace(b"Version", b"version").replace(b"Pack", b"pack", 1),
        "upper case names": lambda c: c.replace(b"Version", b"VERSION"),
        "a field twice": lambda c: c.replace(b"Version:", b"Section: misc\nVersion:"),
        "a field twice, other case": lambda c: c.replace(b"Version:", b"version: 1.0\nVersion:"),
        "an own field twice": lambda c: b"X-Own: 1\nX-Own: 2\n" + c,
        "an own field twice, other case": lambda c: b"X-Own: 1\nx-own: 2\n" + c,
        "a name with a dash first": lambda c: b"-Own: 1\n" + c,
        "a name of a dash": lambda c: b"-: 1\n" + c,
        "a name of one letter": lambda c: b"A: 1\n" + c,
        "a name of two letters": lambda c: b"Ab: 1\n" + c,
        "a name with a hash first": lambda c: b"#Own: 1\n" + c,
        "a name with a hash within": lambda c: b"O#wn: 1\n" + c,
        "a name with a slash": lambda c: b"O/wn: 1\n" + c,
        "a name with an umlaut": lambda c: "\u00e4wn: 1\n".encode() + c,
        "a name with a control character": lambda c: b"O\x01wn: 1\n" + c,
        "a name with NUL": lambda c: b"O\x00wn: 1\n" + c,
        "a name with DEL": lambda c: b"O\x7fwn: 1\n" + c,
        "a name of two words": lambda c: b"My Own: 1\n" + c,
        "an empty name": lambda c: b": 1\n" + c,
        "a long name": lambda c: b"O" + b"w" * 5000 + b": 1\n" + c,
        "a long value": lambda c: b"Own: " + b"w" * 70000 + b"\n" + c,
        "many fields": lambda c: b"".join(b"X-%d: 1\n" % n for n in range(600)) + c,
        "Ctrl-Z at the end": lambda c: c + b"\x1a",
        "Ctrl-Z first": lambda c: b"\x1a" + c,
        "Ctrl-Z within": lambda c: c.replace(b"Version:", b"\x1aVersion:"),
        "Ctrl-Z in a value": lambda c: c.replace(b"misc", b"mi\x1asc"),
        "NUL at the end": lambda c: c + b"\x00",
        "NUL within": lambda c: c.replace(b"misc", b"mi\x00sc"),
        "Latin-1": lambda c: c.replace(b"Some One", b"S\xf6me One"),
        "UTF-16": lambda c: c.decode().encode("utf-16"),
        "a signature around it": lambda c: b"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n" + c,
        "binary": lambda _: bytes(range(256)),
        "the last line continued": lambda c: c + b" more\n",
        "the last line a space": lambda c: c + b" \n",
        "the first line continued": lambda c: b" more\n" + c,
        "the synopsis empty": lambda c: c.replace(b" package to be judged", b""),
        "a form feed before a field": lambda c: c.replace(b"Version:", b"\x0cVersion:"),
        "a vertical tab in a value": lambda c: c.replace(b"misc", b"mi\x0bsc"),
        "a value of a no-break space": lambda c: c.replace(b"misc", b"\xc2\xa0"),
        "a blank continuation line": lambda c: c.replace(b"\n It has", b"\n \n It has"),
        "a continuation line of tabs": lambda c: c.replace(b"\n It has", b"\n\t\t\n It has"),
        "a continuation line of CR": lambda c: c.replace(b"\n It has", b"\n \r\n It has"),
        "an empty continuation line": lambda c: c.replace(b"\n It has", b"\n\n It has"),
        "a field without value last": lambda c: c + b"Own:\n",
        "a field without value, no newline": lambda c: c + b"Own:",
        "a field name last": lambda c: c + b"Own",
        "a field with a space, no newline": lambda c: c + b"Own: ",
        "a field with a value, no newline": lambda c: c + b"Own: x",
        "a value of one byte, no newline": lambda c: c + b"Ow:x",
    }  # fmt: skip
    for label, change in changes.items():
        yield f"control: {label}", _whole(change)


def _conf(odd: Odd) -> Odd:
    return replace(odd, conf=True)


def _conffiles() -> Iterator[tuple[str, Fault]]:
    path = b"/etc/@/a.conf"
    contents = (
        path + b"\n", path, path + b"\n\n", b"\n" + path + b"\n", path + b"\n" + path + b"\n",
        path + b" \n", path + b"\t\n", path + b"\r\n", b" " + path + b"\n", b"\t" + path + b"\n",
        path[1:] + b"\n", b"." + path + b"\n", b"/" + path + b"\n", b"/./etc/@/a.conf\n", b"/etc/./@/a.conf\n",
        b"/etc//@/a.conf\n", b"/etc/@/../@/a.conf\n", b"/etc/@\n", b"/etc/@/\n", b"/\n", b"//\n", b"/.\n", b"/etc/@/a.conf/\n",
        b"/etc/@/missing\n", path + b"\n/etc/@/missing\n", b"/etc/@/*\n", b"", b"\n", b"\n\n", b" \n", b"# note\n" + path + b"\n",
        b"#" + path + b"\n", b"remove-on-upgrade /etc/@/old\n", path + b"\nremove-on-upgrade /etc/@/old\n",
        path + b"\nremove-on-upgrade /etc/@/old name\n", path + b"\nremove-on-upgrade  /etc/@/old\n",
        path + b"\nremove-on-upgrade\t/etc/@/old\n", path + b"\nremove-on-upgrade etc/@/old\n",
        path + b"\nremove-on-upgrade\n", path + b"\nremove-on-upgrade \n", path + b"\nRemove-On-Upgrade /etc/@/old\n",
        path + b"\nremove-on-upgrade " + path + b"\n", b"remove-on-upgrade " + path + b"\n", path + b"\nkeep /etc/@/old\n",
        path + b"\n remove-on-upgrade /etc/@/old\n", path + b"\nremove-on-upgrade /etc/@/old\t\n", path + b"\n/etc/@/a b\n",
        path + b"\n/etc/@/" + b"n" * 900 + b"\n", path + b"\n/etc/@/" + b"n" * 981 + b"\n", path + b"\n/" + b"n/" * 700 + b"n\n", path + b"\x00\n", path + b"\n\x00\n",
        path + b"\n/etc/@/\xff\n", path + b"\n/etc/@/\xc3\xa4\n", path + b"\n/etc/@/x obsolete\n", path + b"\n/etc/@/x newconffile\n", b"\xef\xbb\xbf" + path + b"\n",
        path + b"\n/usr/share/@/data.txt\n", path + b"\nx\n", path + b"\n/x remove-on-upgrade\n", b"/etc/@/a.conf obsolete\n", path + b"\x0b\n", path + b"\x0c\n", path + b"\n\x0c\n",
        path + b"\nobsolete /etc/@/x\n", path + b"\n\tremove-on-upgrade /etc/@/x\n", path + b"\nremove-on-upgrade /\n",
        path + b"\n/etc\n", path + b"\n/usr/share/@\n", path + b"\n/nowhere/\n", path + b"\n.\n", path + b"\n../etc/x\n", path + b"\n/etc/@/a.conf.dpkg-new\n",
    )  # fmt: skip
    for item in (
        debs.symlink("./etc/@/x", "a.conf"),
        debs.symlink("./etc/@/x", "nothing"),
        debs.hardlink("./etc/@/x", "./etc/@/a.conf"),
        debs.folder("./etc/@/x/"),
        debs.Item("./etc/@/x", b""),
        debs.Item("./etc/@/x", b"b = 1\n", mode=0o600),
        debs.Item("./etc/@/x", b"b = 1\n", mode=0o4755),
        debs.Item("./etc/@/x/y", b"b = 1\n"),
        debs.Item("./etc/@/x y", b"b = 1\n"),
        debs.Item("./etc/@/\u00e4", b"b = 1\n"),
        debs.Item("./etc/@/\udcff", b"b = 1\n"),
    ):
        for listed in (b"", path + b"\n", path + b"\n/etc/@/x\n", b"/etc/@/x\n"):

            def with_item(odd: Odd, item: debs.Item = item, listed: bytes = listed) -> Odd:
                name, link = (x.replace("@", odd.name) for x in (item.name, item.link))
                odd = replace(_conf(odd), extra=(replace(item, name=name, link=link),))
                return _file("conffiles", listed)(odd)

            kind = item.kind.decode()
            yield f"{item.name!r} of type {kind}, conffiles {listed!r}", with_item
    for content in contents:

        def change(odd: Odd, content: bytes = content) -> Odd:
            return _file("conffiles", content)(_conf(odd))

        yield f"conffiles {content[:60]!r}", change


def _md5sums() -> Iterator[tuple[str, Fault]]:
    right = hashlib.md5(b"hello\n", usedforsecurity=False).hexdigest().encode()
    path = b"usr/share/@/data.txt"
    good = right + b"  " + path + b"\n"
    contents = (
        good, good[:-1], good + b"\n", b"\n" + good, b"", b"\n", right + b" " + path + b"\n", right + b" *" + path + b"\n",
        right + b"\t" + path + b"\n", right + b"   " + path + b"\n", right + b"\t\t" + path + b"\n", right.upper() + b"  " + path + b"\n",
        right[:31] + b"  " + path + b"\n", right + b"0  " + path + b"\n", right + b"  /" + path + b"\n", right + b"  ./" + path + b"\n",
        right + b"  " + path + b"/\n", right + b"  \n", right + b" \n", right + b"\n", right + b"  x\n", right + b"  .\n", right + b"  /\n",
        b"0" * 32 + b"  " + path + b"\n", b"g" * 32 + b"  " + path + b"\n", b"g" * 32 + b"  usr/missing\n", good + good, good + b"0" * 32 + b"  " + path + b"\n",
        b"0" * 32 + b"  " + path + b"\n" + good, good + b"0" * 32 + b"  usr/missing\n", b"\\" + right + b"  " + path + b"\n", good.replace(b"\n", b"\r\n"),
        b"# sums\n" + good, b" " + good, good + b"#\n", good + b"x\n", good + b"#" * 40 + b"\n", b"\xef\xbb\xbf" + good, good + b"\x00",
        b"\x00" + good, right + b"  " + path + b"\x00\n", good + b" " * 40 + b"\n", right + b"  " + path + b" \n", good + b"\n\n\n", right + b" ./" + path + b"\n",
        good + right + b"  usr/share/doc/../doc/@/copyright\n", good + right + b"  usr/share/@\n", good + right + b"  usr/share/@/\n", good + b"0" * 32 + b"  \xff\xfe\n",
        b"0" * 64 + b"  " + path + b"\n", b"MD5 (" + path + b") = " + right + b"\n", right + b"  " + path + b"\n;\n", right + b"  usr//share/@/data.txt\n",
        right + b"  usr/./share/@/data.txt\n", b"0" * 32 + b"  usr//share/@/data.txt\n", b"0" * 32 + b"  ./usr/share/@/data.txt\n", b"0" * 32 + b"  /usr/share/@/data.txt\n",
        b"0" * 32 + b"  " + path + b"/\n", b"0" * 32 + b"  usr/./share/@/data.txt\n",
    )  # fmt: skip
    for content in contents:
        yield f"md5sums {content[:80]!r}", _file("md5sums", content)

    def conf(odd: Odd, digest: bytes = b"0" * 32) -> Odd:
        return _file("md5sums", odd.sums() + digest + b"  etc/@/a.conf\n")(_conf(odd))

    yield "md5sums of a conffile, wrong", conf
    yield "no md5sums", lambda odd: replace(odd, files={**odd.files, "md5sums": (None, 0)})  # type: ignore[dict-item]


def _triggers() -> Iterator[tuple[str, Fault]]:
    contents = (
        b"interest @\n", b"interest /usr/share/@\n", b"interest-await @\n", b"interest-noawait @\n", b"activate @\n",
        b"activate-await @\n", b"activate-noawait @\n", b"activate /usr/share/@\n", b"activate-noawait ldconfig\n", b"interest @", b"activate @",
        b"", b"\n", b" \n", b"# note\n", b" # note\n", b"interest @ # note\n", b"  interest   @  \n", b"\tinterest\t@\t\n",
        b"interest\n", b"interest \n", b"activate\n", b"interests @\n", b"Interest @\n", b"INTEREST @\n", b"interest: @\n", b"trigger @\n", b"await @\n",
        b"interest @ x\n", b"activate @ x\n", b"interest a b c\n", b"interest /\n", b"interest //\n", b"interest /usr/\n", b"interest /usr//share\n", b"interest usr/share\n",
        b"interest /usr/./x\n", b"interest _x\n", b"interest x_y\n", b"interest X\n", b"interest -x\n", b"interest x,y\n", b"activate _x\n", b"activate x_y\n", b"activate /\n",
        b"activate //x\n", b"activate x/y\n", b"activate -x\n", b"activate \xff\n", b"interest \xff\n", b"interest \xc3\xa4\n", b"interest @\r\n", b"activate @\r\n", b"\r\n", b"interest @\n\r\n",
        b"interest @\x00\n", b"interest @\nx\n", b"x\n", b"interest @\ninterest @\n", b"interest /@\ninterest /@\n", b"interest @\ninterest-noawait @\n",
        b"interest /@\ninterest-noawait /@\n", b"activate @\nactivate @\n", b"interest " + b"n" * 250 + b"\n", b"interest " + b"n" * 256 + b"\n", b"activate " + b"n" * 1020 + b"\n",
        b"interest /" + b"n" * 1020 + b"\n", b"interest x\x7fy\n", b"interest x\x01y\n", b"\xef\xbb\xbfinterest @\n", b"interest\x0b@\n", b"interest \x0b@\n", b"interest @\n\n\ninterest @2\n",
        b"interest-await\n", b"activate-noawait\n", b"interest-nowait @\n", b"noawait @\n", b"interest=@\n", b"interest@\n", b"interest /@/\n", b"interest .\n", b"interest ..\n", b"interest ../x\n",
        b"interest File\n", b"interest Unincorp\n", b"interest Lock\n", b"activate File\n", b"#interest @\nactivate @", b"# note", b"interest " + b"n" * 200 + b"\n",
    )  # fmt: skip
    for content in contents:
        yield f"triggers {content[:50]!r}", _file("triggers", content)


_SHELL = b"#!/bin/sh\nset -e\n"


def _scripts() -> Iterator[tuple[str, Fault]]:
    texts = (
        _SHELL, _SHELL + b"exit 0\n", b"#!/bin/sh -e\n", b"#! /bin/sh\nset -e\n", b"#!  /bin/sh  -e  \ntrue\n", b"#!\t/bin/sh\nset -e\n",
        b"#!/bin/sh\r\nset -e\r\n", b"#!/bin/sh\r\nset -e\n", b"#!/bin/sh\nset -e\r\n", b"#!/bin/sh -e\r\ntrue\r\n", b"#!/bin/sh \r\nset -e\n", b"#!/bin/bash\r\n",
        b"#!/bin/bash\nset -e\n", b"#!/usr/bin/bash\nset -e\n", b"#!/usr/local/bin/bash\nset -e\n", b"#!/usr/local/bin/sh\n", b"#!/usr/bin/env bash\nset -e\n",
        b"#!/usr/bin/env bash -e\ntrue\n", b"#!/usr/bin/env sh\nset -e\n", b"#!/usr/bin/env -S sh -e\ntrue\n", b"#!/usr/bin/env -S bash -e\ntrue\n", b"#!/usr/bin/env -i sh\nset -e\n",
        b"#!/usr/bin/env nothing\n", b"#!/bin/env sh\n", b"#!/usr/bin/env perl\nexit 0;\n", b"#!/usr/bin/env perl -w\nexit 0;\n", b"#!/usr/bin/perl -w\nuse strict;\nexit 0;\n", b"#!/usr/bin/perl\r\nexit 0;\r\n",
        b"#!/usr/bin/perl\nexit 0;\n", b"#!/bin/perl\nexit 0;\n", b"#!/usr/bin/perl5\nexit 0;\n", b"#!/usr/bin/python3\nprint()\n", b"#!/usr/bin/python\n", b"#!/usr/bin/ruby\n", b"#!/bin/zsh\n", b"#!/bin/ksh\n",
        b"#!/usr/bin/dash\nset -e\n", b"#!/bin/dash\nset -e\n", b"#!/sbin/sh\n", b"#!/usr/sbin/sh\n", b"#!/bin/busybox sh\n", b"#!sh\nset -e\n", b"#!bin/sh\nset -e\n", b"#!./sh\n", b"#!\n", b"#!\n\n", b"#! \ntrue\n", b"#!",
        b"", b"\n", b"true\n", b"# a comment\ntrue\n", b"\n#!/bin/sh\nset -e\n", b" #!/bin/sh\nset -e\n", b"\xef\xbb\xbf#!/bin/sh\nset -e\n", _SHELL + b"true", b"#!/bin/sh", b"#!/bin/sh -", b"#!/bin/sh --\n", b"#!/bin/sh -eu\ntrue\n",
        b"#!/bin/sh -e -u\ntrue\n", b"#!/bin/sh -x -e\n", b"#!/bin/bash -e -u\n", b"#!/bin/sh -Z\n", b"#!/bin/sh nothing\n", b"#!/bin//sh\nset -e\n", b"#!//bin/sh\nset -e\n", b"#!/bin/../bin/sh\nset -e\n", b"#!/bin/./sh\n", b"#!/bin/sh/\n",
        b"#!/bin\n", b"#!/\n", b"#!/bin/SH\n", b"#!/Bin/sh\n", b"#!/bin/true\n", b"#!/usr/bin/true\n", b"#!" + b"/bin/" * 60 + b"sh\n", b"#!/bin/sh " + b"-" * 300 + b"\n",
        _SHELL + b"if true; then\n", _SHELL + b"fi\n", _SHELL + b"(\n", _SHELL + b"echo 'open\n", _SHELL + b'echo "open\n', _SHELL + b"case x in\n", _SHELL + b"esac\n", _SHELL + b"done\n", _SHELL + b"for x in y; do\n", _SHELL + b"x() {\n", _SHELL + b"}\n",
        _SHELL + b"<<<<<<< HEAD\n", _SHELL + b"if [ x ]; then echo; fi fi\n", _SHELL + b"a=(one two)\n", _SHELL + b"function go() { :; }\n", _SHELL + b"&& true\n", _SHELL + b"| true\n", _SHELL + b";;\n", _SHELL + b"cat <<EOF >/dev/null\nopen\n",
        _SHELL + b"true &> /dev/null\n", _SHELL + b"echo $'x' >/dev/null\n", _SHELL + b"x=${y:-z}\n", _SHELL + b"echo ${x\n", _SHELL + b"echo $((1 + 2)) >/dev/null\n", _SHELL + b"echo $((1 +\n", _SHELL + b"if true; then :; elif\n",
        b"#!/bin/bash\nset -e\na=(one two)\n", b"#!/bin/bash\nset -e\nif [[ -e /x ]]; then :; fi\n", b"#!/bin/bash\nset -e\nfunction go() { :; }\n", b"#!/bin/bash\nif true\n", b"#!/bin/bash -p\ntrue\n", b"#!/bin/dash -e\ntrue\n", b"\x7fELF", b"\x7fELF" + bytes(200), b"\x1f\x8b\x08\x00", bytes(100),
         b"#!/bin/sh\x00\nset -e\n", b"#!/bin/sh -e\x00\n", b"#!/bin/sh\x0b\n", b"#!/bin/sh\x0c\n", b"#!/bin/sh\xc2\xa0\n", b"#!\xc2\xa0/bin/sh\n", b"#!/bin/sh\t-e\t\ntrue\n", b"#!/bin/sh;\n", b"#!\"/bin/sh\"\n", b"#!/bin/sh #x\n",
    )  # fmt: skip
    for script in ("postinst", "preinst"):
        for text in texts:
            yield f"{script} {text[:60]!r}", _file(script, text, 0o755)
    for script in ("preinst", "postinst", "prerm", "postrm", "config"):
        for mode in (0o644, 0o600, 0o000, 0o755, 0o700, 0o777, 0o4755, 0o111, 0o555):
            yield f"{script} of mode {mode:04o}", _file(script, _SHELL, mode)
        yield f"{script} a folder", _folder(script)
    for text in texts[:40]:
        for script in ("prerm", "postrm"):
            yield f"{script} {text[:60]!r}", _file(script, text, 0o755)


def _others() -> Iterator[tuple[str, Fault]]:
    for name in ("control", "md5sums", "conffiles", "triggers", "shlibs", "symbols", "templates"):
        for mode in (0o600, 0o755, 0o000, 0o777, 0o4644):

            def change(odd: Odd, name: str = name, mode: int = mode) -> Odd:
                odd = replace(odd, conf=True)
                contents = {"md5sums": odd.sums(), "conffiles": odd.conffiles()}
                if name == "control":
                    return odd
                return _file(name, contents.get(name, b""), mode)(odd)

            yield f"{name} of mode {mode:04o}", change
    for name in (
        "isinstallable", "foo", "foo.bar", ".hidden", "list", "list.old", "x" * 50, "x" * 51, "x" * 60, "x" * 99, "x" * 100, "x" * 101, "x" * 150, "a b", "\u00e4",
        "status", "available", "md5sums~", "postinst.orig", "-x", "symbols", "shlibs", "clilibs", "menutest", "config.in", "a\tb", "prerm ", "x,y", "A", "#x",
    ):  # fmt: skip
        yield f"file {name[:30]!r}", _file(name, b"x\n")
        yield f"folder {name[:30]!r}", _folder(name)
    for content in (
        b"libx 1 @\n", b"libx 1\n", b"libx\n", b"", b"\n", b"# note\n", b"libx 1 @ (>= 1), b (<< 2)\n", b"libx 1 @ (>= \n",
        b"udeb: libx 1 @\n", b"libx 1 ,\n", b"libx 1 @", b"libx 1 @ |\n", b"libx 1 @ [amd64]\n", b"\xff\n", b"libx 1 @\r\n",
    ):  # fmt: skip
        yield f"shlibs {content[:40]!r}", _file("shlibs", content)
    for content in (
        b"libx.so.1 @ #MINVER#\n a@Base 1\n", b"libx.so.1 @ #MINVER#\n", b"", b"\n", b" a@Base 1\n", b"libx.so.1\n", b"x y z\n",
        b"libx.so.1 @\n a@Base\n", b"libx.so.1 @\n a 1 2 3\n", b"libx.so.1 @\n| @2\n* Build-Depends-Package: x\n a@Base 1\n", b"\xff\n",
        b"libx.so.1 @\r\n a@Base 1\r\n", b"libx.so.1 @\n (optional)a@Base 1\n", b"#include \"x\"\n",
    ):  # fmt: skip
        yield f"symbols {content[:40]!r}", _file("symbols", content)


@cache
def enumerated() -> tuple[tuple[str, Fault], ...]:
    """Each fault by itself."""
    kinds = (_fields, _controls, _conffiles, _md5sums, _triggers, _scripts, _others)
    return (("sound", lambda odd: odd), *(pair for kind in kinds for pair in kind()))


# --- Chance.

_PIECES = (
    "aaa", "bbb", "libc6", "a", "A", "(", ")", "(>= 1)", "(<< 2.0-1)", "(= 1:1)", ">=", "<<", "=", "<", ">", ",", ", ", "|", " | ", " ", "  ",
    "\n ", "\t", ":any", ":amd64", ":", "1", "1.0-1", "~", "[amd64]", "<!x>", "${x}", "-", "+", ".", "_", "/", "*", "\u00e4", "(1)", "( >= 1 )", "#",
)  # fmt: skip
_LETTERS = "ab01.+-~:_ \t(),|<>=/\\\u00e4@#%"


def _mixed(random_: random.Random) -> str:
    return "".join(random_.choice(_PIECES) for _ in range(random_.randint(1, 7)))


def _letters(random_: random.Random, most: int = 8) -> str:
    return "".join(random_.choice(_LETTERS) for _ in range(random_.randint(0, most)))


def _bytes(random_: random.Random, text: bytes) -> bytes:
    """A file with some bytes or lines changed."""
    for _ in range(random_.randint(1, 3)):
        at = random_.randint(0, len(text))
        way = random_.randint(0, 7)
        lines = text.split(b"\n")
        line = random_.randrange(len(lines))
        if way == 0:
            text = text[:at] + random_.choice((b"\n", b" ", b"\r", b"\t", b"\0", b"x", b":", b"#", b"/", b"\x1a", b"\xff", b",")) + text[at:]  # fmt: skip
        elif way == 1:
            text = text[:at] + text[at + random_.randint(1, 4) :]
        elif way == 2:
            del lines[line]
        elif way == 3:
            lines.insert(line, lines[line])
        elif way == 4:
            lines.insert(
                line, random_.choice((b"", b" ", b"#x", b"\t", b"x", b" x", b"x: y", b"\r"))
            )
        elif way == 5:
            lines[line] = lines[line] + random_.choice(
                (b" ", b"\r", b"\t", b"x", b",", b"/", b"\\")
            )
        elif way == 6:
            lines[line] = random_.choice((b" ", b"\t", b"-", b"#", b"\xc2\xa0")) + lines[line]
        else:
            lines[line] = lines[line].swapcase()
        if way in (2, 3, 4, 5, 6, 7):
            text = b"\n".join(lines)
    return text


def _random(odd: Odd, random_: random.Random) -> Odd:
    """A package with a fault or two that nobody thought of."""
    way = random_.randint(0, 11)
    labels = [""]
    if way <= 2:
        name, value = random_.choice(_RELATIONS), _mixed(random_).strip("\n")
        return replace(_set(name, value)(odd), label=f"{name} {value!r}")
    if way == 3:
        value = _letters(random_)
        name = random_.choice(
            ("Version", "Package", "Architecture", "Multi-Arch", "Priority", "Essential")
        )
        if name == "Package":
            value = (
                f"@{value.replace('@', '')}"
                if random_.random() < 0.7
                else f"{value.replace('@', '')}@"
            )
        return replace(_set(name, value)(odd), label=f"{name} {value!r}")
    if way == 4:
        value = f"aaa ({random_.choice(('>=', '<<', '=', '>', ''))} {_letters(random_)})"
        name = random_.choice(_RELATIONS)
        return replace(_set(name, value)(odd), label=f"{name} {value!r}")
    if way in (5, 6):
        text = _bytes(random_, odd.paragraph())
        return replace(odd, control=text, label=f"control {text!r}")
    if way == 7:
        odd = replace(odd, conf=True)
        text = _bytes(random_, odd.conffiles() + b"remove-on-upgrade /etc/@/old\n".replace(b"@", odd.name.encode()))  # fmt: skip
        return replace(_file("conffiles", text)(odd), label=f"conffiles {text!r}")
    if way == 8:
        text = _bytes(random_, odd.sums())
        return replace(_file("md5sums", text)(odd), label=f"md5sums {text!r}")
    if way == 9:
        text = _bytes(random_, f"interest {odd.name}\nactivate-noawait {odd.name}-x\n# note\ninterest-await /usr/share/{odd.name}\n".encode())  # fmt: skip
        return replace(_file("triggers", text)(odd), label=f"triggers {text!r}")
    if way == 10:
        first = _bytes(random_, b"#!/bin/sh -e") if random_.random() < 0.7 else b"#!/usr/bin/env sh"
        name = random_.choice(("preinst", "postinst"))
        text = first.replace(b"\n", b" ").replace(b"\\", b"") + b"\n: done\n"
        return replace(_file(name, text, 0o755)(odd), label=f"{name} {text!r}")
    for _ in range(2):
        label, fault = random_.choice(enumerated())
        odd = fault(odd)
        labels.append(label)
    return replace(odd, label=" and ".join(labels[1:]))


def packages(start: int, count: int) -> Iterator[Odd]:
    """`count` packages from number `start` on."""
    faults = enumerated()
    for number in range(start, start + count):
        odd = Odd(f"odd{number:06}")
        if number < len(faults):
            label, fault = faults[number]
            yield replace(fault(odd), label=label)
        else:
            yield _random(odd, random.Random(number))  # noqa: S311
