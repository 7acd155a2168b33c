# SPDX-License-Identifier: GPL-2.0-or-later
# ruff: noqa: E501  # tables of values
"""What a mutated package may say in place of what it said: some of it sound, some of it not."""

from __future__ import annotations

import gzip
from collections.abc import Mapping

# What a header of an ar archive may say instead: where it is, how long, and values (ar(5)).
AR_FIELDS = (
    (
        0,
        16,
        (b"debian-binary", b"control.tar", b"data.tar.xz", b"data.tar.gz/", b"_gpgorigin", b"x"),
    ),
    (16, 12, (b"0", b"-1", b"", b"8589934591", b"8589934592", b"1e9", b"99999999999")),
    (28, 6, (b"0", b"1000", b"", b"-1", b"x")),
    (40, 8, (b"100644", b"0", b"", b"120777", b"9")),
    (48, 10, (b"0", b"-1", b"", b"1", b"4 4", b"0x10", b"9999999999", b"+4", b"04")),
    (58, 2, (b"`\n", b"``", b"\n\n")),
)
FIELDS: Mapping[bytes, tuple[bytes, ...]] = {
    b"Package": (b"sample2", b"Sample", b"a", b"", b"../x", b"sample:amd64", b"libx1-dbg", b"\xc3\xa9"),
    b"Version": (b"1:2.0-1", b"0", b"1~", b"1.0-", b"a", b"1.0+dom0.1", b"1:1:1", b"9" * 300, b"1_0"),
    b"Architecture": (b"all", b"i386", b"any", b"amd64 i386", b"linux-any", b"", b"x32", b"../x"),
    b"Multi-Arch": (b"same", b"foreign", b"allowed", b"no", b"yes"),
    b"Essential": (b"yes", b"no", b"perhaps"),
    b"Priority": (b"optional", b"required", b"extra", b"high"),
    b"Section": (b"admin", b"debian-installer", b"non-free/libs", b"", b"a/b/c"),
    b"Maintainer": (b"A <a@example.org>", b"A", b"", b"A <a@example.org>, B <b@example.org>"),
    b"Installed-Size": (b"0", b"-1", b"12 kB", b"9" * 40, b"1.5"),
    b"Description": (b"", b"x", b"x\n more\n .\n .\n", b"x\n\tmore", b" " * 300, b"- x\n .x"),
    b"Depends": (b"libc6 (>= 2.36)", b"xa | xb", b"xa (= 1", b"${shlibs:Depends}", b"xa:any", b","),
    b"Pre-Depends": (b"dpkg (>= 1.15.6~)", b"xa [amd64]", b"xa <!nocheck>", b"xa(<<1)|xb(>>2)"),
    b"Recommends": (b"sample", b"xa, xa, xa", b"xa (> 1)", b"a" * 5000),
    b"Provides": (b"xa", b"xa (= 1)", b"xa (>= 1)", b"xa | xb"),
    b"Conflicts": (b"sample", b"xa (<< 1)", b"xa:any"),
    b"Replaces": (b"xa", b"sample (<< 2)"),
    b"Source": (b"sample (1.0)", b"Sample", b"", b"sample (1"),
    b"Homepage": (b"https://example.org/", b"example.org", b"javascript:x"),
    b"Built-Using": (b"gcc-12 (= 12.2.0-14)", b"gcc-12"),
    b"Conffiles": (b"\n /etc/x d41d8cd98f00b204e9800998ecf8427e", b"x"),
    b"Status": (b"install ok installed",),
    b"Tag": (b"role::program", b"x, y"),
    b"Package-Type": (b"udeb", b"deb"),
    b"X-Note": (b"a\n b", b"\xff", b"\x1b[2J", b"caf\xc3\xa9"),
}  # fmt: skip
CONTROL_FILES: Mapping[str, tuple[bytes, ...]] = {
    "conffiles": (b"/etc/sample.conf\n", b"etc/x\n", b"/etc/none\n", b"/etc/a b\n", b"remove-on-upgrade /etc/x\n"),
    "md5sums": (b"d41d8cd98f00b204e9800998ecf8427e  usr/x\n", b"x\n", b"d41d8cd98f00b204e9800998ecf8427e *x\n"),
    "preinst": (b"#!/bin/sh\n", b"#!/bin/sh\nset -e\n#DEBHELPER#\n", b"#!/usr/bin/perl -w\n", b"echo\n"),
    "postinst": (b"#!/bin/bash\n", b"#! /bin/sh -e\nexit 0\n", b"#!/bin/sh\ncase $1 in\n", b"\x7fELF\2", b""),
    "prerm": (b"#!/bin/sh\nset -e\n", b"#!/usr/bin/python3\n", b"#!/bin/sh\r\n"),
    "postrm": (b"#!/bin/sh\nset -e\nrm -rf /\n", b"#!\n", b"#!/bin/sh\n# Automatically added\n"),
    "config": (b"#!/bin/sh\n. /usr/share/debconf/confmodule\n",),
    "templates": (b"Template: a/b\nType: string\nDescription: x\n", b"Type: x\n", b"\n\n\n"),
    "triggers": (b"interest /usr/x\n", b"activate-noawait ldconfig\n", b"x y z\n", b"interest\n"),
    "shlibs": (b"libsample 1 sample (>= 1)\n", b"libsample\n", b"udeb: libsample 1 x\n"),
    "symbols": (b"libsample.so.1 sample #MINVER#\n a@Base 1\n", b" a\n"),
    "other": (b"", b"x"),
}  # fmt: skip
PATHS = (
    "usr/bin/x", "usr/lib/libx.so.2", "usr/lib/x86_64-linux-gnu/libx.so", "usr/share/man/man1/x.1",
    "usr/share/man/man8/x.8.gz", "usr/share/doc/sample/changelog", "usr/share/doc/sample/copyright",
    "usr/share/doc/sample/changelog.Debian.gz", "usr/lib/python3/dist-packages/x.py",
    "usr/lib/python3.11/site-packages/x/__init__.py", "usr/local/bin/x", "lib/modules/6.1.0/x.ko",
    "etc/x.conf", "etc/init.d/x", "etc/default/x", "etc/cron.d/x.y", "run/x/y", "var/lock/x", "tmp/x",
    "lib/systemd/system/x.service", "usr/lib/systemd/system/y@.service", "usr/lib/tmpfiles.d/x.conf",
    "boot/vmlinuz-6.1.0", "boot/xen-4.17.gz", "boot/config-6.1.0", "usr/share/lintian/overrides/sample",
    "usr/lib/debug/.build-id/ab/cd.debug", "usr/share/x/__pycache__/x.cpython-311.pyc", "opt/x",
    "../x", "usr/share/a b", "usr/share/a\nb", "usr/share/\x1b[2J", "usr/share/caf\udce9", "usr/" + "x" * 120,
    "usr/share/doc/sample", "usr", "",
)  # fmt: skip
CONTENTS = (
    b"", b"x", b"#!/bin/sh\n", b"#!/usr/bin/env python3\n", b"#!/usr/bin/python2.7\nprint 1\n", b"#!\n",
    b"[Unit]\n[Service]\nType=forking\nExecStart=/usr/bin/x\n[Install]\nWantedBy=multi-user.target\n",
    b"[Install]\nAlias=../x\nAlso=x.socket\n", b"### BEGIN INIT INFO\n# Provides: x\n### END INIT INFO\n",
    b".TH X 1\n.so man1/y.1\n", b"\x1f\x8b\x08\0", gzip.compress(b"sample (1.0) unstable; urgency=low\n", mtime=0),
    b"\x7fELF\2\1\1", b"import x\ndef f(:\n", b"d /run/x 0755 root root -\n", b"* * * * * root x\n",
    b"Copyright 2024 A\nLicense: GPL-2\n", b"CONFIG_XEN_DOM0=y\n", b"a\0b", b"\xff\xfe",
)  # fmt: skip
LINKS = (
    "x",
    "/usr/bin/sample",
    "../x",
    "../../../../etc/shadow",
    "",
    "./",
    "a\nb",
    "/",
    "usr/bin/x",
)
TYPES = b"0001122334567xgLKSV"
MODES = (0o644, 0o755, 0o600, 0o4755, 0o2775, 0o777, 0, 0o1777, 0o111, 0o666, 0o7777)
