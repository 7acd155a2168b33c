# SPDX-License-Identifier: GPL-2.0-or-later
# ruff: noqa: E501  # tables of kinds
"""Hostile control files, lists beside them, and maintainer scripts."""

from __future__ import annotations

from collections.abc import Callable

from tests.fuzz.containers import noise
from tests.fuzz.kinds import case
from tests.fuzz.products import deb, member, packed, tree
from tests.unit import debs

_LARGE = 20 << 20  # bytes of a file of control.tar, which may have 24 MiB
_TEXT = "".join(f"{k}: {v}\n" for k, v in debs.CONTROL.items()).encode()


def paragraph(text: bytes) -> bytes:
    """A package whose control file is this."""
    control = packed([debs.tar([debs.folder("./"), debs.Item("./control", text)])])
    plain = packed([debs.tar([debs.folder("./")])])
    return debs.ar(
        [("debian-binary", b"2.0\n"), ("control.tar.gz", control), ("data.tar.gz", plain)]
    )


def stated(kind: str, **fields: str) -> None:
    """A kind of package with these fields over the ordinary ones; _ stands for a hyphen."""
    case("control", kind, kind)(
        lambda: deb(fields={name.replace("_", "-"): value for name, value in fields.items()})
    )


def listed(kind: str, name: str, make: Callable[[], bytes], area: str = "control") -> None:
    """A kind of package with this file in control.tar."""
    case(area, kind, kind)(lambda: deb(files={name: make()}))


def filled(line: bytes, size: int = _LARGE) -> Callable[[], bytes]:
    """The same line again and again."""
    return lambda: line * (size // len(line))


def numbered(form: bytes, size: int = _LARGE) -> Callable[[], bytes]:
    """Lines that have each its number."""
    return lambda: b"".join(form % n for n in range(size // (len(form) + 4)))


# Versions and numbers

stated("version-epoch-of-20-digits", Version="9" * 20 + ":1.0")
stated("version-of-5000-digits", Version="1" * 5000)
stated("version-of-4400-digits-in-parts", Version="1." * 2200 + "1" * 4400 + "-1")
stated("version-epoch-of-5000-zeros", Version="0" * 5000 + ":1.0")
stated("version-of-arabic-digits", Version="\u0661.\u0662-\u0663")
stated("version-of-superscripts", Version="1.\u00b2", Installed_Size="\u00b2\u00b3")
stated("version-with-a-path", Version="1.0/../../../../tmp/x")
stated("version-of-tildes", Version="1" + "~" * 100_000)
stated("version-of-hyphens", Version="1" + "-1" * 200_000)
stated("version-with-a-nul", Version="1.0\x001")
stated("version-negative", Version="-1", Installed_Size="-12")
stated("version-not-a-number", Version="NaN", Installed_Size="inf")
stated("installed-size-of-5000-digits", Installed_Size="9" * 5000)
stated("installed-size-in-arabic-digits", Installed_Size="\u0661\u0662")
stated("installed-size-underscored", Installed_Size="1_000")

# Names

stated("package-of-900-000-letters", Package="a" * 900_000)
stated("package-of-300-letters", Package="a" * 300)
stated("package-with-a-path", Package="../../etc/x")
stated("package-with-a-glob", Package="x*[a-")
stated("package-with-escapes", Package="x\x1b[2J\x9b2J")
stated("package-of-a-dash", Package="-rf")
stated("package-with-a-regex", Package="x+++++++++++++++++++++", Provides="(a+)+$")
stated("package-in-capitals", Package="SaMpLe")
stated("package-not-ascii", Package="s\u0430mple")
stated("architecture-with-a-path", Architecture="../amd64")
stated("architecture-list", Architecture="amd64 i386 " * 80_000)
stated("architecture-of-a-dot", Architecture=".")
stated("architecture-wildcard", Architecture="any-" * 100_000 + "any")
stated("source-of-parentheses", Source="x " + "(" * 400_000 + ")" * 400_000)
stated("udeb", Package_Type="udeb", Section="debian-installer")
stated("essential-and-protected", Essential="yes", Protected="yes", Build_Essential="yes")
stated("multi-arch-without-sense", Multi_Arch="same", Architecture="all")
stated("status-of-dpkg", Status="install ok installed", Config_Version="1", Triggers_Pending="x")
stated(
    "conffiles-of-dpkg",
    Conffiles="\n" + "\n".join(f" /etc/{n} {'a' * 32} obsolete" for n in range(18_000)),
)
stated("lists-of-a-repository", Filename="a " * 200_000, Size="1 " * 150_000, MD5sum="a " * 50_000)

# Texts

stated("description-of-one-line", Description="x" * 1_000_000)
stated("description-of-400-000-lines", Description="x\n" + " .\n" * 300_000 + " x")
stated(
    "description-of-tabs", Description="x\n" + "\n".join("\t" * 20 for _ in range(40_000)) + "\tx"
)
stated("homepage-without-end", Homepage="http://" + "a" * 900_000)
stated("homepage-with-escapes", Homepage="http://\x1b]8;;x\x07")
stated("maintainer-of-brackets", Maintainer="a <" * 200_000 + "@" + ">" * 200_000)
stated("maintainer-of-spaces", Maintainer="a" + " " * 900_000 + "<a@b>")
stated("maintainer-of-ats", Maintainer="a <" + "@" * 900_000 + ">")
stated("tag-of-a-megabyte", Tag="a::b, " * 160_000, Build_Ids="0123abcd " * 8_000)
stated("field-with-carriage-return", Description="x\ry\n z\r")
stated("field-with-next-line", Description="x\x85Depends: evil", Maintainer="a\x85b <a@b>")
stated("field-with-csi", Description="x\x9b2Jy", Section="\x9badmin")
stated("field-with-separators", Description="x\u2028Depends: evil\u2029y\x1cz\x1dz\x1ez")
stated("field-with-form-feeds", Description="x\x0cy\x0bz")
stated("field-with-right-to-left", Description="\u202eevil\u2066x")
stated("field-with-nul", Maintainer="a\0 <a@b>", Description="x\0y")

# The form of the control file

for _kind, _content in {
    "control-of-nothing": b"",
    "control-of-line-breaks": b"\n" * 1_000_000,
    "control-of-spaces": b" " * 1_000_000,
    "control-of-noise": noise(1_000_000),
    "control-of-nuls": bytes(1_000_000),
    "control-of-one-name": b"x" * 1_000_000,
    "control-of-colons": b":" * 1_000_000,
    "control-of-comments": b"# x\n" * 200_000 + _TEXT,
    "control-of-empty-fields": b"".join(b"F%d:\n" % n for n in range(120_000)) + _TEXT,
    "control-of-names-in-all-cases": _TEXT + _TEXT.swapcase(),
    "control-with-a-name-of-a-megabyte": b"x" * 900_000 + b": y\n" + _TEXT,
    "control-with-names-of-escapes": b"\x1b[2J: x\n\x9b: y\n\xff\xfe: z\n" + _TEXT,
    "control-with-spaces-before-colons": b"".join(b"F%d   : y\n" % n for n in range(70_000))
    + _TEXT,
    "control-with-a-byte-order-mark": b"\xef\xbb\xbf" + _TEXT,
    "control-with-two-paragraphs": _TEXT + b"\n" + _TEXT,
    "control-with-signature": b"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA1\n\n" + _TEXT,
    "control-with-ctrl-z": b"Package: x\x1a\n" + _TEXT,
    "control-without-newline": _TEXT.rstrip(),
    "control-of-crlf": _TEXT.replace(b"\n", b"\r\n"),
    "control-in-latin-1": _TEXT + b"X-Y: \xe9\xff\n",
    "control-in-utf-16": _TEXT.decode().encode("utf-16"),
    "control-of-continuations": _TEXT + b"X-Y: a\n" + b" b\n" * 300_000,
    "control-of-blank-continuations": _TEXT + b"X-Y: a\n" + b" \n" * 300_000,
    "control-of-fields-not-utf-8": _TEXT + b"".join(b"F%d: \xff\x85\n" % n for n in range(60_000)),
}.items():
    case("control", _kind, _kind)(lambda content=_content: paragraph(content))  # type: ignore[misc]

# Relations

stated(
    "relations-versions-of-4000-digits",
    Depends=", ".join(f"a (>= 1{'.1' * 1900}{n})" for n in range(200)),
)
stated("relations-arabic-versions", Depends="a (>= \u0661.\u0662), b (<< \u00b2)")
stated("relations-architectures", Depends=", ".join(f"a{n}:any" for n in range(60_000)))
stated(
    "relations-wrong-architectures", Depends=", ".join(f"a:{'x' * 40}{n}!" for n in range(18_000))
)
stated("relations-long-names", Depends=", ".join("a" * 4000 + f"{n}" for n in range(220)))
stated("relations-on-itself", Depends=", ".join(f"sample (>= {n})" for n in range(40_000)))
stated(
    "relations-of-libraries",
    Depends=", ".join(f"liba{n}-{n}" for n in range(60_000)),
    Recommends=", ".join(f"libb{n}" for n in range(10_000)),
)
stated(
    "relations-everywhere",
    **{
        f.replace("-", "_"): ", ".join(f"p{n}" for n in range(12_000))
        for f in (
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
    },
)
stated(
    "relations-alternatives-with-versions",
    Depends=" | ".join(f"p{n} (>= 1:{n}-1)" for n in range(45_000)),
)
stated("relations-the-same-alternatives", Depends=", ".join("a | b | c | d" for _ in range(60_000)))
stated("relations-nested", Depends="a (" * 100_000 + ">= 1" + ")" * 100_000)
stated("relations-of-nuls", Depends="a\0, b\0 (>= 1)")
stated("relations-of-lines", Depends="a,\n" + "".join(f" p{n},\n" for n in range(90_000)) + " z")
stated("relations-obsolete-operators", Depends=", ".join(f"a{n} (< {n})" for n in range(60_000)))
stated("built-using-of-a-megabyte", Built_Using=", ".join(f"a{n} (= {n})" for n in range(60_000)))

# Lists

for _name in ("md5sums", "triggers", "templates", "shlibs", "symbols"):
    listed(f"{_name}-of-line-breaks", _name, filled(b"\n"))
    listed(f"{_name}-of-short-lines", _name, filled(b"ab\n"))
    listed(f"{_name}-of-one-line", _name, filled(b"ab "))
    listed(f"{_name}-not-utf-8", _name, filled(b"\xff\xfe\x85 x\n"))
listed("conffiles-of-line-breaks", "conffiles", filled(b"\n", 1_000_000))
listed("conffiles-of-one-line", "conffiles", filled(b"/a", 1_000_000))
listed("conffiles-the-same", "conffiles", filled(b"/etc/x\n", 1_000_000))
listed("conffiles-not-absolute", "conffiles", numbered(b"etc/%d\n", 1_000_000))
listed("conffiles-to-be-removed", "conffiles", numbered(b"remove-on-upgrade /etc/%d\n", 1_000_000))
listed(
    "conffiles-with-escapes", "conffiles", lambda: b"/etc/\x1b[2J\x85\x9b\n/etc/\xff\n/etc/a\rb\n"
)
listed("conffiles-too-large", "conffiles", numbered(b"/etc/%d\n", 3_000_000))
listed(
    "conffiles-with-dots",
    "conffiles",
    lambda: b"/etc/../etc/shadow\n/./././etc/x\n//etc//x\n/\n/.\n",
)
listed(
    "conffiles-of-long-names", "conffiles", numbered(b"/etc/" + b"a/" * 2040 + b"%d\n", 1_000_000)
)
listed(
    "md5sums-with-escapes",
    "md5sums",
    numbered(b"d41d8cd98f00b204e9800998ecf8427e  \x1b[2J\x85%d\n"),
)
listed("md5sums-with-nuls", "md5sums", numbered(b"d41d8cd98f00b204e9800998ecf8427e  a\0%d\n"))
listed("md5sums-of-no-digests", "md5sums", numbered(b"%032d  usr/x\n"))
listed("triggers-of-comments", "triggers", filled(b"#\n"))
listed("triggers-of-spaces", "triggers", filled(b" \t"))
listed("triggers-crlf", "triggers", filled(b"interest /a\r\n"))
listed("templates-of-blank-lines", "templates", filled(b"Template: a\n\n\n\n"))
listed(
    "templates-one-after-the-other",
    "templates",
    filled(b"Template: a/b\nType: text\nDescription: x\n\n"),
)
listed("templates-of-continuations", "templates", lambda: b"Template: a/b\n" + b" x\n" * 7_000_000)
listed(
    "templates-of-choices",
    "templates",
    lambda: b"Template: a/b\nType: select\nDescription: x\nChoices: " + b"a, " * 6_000_000,
)
listed(
    "templates-of-languages",
    "templates",
    lambda: (
        b"Template: a/b\nType: text\n"
        + b"".join(b"Description-l%d.UTF-8: x\n" % n for n in range(700_000))
    ),
)
listed("shlibs-of-colons", "shlibs", filled(b"a:"))
listed("shlibs-of-spaces", "shlibs", lambda: b"a" + b" " * _LARGE + b"\nliba 1 a\n")
listed("shlibs-sound", "shlibs", numbered(b"lib%d 1 a\n"))
listed("symbols-of-spaces", "symbols", lambda: b"liba.so.1 a\n " + b" " * _LARGE)
listed("symbols-of-bars", "symbols", lambda: b"liba.so.1 a\n" + b"| b\n* C: d\n" * 1_500_000)

# Maintainer scripts


def scripted(kind: str, make: Callable[[], bytes], name: str = "postinst") -> None:
    listed(kind, name, make, "scripts")


def deep(
    before: bytes, after: bytes, count: int, start: bytes = b"#!/bin/sh\n"
) -> Callable[[], bytes]:
    return lambda: start + before * count + b"\n:\n" + after * count + b"\n"


_MIB = 1_000_000
scripted("script-of-line-breaks", filled(b"\n"))
scripted("script-of-short-lines", lambda: b"#!/bin/sh\n" + b"ab\n" * 7_000_000)
scripted("script-of-blanks", lambda: b"#!/bin/sh\n" + b" " * _LARGE)
scripted("script-of-comments", lambda: b"#!/bin/sh\n" + b"#\n" * 10_000_000)
scripted("script-of-one-line", lambda: b"#!/bin/sh\n" + b"a;" * 10_000_000)
scripted("script-of-nothing", lambda: b"")
scripted("script-of-nuls", lambda: bytes(_LARGE))
scripted("script-of-noise", lambda: b"#!/bin/sh\n" + noise(900_000))
scripted("script-in-crlf", lambda: b"#!/bin/sh\r\nset -e\r\n" + b"a\r\n" * 6_000_000)
scripted("script-with-mixed-line-ends", lambda: b"#!/bin/sh\nset -e\n" + b"a\r\nb\n" * 200_000)
scripted("script-not-utf-8", lambda: b"#!/bin/sh\nset -e\n" + b"echo '\xff\xfe\x85'\n" * 60_000)
scripted("script-of-parentheses", deep(b"(", b")", _MIB // 3))
scripted("script-of-braces", deep(b"{ ", b"; }", _MIB // 6))
scripted("script-of-ifs", deep(b"if a; then ", b"; fi", _MIB // 20))
scripted("script-of-cases", deep(b"case a in b) ", b";; esac", _MIB // 24))
scripted("script-of-backticks", deep(b"`", b"`", 30_000))
scripted("script-of-escaped-backticks", lambda: b"#!/bin/sh\na=" + b"`" + b"\\" * 200_000 + b"`\n")
scripted("script-of-substitutions", deep(b"$(", b")", _MIB // 4))
scripted(
    "script-of-arithmetic",
    lambda: b"#!/bin/sh\n: $((" + b"(" * 300_000 + b"1" + b")" * 300_000 + b"))\n",
)
scripted("script-of-parameters", deep(b"${a:-", b"}", _MIB // 8))
scripted("script-of-quotes", lambda: b"#!/bin/sh\n" + b"'\"" * 400_000)
scripted("script-of-here-documents", lambda: b"#!/bin/sh\n" + b"cat <<A\nA\n" * 90_000)
scripted(
    "script-of-open-here-documents",
    lambda: b"#!/bin/sh\n" + b"".join(b"<<E%d " % n for n in range(110_000)) + b"\n",
)
scripted("script-of-bash-parentheses", deep(b"(", b")", _MIB // 3, b"#!/bin/bash\n"))
scripted("script-of-bash-arithmetic", deep(b"((", b"))", _MIB // 5, b"#!/bin/bash\n"))
scripted(
    "script-of-bash-tests",
    lambda: b"#!/bin/bash\n[[ " + b"( " * 200_000 + b"a" + b" )" * 200_000 + b" ]]\n",
)
scripted(
    "script-of-bash-globs",
    lambda: (
        b"#!/bin/bash\nshopt -s extglob\ncase a in "
        + b"@(" * 200_000
        + b"a"
        + b")" * 200_000
        + b") ;; esac\n"
    ),
)
scripted("script-of-bash-braces", lambda: b"#!/bin/bash\necho " + b"{1..99999}" * 90_000 + b"\n")
scripted(
    "script-of-functions",
    lambda: b"#!/bin/sh\n" + b"".join(b"f%d() { :; }\n" % n for n in range(55_000)),
)
scripted("script-of-aliases", lambda: b"#!/bin/sh\nalias a='a a'\n" + b"a\n" * 200_000)
scripted(
    "script-of-sections-of-debhelper",
    lambda: b"#!/bin/sh\n" + b"# Automatically added by dh_installinit\n" * 400_000,
)
scripted(
    "script-of-ended-sections",
    lambda: (
        b"#!/bin/sh\n"
        + b"# Automatically added by dh_installinit\nupdate-rc.d x defaults\n# End automatically added section\n"
        * 180_000
    ),
)
scripted(
    "script-of-registrations",
    lambda: (
        b"#!/bin/sh\n"
        + b"".join(
            b"update-rc.d " + b" ".join(b"%x" % (n * 100 + k) for k in range(100)) + b"\n"
            for n in range(1_600)
        )
    ),
)
scripted("script-of-set", lambda: b"#!/bin/sh\n" + b"set \n" * 4_000_000)
scripted("script-of-interpreters", lambda: b"#!" + b" " * _LARGE + b"/bin/sh\n")
scripted("script-of-env", lambda: b"#!/usr/bin/env -S " + b"a=b " * 200_000 + b"\n")
scripted("script-for-itself", lambda: b"#!/var/lib/dpkg/info/sample.postinst\n")
scripted("script-for-a-device", lambda: b"#!/dev/../dev/zero\n")
scripted("script-with-an-odd-interpreter", lambda: b"#!/bin/\x1b[2Jsh\x85 -\xff\n")
scripted("script-that-is-elf", lambda: debs.elf(["libc.so.6"])[:40] + b"\xff" * 100)
scripted("script-that-is-compressed", lambda: packed([bytes(1 << 20)] * 20))
scripted(
    "script-of-debconf",
    lambda: b"#!/bin/sh\nset -e\n" + b". /usr/share/debconf/confmodule\n" * 300_000,
)
scripted("script-of-exits", lambda: b"#!/bin/sh\nset -e\n" + b"exit 0\n" * 140_000)
scripted(
    "script-of-regex-traps",
    lambda: b"#!/bin/sh\n" + b"[ " + b"a " * 900 + b"\n" + (b"[ " + b"a" * 1990 + b"\n") * 450,
)
scripted("preinst-of-line-breaks", filled(b"\n"), "preinst")
scripted("config-of-short-lines", lambda: b"#!/bin/sh\n" + b"ab\n" * 7_000_000, "config")


@case("scripts")
def script_of_a_module() -> bytes:
    """Scripts of millions of lines, to which lines for Python modules are to be added."""
    text = b"#!/bin/sh\nset -e\n" + b"ab\n" * 3_600_000
    module = "./usr/lib/python3/dist-packages/x.py"
    data = debs.tar(debs.with_folders([debs.Item(module, b"x = 1\n")]))
    return deb(packed([data]), files={"postinst": text, "prerm": text})


@case("scripts")
def script_of_a_library() -> bytes:
    """As many lines in triggers, where ldconfig is to be added."""
    library = debs.elf(["libc.so.6"], soname="libx.so.1")
    data = debs.tar(debs.with_folders([debs.Item("./usr/lib/libx.so.1", library)]))
    return deb(packed([data]), files={"triggers": b"activate a\n" * 1_800_000})


@case("scripts")
def script_that_names_conffiles() -> bytes:
    """30 000 conffiles in a folder that goes, and a script of 20 MiB."""
    names = [b"/usr/share/doc/f%d/TODO\n" % n for n in range(30_000)]
    members = (member(f"./usr/share/doc/f{n}/TODO", b"x") for n in range(30_000))
    whole = debs.control_tar(
        debs.CONTROL,
        {"conffiles": b"".join(names), "postinst": b"#!/bin/sh\n" + b"a\n" * 8_000_000},
    )
    it = tree(members, 1)
    return (
        it[: it.index(b"control.tar.gz")]
        + debs.ar([("control.tar.gz", packed([whole]))])[8:]
        + it[it.index(b"data.tar.gz") :]
    )
