# SPDX-License-Identifier: GPL-2.0-or-later
"""Every rule against a package with the fault and one without."""

from __future__ import annotations

import gzip
import io
import os
import shutil
import signal
import subprocess
import tarfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from builders.debkit import codecs, deb
from builders.debkit.audit import RULES, Expectations, Needs, audit, audit_all, inspection
from builders.debkit.audit.archive import Archive, of_box
from builders.debkit.audit.facts import Facts
from builders.debkit.deb import Control
from builders.debkit.deb.metadata import stated_sonames
from builders.errors import BuildError
from builders.show import rules
from builders.text import printable
from builders.verbs import inspect
from tests import documents
from tests.unit import debs
from tests.unit.debs import Item, elf, folder, hardlink, symlink

SH = b"#!/bin/sh\nset -e\n"
GZ = gzip.compress(b"text", mtime=0)
INIT = (
    b"#!/bin/sh\n### BEGIN INIT INFO\n# Provides: x\n# Required-Start: $local_fs\n"
    b"# Default-Start: 2\n### END INIT INFO\ncase $1 in start|stop|restart|force-reload) ;; esac\n"
)
UNIT = b"[Unit]\nDescription=x\n[Service]\nExecStart=/x\n[Install]\nWantedBy=multi-user.target\n"
LIB = "./usr/lib/x86_64-linux-gnu/libx.so.1"


@dataclass(frozen=True)
class Case:
    """A package; subject of the finding that is expected, "-" for none; its severity."""

    rule: str
    items: tuple[Item, ...] = ()
    control: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    subject: str = ""
    severity: str = ""

    def __str__(self) -> str:
        return f"{self.rule}:{self.subject}"


def bad(rule: str, *items: Item, subject: str = "", severity: str = "", **more: str) -> Case:
    """A package with the fault; more: fields, with _ for -, or files of control.tar."""
    return Case(rule, items, *_split(more), subject=subject, severity=severity)


def fine(rule: str, *items: Item, **more: str) -> Case:
    return Case(rule, items, *_split(more), subject="-")


def _split(more: Mapping[str, str]) -> tuple[dict[str, str], dict[str, bytes]]:
    fields = {k.replace("_", "-"): v for k, v in more.items() if k[0].isupper()}
    return fields, {k: v.encode() for k, v in more.items() if not k[0].isupper()}


def program(path: str = "./usr/bin/x", **form: object) -> Item:
    return Item(path, elf(["libc.so.6"], **form), mode=0o755)  # type: ignore[arg-type]


def library(path: str = LIB, soname: str = "libx.so.1", mode: int = 0o644) -> Item:
    return Item(path, elf(["libc.so.6"], soname=soname), mode=mode)


def script(name: str, body: str, first: str = "#!/bin/sh\nset -e\n") -> dict[str, str]:
    return {name: first + body}


KERNEL = (Item("./boot/vmlinuz-6.1-x"), Item("./usr/lib/modules/6.1-x/kernel/a.ko.xz"))

TEMPLATE = "Template: x/y\nType: boolean\nDescription: whether\n"
CASES = [
    bad("initramfs-tool-missing", *KERNEL),
    bad("initramfs-tool-missing", *KERNEL, Depends="kmod", Suggests="dracut"),
    fine("initramfs-tool-missing", *KERNEL, Recommends="initramfs-tools (>= 1) | x"),
    fine("initramfs-tool-missing", *KERNEL, Depends="linux-initramfs-tool"),
    fine("initramfs-tool-missing", KERNEL[0], Item("./lib/modules/6.1-x/modules.builtin")),
    fine("initramfs-tool-missing", KERNEL[1]),
    fine("initramfs-tool-missing", KERNEL[0], Item("./lib/modules/6.1-y/a.ko")),
    # paths
    *(
        bad("volatile-path", Item(f".{p}/x"), subject=f"{p}/x")
        for p in ("/run", "/var/run", "/var/lock", "/tmp", "/var/tmp", "/dev")  # noqa: S108
    ),
    bad("volatile-path", folder("./run/xen/"), subject="/run/xen"),
    fine("volatile-path", Item("./usr/run/x"), folder("./tmp/"), folder("./run/")),
    *(
        bad("path-outside-fhs", Item(f".{p}/x"), subject=f"{p}/x")
        for p in ("/home", "/root", "/srv", "/mnt")
    ),
    bad("path-outside-fhs", Item("./data/x"), subject="/data"),
    bad("path-outside-fhs", Item("./opt/x/y"), subject="/opt/x", severity="warning"),
    bad("path-outside-fhs", Item("./usr/etc/x"), subject="/usr/etc", severity="warning"),
    fine("path-outside-fhs", folder("./home/"), Item("./usr/libexec/x"), Item("./var/lib/x")),
    bad("file-in-usr-local", Item("./usr/local/x"), subject="/usr/local/x"),
    bad("lib64", Item("./usr/lib64/libx.so"), subject="/usr/lib64/libx.so"),
    fine("lib64", symlink("./lib64/ld-linux-x86-64.so.2", "/lib/x"), folder("./lib64/")),
    bad("aliased-path", Item("./bin/x"), Item("./usr/bin/x"), subject="/bin/x"),
    fine("aliased-path", Item("./bin/x"), Item("./usr/bin/y")),
    *(
        bad("leftover-file", Item(f"./usr/share/x/{name}"), subject=f"/usr/share/x/{shown}")
        for name, shown in (
            ("a~", "a~"),
            (".git/config", ".git"),
            ("CVS/Root", "CVS"),
            ("a.rej", "a.rej"),
            (".DS_Store", ".DS_Store"),
        )
    ),
    fine("leftover-file", Item("./usr/share/x/.gitignore"), Item("./usr/share/x/a.orig.c")),
    bad(
        "file-name",
        Item("./usr/share/\x01x"),
        subject=printable("/usr/share/\x01x"),
        severity="error",
    ),
    bad("file-name", Item("./usr/share/\udcff"), subject=printable("/usr/share/\udcff")),
    fine("file-name", Item("./usr/share/\u00e9")),
    # conffiles
    bad("etc-not-conffile", Item("./etc/x"), subject="/etc/x"),
    bad("conffile-missing", subject="/etc/x", conffiles="/etc/x\n"),
    bad(
        "conffile-missing",
        symlink("./etc/x", "y"),
        subject="/etc/x",
        severity="error",
        conffiles="/etc/x\n",
    ),
    bad(
        "conffile-missing",
        symlink("./etc/x", "y"),
        Item("./etc/y"),
        subject="/etc/x",
        conffiles="/etc/x\n/etc/y\n",
    ),
    bad(
        "conffile-missing",
        Item("./etc/x"),
        subject="/etc/x",
        severity="error",
        conffiles="remove-on-upgrade /etc/x\n",
    ),
    bad(
        "conffile-missing",
        Item("./etc/x/y"),
        subject="/etc/x",
        severity="error",
        conffiles="/etc/x\n",
    ),
    fine("conffile-missing", conffiles="remove-on-upgrade /etc/x\n"),
    bad("conffile-listing", subject="etc/x", conffiles="etc/x\n"),
    bad("conffile-listing", subject="/etc/x", severity="warning", conffiles="/etc/x\n/etc/x\n"),
    bad("conffile-listing", subject="conffiles", conffiles="/etc/x"),
    bad("conffile-listing", subject="conffiles", severity="warning", conffiles="/etc/x\n\n"),
    bad("conffile-listing", subject="/etc/x", conffiles="keep-on-upgrade /etc/x\n"),
    bad("conffile-listing", subject="/etc/x", conffiles=" /etc/x\n"),
    fine("conffile-listing", conffiles="remove-on-upgrade /etc/an old name\n"),
    fine("conffile-listing", Item("./etc/x"), conffiles="/etc/x\n"),
    bad("conffile-outside-etc", subject="/usr/x", conffiles="/usr/x\n"),
    bad(
        "conffile-hard-link",
        Item("./etc/a"),
        hardlink("./etc/b", "./etc/a"),
        subject="/etc/b",
        conffiles="/etc/a\n/etc/b\n",
    ),
    fine("conffile-hard-link", Item("./usr/a"), hardlink("./usr/b", "./usr/a")),
    # owners, modes, times
    bad("wrong-owner", Item("./usr/x", uid=1000), subject="/usr/x"),
    bad("wrong-owner", Item("./usr/x", gid=100), subject="/usr/x"),
    # dpkg takes the name where the system knows it, the number where it does not.
    bad("wrong-owner", Item("./usr/x", uname="games"), subject="/usr/x"),
    bad("wrong-owner", Item("./usr/x", uname="jenkins"), subject="/usr/x"),
    fine("wrong-owner", Item("./usr/x", gid=60, gname="games"), Item("./usr/y", uid=65534)),
    fine("wrong-owner", Item("./usr/x", uid=1001, uname="root")),
    bad("merged-folder-replaced", symlink("./lib", "usr/lib"), subject="/lib"),
    fine("merged-folder-replaced", symlink("./lib", "usr/lib"), Package="base-files"),
    bad("setuid-file", program(), Item("./usr/bin/y", mode=0o4755), subject="/usr/bin/y"),
    bad(
        "setuid-file", Item("./usr/bin/y", SH, mode=0o4755), subject="/usr/bin/y", severity="error"
    ),
    bad("setuid-file", Item("./usr/bin/y", mode=0o6757), subject="/usr/bin/y", severity="error"),
    bad("world-writable", Item("./usr/x", mode=0o666), subject="/usr/x"),
    bad("world-writable", folder("./var/x/", 0o777), subject="/var/x"),
    fine("world-writable", folder("./var/x/", 0o1777), symlink("./usr/y", "x")),
    bad("odd-mode", Item("./usr/x", mode=0o664), subject="/usr/x"),
    bad("odd-mode", folder("./var/x/", 0o744), subject="/var/x"),
    bad("odd-mode", folder("./var/x/", 0o700), subject="/var/x", severity="info"),
    bad("odd-mode", Item("./usr/x", mode=0o600), subject="/usr/x", severity="info"),
    fine("odd-mode", Item("./var/games/x", mode=0o664, gid=60), Item("./etc/sudoers", mode=0o440)),
    bad("not-executable", Item("./usr/bin/x"), subject="/usr/bin/x"),
    fine("not-executable", Item("./usr/bin/d/x"), symlink("./usr/bin/y", "x")),
    bad(
        "needlessly-executable",
        Item("./usr/include/x.h", mode=0o755),
        subject="/usr/include/x.h",
    ),
    fine("needlessly-executable", Item("./usr/share/x.txt", SH, mode=0o755)),
    bad("special-file", Item("./usr/x", kind=tarfile.FIFOTYPE), subject="/usr/x"),
    bad("special-file", Item("./usr/x", kind=tarfile.CHRTYPE), subject="/usr/x"),
    bad("time-stamp", Item("./usr/x", mtime=int(time.time()) + 200_000), subject="/usr/x"),
    bad("time-stamp", Item("./usr/x", mtime=0), subject="/usr/x", severity="info"),
    fine("time-stamp", Item("./usr/x", mtime=int(time.time()))),
    # links
    bad("link-form", symlink("./usr/bin/x", "/usr/lib/x"), subject="/usr/bin/x"),
    bad("link-form", symlink("./usr/bin/x", "../../etc/x"), subject="/usr/bin/x"),
    fine("link-form", symlink("./usr/bin/x", "../lib/x"), symlink("./usr/bin/y", "/etc/x")),
    fine("link-form", symlink("./vmlinuz", "boot/vmlinuz")),
    fine("link-form", symlink("./etc/os-release", "../usr/lib/os-release")),
    bad("link-leaves-root", symlink("./usr/x", "../../x"), subject="/usr/x"),
    fine("link-leaves-root", symlink("./usr/x", "../x"), symlink("./a/b/c", "../d/../../e")),
    bad("link-loop", symlink("./usr/x", "x"), subject="/usr/x"),
    bad("link-loop", symlink("./usr/x", "y"), symlink("./usr/y", "x"), subject="/usr/x"),
    fine("link-loop", symlink("./usr/x", "y"), symlink("./usr/y", "z")),
    bad("dangling-link", Item("./usr/a"), symlink("./usr/x", "y"), subject="/usr/x"),
    bad(
        "dangling-link",
        Item("./usr/a"),
        symlink("./usr/x", "y"),
        subject="/usr/x",
        severity="info",
        Depends="other",
    ),
    *(
        case(
            "dangling-link",
            Item("./usr/share/doc/CHANGES"),
            symlink("./usr/share/doc/x-dbgsym", "x"),
            **wanted,
        )
        for case, wanted in (
            (fine, {"Depends": "x (= 1)"}),
            (bad, {"Suggests": "x", "subject": "/usr/share/doc/x-dbgsym", "severity": "info"}),
        )
    ),
    fine("dangling-link", Item("./usr/a"), symlink("./usr/x", "a"), symlink("./usr/y", "/run/y")),
    bad("hard-link-across", Item("./usr/a"), hardlink("./var/b", "./usr/a"), subject="/var/b"),
    fine("hard-link-across", Item("./usr/bin/a"), hardlink("./usr/lib/b", "./usr/bin/a")),
    # control
    bad("control-value", Section="none", severity="warning"),
    bad("control-value", Section="", severity="info"),
    bad("control-value", Important="maybe", severity="warning"),
    bad("control-value", Homepage="example.org", severity="warning"),
    bad("control-value", Maintainer="A B <a@box.localdomain>", severity="warning"),
    fine("control-value", Section="non-free/admin", Multi_Arch="foreign"),
    bad("unknown-field", Colour="red"),
    fine("unknown-field", X_Colour="red", Javascript_Built_Using="x (= 1)"),
    bad("relation-syntax", Depends="libc6 (2.36)", severity="warning"),
    bad("relation-syntax", Depends="libc6,"),
    bad("relation-syntax", Depends=",libc6"),
    bad("relation-syntax", Depends="\n libc6"),
    bad("relation-syntax", Depends="a || b"),
    bad("relation-syntax", Depends="a (>= )"),
    bad("relation-syntax", Depends="a [amd64]"),
    bad("relation-syntax", Depends="a <!nocheck>"),
    bad("relation-syntax", Depends="a (<> 1)"),
    bad("relation-syntax", Depends="a (=1)"),  # apt
    bad("relation-syntax", Provides="x | y"),
    bad("relation-syntax", Depends="libc6 >= 2.36"),
    bad("relation-syntax", Depends="a, , b"),
    bad("relation-syntax", Depends="${shlibs:Depends}"),
    bad("relation-syntax", Provides="x (>= 1)", severity="warning"),
    bad("relation-syntax", Depends="Lib_x", severity="warning"),
    fine("relation-syntax", Enhances="aa | bb"),
    bad("relation-syntax", Conflicts="a | b"),
    bad("relation-syntax", Depends="a (>= v)"),
    bad("relation-syntax", Depends="xen (< 1)", severity="warning"),
    fine(
        "relation-syntax",
        Depends="xen (>= 1:2.3-4~x), python3:any | libc6 (<< 5)",
        Provides="xl (= 1)",
    ),
    bad("relation-to-itself", Depends="sample"),
    bad("relation-to-itself", Depends="xen", Conflicts="xen", severity="error"),
    fine("relation-to-itself", Depends="xen", Conflicts="xen (<< 2)", Breaks="sl"),
    fine("relation-to-itself", Depends="xen", Conflicts="xen:i386"),
    bad("description-form", Description="x" * 81 + "\n more"),
    bad("description-form", Description="one line"),
    bad("description-form", Description="sample\n text"),
    bad("description-form", Description="a thing.\n text", severity="info"),
    # maintainer scripts
    bad("script-interpreter", subject="postinst", postinst="set -e\n", severity="warning"),
    bad("script-interpreter", subject="postinst", postinst="#!python3\n"),
    bad("script-interpreter", subject="postinst", postinst="#!/bin/sh\r\nset -e\r\n"),
    bad("script-interpreter", subject="postinst", postinst="#!/usr/local/bin/bash\n"),
    bad("script-interpreter", subject="postinst", postinst="#!/usr/bin/env bash -e\n"),
    bad("script-interpreter", subject="postinst", postinst="#!/usr/bin/env\n"),
    bad("script-interpreter", subject="postinst", postinst="#!/bin/sh -e -u\n"),
    bad("script-interpreter", subject="postinst", postinst="#!/bin/sh /-e\n"),
    fine("script-interpreter", postinst="#!/bin/sh /lib/init/init-d-script\n"),
    bad("script-interpreter", subject="preinst", preinst="#!/usr/bin/python3\n", Depends="python3"),
    bad("script-interpreter", subject="prerm", prerm="#!/usr/bin/ruby\n"),
    bad(
        "script-interpreter",
        subject="prerm",
        prerm="#!/usr/bin/ruby\n",
        Depends="other",
        severity="warning",
    ),
    fine("script-interpreter", postinst="#! /bin/sh -e\n", prerm="#!/usr/bin/perl\n"),
    fine("script-interpreter", postinst="#!/usr/bin/env bash\n", prerm="#!/usr/bin/env -S sh -e\n"),
    fine("script-interpreter", postinst="#!/usr/bin/python3\n", Depends="python3"),
    fine("script-interpreter", preinst="#!/usr/bin/python3\n", Pre_Depends="python3"),
    bad("script-syntax", subject="postinst", postinst="#!/bin/sh\nset -e\r\n"),
    bad("script-bashism", subject="postinst", postinst="#!/bin/sh\nif [[ -e /x ]]; then :; fi\n"),
    bad("script-bashism", subject="postinst", postinst="#!/bin/sh\nsource /x\n"),
    bad("script-bashism", subject="postinst", postinst="#!/bin/sh\nfunction go() { :; }\n"),
    bad("script-bashism", subject="postinst", postinst="#!/bin/sh\na=(one two)\n"),
    fine("script-bashism", postinst="#!/bin/bash\na=(one two)\n"),
    fine("script-bashism", postinst="#!/bin/sh\ncat <<E\n[[ x ]]\nE\n# source y\necho '[[ x'\n"),
    # links to the build
    bad("link-to-build", symlink("./usr/lib/x", "/root/build/x"), subject="/usr/lib/x"),
    bad("link-to-build", symlink("./usr/lib/x", "/build/x-1.0/y"), subject="/usr/lib/x"),
    bad("link-to-build", symlink("./usr/lib/x", "../../home/me/x"), subject="/usr/lib/x"),
    fine("link-to-build", symlink("./usr/lib/x", "/usr/lib/build/x"), symlink("./h", "/homes")),
    bad(
        "kernel-build-link",
        symlink("./lib/modules/6.1-x/source", "/srv/linux"),
        subject="/lib/modules/6.1-x/source",
    ),
    bad(
        "kernel-build-link",
        symlink("./lib/modules/6.1-x/build", "/usr/src/linux-6.1"),
        subject="/lib/modules/6.1-x/build",
    ),
    fine(
        "kernel-build-link",
        Item("./usr/src/own/Makefile"),
        symlink("./lib/modules/6.1-x/build", "/usr/src/own"),
    ),
    fine(
        "kernel-build-link",
        symlink("./lib/modules/6.1-x/build", "/usr/src/linux-headers-6.1-x"),
        symlink("./lib/modules/6.1-x/source", "build"),
    ),
    # other files of control.tar
    bad("trigger-syntax", subject="triggers", triggers="activate ldconfig"),
    bad("trigger-syntax", subject="triggers", triggers="trigger ldconfig\n"),
    bad("trigger-syntax", subject="triggers", triggers="interest /usr/\n"),
    bad("trigger-syntax", subject="triggers", triggers="interest File\n"),
    fine("trigger-syntax", triggers="# x\ninterest-noawait /usr/share\nactivate x\n"),
    bad("templates-syntax", subject="templates", templates=TEMPLATE.replace("Type", "# x\nType")),
    bad("templates-syntax", subject="templates", templates="Type: note\nDescription: x\n"),
    bad("templates-syntax", subject="templates", templates=TEMPLATE + "Template: x/z\n"),
    bad("templates-syntax", subject="templates", templates="Template: x/y\n", severity="warning"),
    fine("templates-syntax", templates=f"{TEMPLATE}\n{TEMPLATE}"),
    bad("debconf-use", subject="config", config="#!/bin/sh\nset -e\n", Depends="debconf"),
    bad("debconf-use", subject="templates", templates=TEMPLATE),
    fine("debconf-use", templates=TEMPLATE, Depends="debconf (>= 0.5) | debconf-2.0"),
    bad("control-tar-file", subject="n" * 101, severity="error", **{"n" * 101: "x"}),
    bad("shlibs-form", subject="shlibs", shlibs="libx\n"),
    bad("shlibs-form", subject="symbols", symbols=" x@Base 1\n"),
    fine("shlibs-form", shlibs="libx 1 x (>= 1)\n", symbols="libx.so.1 x #MINVER#\n x@Base 1\n"),
    bad("script-syntax", subject="postinst", **script("postinst", "if true; then\n")),
    bad(
        "script-syntax", subject="prerm", **script("prerm", "case x in\n", "#!/bin/bash\nset -e\n")
    ),
    fine("script-syntax", **script("postinst", "exit 1\n"), **script("prerm", "kill $$\n")),
    fine("script-syntax", postinst="#!/usr/bin/perl\nif (1) {\n"),
    bad("script-without-set-e", subject="postinst", postinst="#!/bin/sh\necho x\n"),
    fine("script-without-set-e", postinst="#!/bin/sh -e\necho x\n", prerm="#!/bin/sh\nexit 0\n"),
    bad("script-mode", subject="postinst", **script("postinst", "true\n")),
    bad("unregistered-service", Item("./etc/init.d/x", INIT, mode=0o755), subject="/etc/init.d/x"),
    fine(
        "unregistered-service",
        Item("./etc/init.d/x", INIT, mode=0o755),
        Item("./lib/systemd/system/x@.service", UNIT),
        postinst="#!/bin/sh\nset -e\nupdate-rc.d x defaults\n",
    ),
    bad(
        "unregistered-service",
        Item("./lib/systemd/system/x.service", UNIT),
        subject="/lib/systemd/system/x.service",
    ),
    fine("unregistered-service", Item("./lib/systemd/system/x.service", UNIT[:40])),
    bad("init-script-headers", Item("./etc/init.d/x", SH, mode=0o755), subject="/etc/init.d/x"),
    bad(
        "init-script-headers",
        Item("./etc/init.d/x", INIT.replace(b"|force-reload", b""), mode=0o755),
        subject="/etc/init.d/x",
    ),
    fine("init-script-headers", Item("./etc/init.d/x", INIT, mode=0o755)),
    bad(
        "init-script-without-unit",
        Item("./etc/init.d/x", INIT, mode=0o755),
        subject="/etc/init.d/x",
    ),
    # ELF
    bad("other-architecture", program(machine=183), subject="/usr/bin/x"),
    # It runs there, and Debian's oaklisp and grub-legacy are such; not the other way round.
    bad("other-architecture", program(machine=3), subject="/usr/bin/x", severity="warning"),
    bad("other-architecture", program(), Architecture="i386", subject="/usr/bin/x"),
    bad("other-architecture", program(), Architecture="all", subject="/usr/bin/x"),
    bad(
        "other-architecture",
        program("./usr/src/h/scripts/x", machine=183),
        subject="/usr/src/h/scripts/x",
    ),
    bad("other-architecture", program("./opt/x/y", machine=183), subject="/opt/x/y"),
    bad("other-architecture", program("./usr/lib/x/y"), Architecture="all", subject="/usr/lib/x/y"),
    bad(
        "other-architecture",
        Item("./lib/modules/6.1/a.ko", b"\x7fELF\2\1" + bytes(10) + b"\1\0\xb7\0"),
        subject="/lib/modules/6.1/a.ko",
    ),
    bad("other-architecture", program(machine=0), subject="/usr/bin/x"),
    # Byte code in the form of ELF (EM_NONE), as Guile's, is for no machine.
    fine("other-architecture", program("./usr/lib/guile/3.0/site-ccache/x.go", machine=0)),
    fine(
        "other-architecture",
        program("./usr/lib/guile/3.0/site-ccache/x.go", machine=0),
        Architecture="all",
    ),
    # What a processor runs in another mode; what is for boards and boots.
    fine("other-architecture", program(), Item("./usr/lib/x/y", elf(machine=3))),
    fine(
        "other-architecture",
        program("./usr/share/x/y", machine=183),
        program("./usr/lib/firmware/y", machine=183),
        program("./usr/aarch64-linux-gnu/lib/y", machine=183),
    ),
    bad("unstripped-elf", program(symbols=True), subject="/usr/bin/x"),
    fine("unstripped-elf", program(), program("./usr/lib/debug/x", symbols=True)),
    bad("executable-library", library(mode=0o755), subject=LIB[1:]),
    fine("executable-library", library()),
    bad("library-without-link", library(LIB + ".2"), subject=LIB[1:] + ".2"),
    fine("library-without-link", library(LIB + ".2"), symlink(LIB, "libx.so.1.2")),
    bad("library-without-soname", library(soname=""), subject=LIB[1:]),
    bad("ldconfig-missing", library(), subject=LIB[1:]),
    fine("ldconfig-missing", library(), triggers="activate-noawait ldconfig\n"),
    fine("ldconfig-missing", library("./usr/lib/x/libx.so.1")),
    bad("ldconfig-needless", triggers="activate-noawait ldconfig\n"),
    fine(
        "ldconfig-needless",
        library("./usr/lib/x/libx.so.1"),
        symlink(LIB, "x/libx.so.1"),
        triggers="activate-noawait ldconfig\n",
    ),
    bad("missing-shlibs", library(), subject=LIB[1:]),
    bad("missing-shlibs", library(), shlibs="libx 2 sample\n", subject=LIB[1:]),
    fine("missing-shlibs", library(), shlibs="libx 1 sample\n"),
    fine("missing-shlibs", library(), symbols="libx.so.1 sample #MINVER#\n x@Base 1\n"),
    bad(
        "library-path",
        program(texts=[(29, "/home/me/lib")]),
        subject="/usr/bin/x",
        severity="error",
    ),
    bad("library-path", program(texts=[(15, "lib")]), subject="/usr/bin/x", severity="error"),
    bad("library-path", program(texts=[(29, "/usr/lib")]), subject="/usr/bin/x"),
    fine("library-path", program(texts=[(29, "$ORIGIN/../lib")])),
    bad("executable-stack", program(stack=7), subject="/usr/bin/x"),
    bad("executable-stack", program(stack=None), subject="/usr/bin/x"),
    bad("text-relocation", program(tags=[(22, 0)]), subject="/usr/bin/x"),
    bad("text-relocation", program(tags=[(30, 4)]), subject="/usr/bin/x"),
    fine("text-relocation", program(tags=[(30, 8)])),
    bad("debug-files", Item("./usr/lib/debug/x"), subject="/usr/lib/debug/x"),
    fine("debug-files", Item("./usr/lib/debug/x"), Package="x-dbgsym"),
    bad("development-file", program(), Item("./usr/include/x.h"), subject="/usr/include/x.h"),
    fine("development-file", Item("./usr/include/x.h")),
    # Python
    bad(
        "python-cache",
        Item("./usr/lib/python3/dist-packages/x/__pycache__/a.pyc"),
        subject="/usr/lib/python3/dist-packages/x",
    ),
    bad(
        "python-site-packages",
        Item("./usr/lib/python3.11/site-packages/x.py"),
        subject="/usr/lib/python3.11/site-packages",
    ),
    bad(
        "python-dependency",
        Item("./usr/lib/python3/dist-packages/x.py"),
        subject="/usr/lib/python3/dist-packages/x.py",
    ),
    bad(
        "python-dependency",
        Item("./usr/lib/python3/dist-packages/x.cpython-311-x86_64-linux-gnu.so"),
        subject="/usr/lib/python3/dist-packages/x.cpython-311-x86_64-linux-gnu.so",
        Depends="python3",
    ),
    fine(
        "python-dependency",
        Item("./usr/lib/python3/dist-packages/x.cpython-311-x86_64-linux-gnu.so"),
        Depends="python3 (<< 3.12), python3 (>= 3.11~)",
    ),
    fine(
        "python-dependency",
        Item("./usr/lib/python2.7/dist-packages/x.py"),
        Depends="python (>= 2.7)",
    ),
    bad(
        "python-dependency",
        Item("./usr/lib/python2.7/dist-packages/x.py"),
        subject="/usr/lib/python2.7/dist-packages/x.py",
        Depends="python-yaml",
    ),
    # documents
    bad("copyright-missing"),
    fine("copyright-missing", Item("./usr/share/doc/sample/copyright")),
    fine("copyright-missing", symlink("./usr/share/doc/sample", "other")),
    bad("changelog-missing"),
    bad(
        "changelog-missing",
        Item("./usr/share/doc/sample/changelog.Debian"),
        subject="/usr/share/doc/sample/changelog.Debian",
    ),
    fine("changelog-missing", Item("./usr/share/doc/sample/changelog.Debian.gz", GZ)),
    bad(
        "uncompressed-document", Item("./usr/share/man/man1/x.1"), subject="/usr/share/man/man1/x.1"
    ),
    bad(
        "uncompressed-document",
        Item("./usr/share/man/de/man1/x.1.gz", b"plain"),
        subject="/usr/share/man/de/man1/x.1.gz",
        severity="error",
    ),
    fine("uncompressed-document", Item("./usr/share/man/man1/x.1.gz", GZ)),
    bad("document-outside", Item("./usr/man/man1/x.1"), subject="/usr/man/man1/x.1"),
    bad(
        "document-outside",
        Item("./usr/share/info/dir"),
        subject="/usr/share/info/dir",
        severity="error",
    ),
    bad("no-manual-page", program(), subject="/usr/bin/x"),
    fine("no-manual-page", program(), Item("./usr/share/man/man8/x.8.gz", GZ)),
    # traces
    bad(
        "build-path",
        Item("./usr/lib/x.a", b"!<arch>\n" + b"\0/home/me/src/xen/tools/x.c\0"),
        subject="/usr/lib/x.a",
    ),
    bad(
        "build-path",
        Item("./usr/lib/x.a", b"!<arch>\n" + b"\0/build/tree/tools/x.c\0"),
        subject="/usr/lib/x.a",
        severity="info",
    ),
    fine(
        "build-path",
        Item("./usr/share/doc/x/y.pc", b"/home/me/src/x"),
        Item("./usr/lib/x.pc", b"prefix=/usr\n# see http://a/home/me/src/x and ~/home/a/b/c"),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_rule(tmp_path: Path, case: Case) -> None:
    fields = {"Section": "admin", "Priority": "optional", **case.control}
    path = debs.make(tmp_path / "a.deb", case.items, control=fields, files=case.files)
    findings = [f for f in audit(path).findings if f.rule == case.rule]
    if case.subject == "-":
        assert findings == []
        return
    assert (case.subject, case.severity or str(RULES[case.rule].severity)) in {
        (f.subject, str(f.severity)) for f in findings
    }


def test_every_rule_has_a_case() -> None:
    elsewhere = {  # in test_audit.py, or below
        *(
            "unreadable",
            "path-traversal",
            "duplicate-member",
            "absolute-member",
            "odd-archive",
            "control-field",
            "kernel-option",
        ),
        "control-form",
        *("compression-of-suite", "script-of-suite"),
        *("missing-dependency", "missing-interpreter", "stray-boot-link", "xen-syms-in-boot"),
        *("md5sums", "installed-size", "elf-unread", "libc-too-old", "unknown-dependency"),
        *("build-host", "static-program", "missing-folder", "unmerged-path"),
    }
    assert {case.rule for case in CASES if case.subject != "-"} | elsewhere == set(RULES)


def found(path: Path, rule: str, expectations: Expectations | None = None) -> list[tuple[str, str]]:
    return [
        (str(f.severity), f.message) for f in audit(path, expectations).findings if f.rule == rule
    ]


def archive() -> Archive:
    there = Archive("bookworm")
    there.add("libc6", "2.36-9", "libc6-2.36")
    there.add("exim4", "4.96-15", "mail-transport-agent")
    there.add("python3.11", "3.11.2", "python3-dataclasses (= 3.11.2)")
    return there


@pytest.mark.parametrize(
    ("relation", "message"),
    [
        ("libc6 (>= 2.36)", ""),
        ("libc6 (>= 2.37)", "has only 2.36-9"),
        ("libc6 (<< 2.36)", "has only 2.36-9"),
        ("libaio1t64", "has no such package"),
        ("libaio1t64 | libc6", ""),
        ("mail-transport-agent", ""),
        ("mail-transport-agent (>= 1)", "has only no version"),
        ("python3-dataclasses (>= 3.11)", ""),
        ("sister (= 1.0)", ""),
        ("sister (= 1.1)", "has no such package"),
    ],
)
def test_dependencies_against_the_suite(tmp_path: Path, relation: str, message: str) -> None:
    for field_name, severity in (("Depends", "error"), ("Recommends", "warning")):
        path = debs.make(tmp_path / "a.deb", control={field_name: relation})
        findings = found(path, "unknown-dependency", Expectations(archive=archive()))
        expected = [(severity, f"{field_name} has {relation!r}, but bookworm {message}")]
        assert findings == (expected if message else [])
    assert found(path, "unknown-dependency") == []


def test_a_suite_that_is_not_known_is_said(tmp_path: Path) -> None:
    path = debs.make(tmp_path / "a.deb", control={"Depends": "libc6"})
    ((severity, message),) = found(path, "unknown-dependency", Expectations(unknown="trixie"))
    assert severity == "info"
    assert "trixie" in message


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("6.1.0 (root@a252974b34b1) #1 SMP", True),
        ("6.1.0 (me@box.lan) #1 SMP", True),
        ("6.1.0-50-amd64 (debian-kernel@lists.debian.org) #1 SMP", False),
        ("6.1.0 (builder@builder) #1 SMP", False),
    ],
)
def test_the_host_that_built_a_kernel(tmp_path: Path, line: str, told: bool) -> None:
    image = bytearray(0x4000)
    image[0x202:0x206] = b"HdrS"
    image[0x20E:0x210] = (0x3000).to_bytes(2, "little")
    image[0x3200 : 0x3200 + len(line)] = line.encode()
    path = debs.make(tmp_path / "a.deb", [Item("./boot/vmlinuz-6.1", bytes(image))])
    assert bool(found(path, "build-host")) == told


def test_fast_is_all_that_needs_no_contents(tmp_path: Path) -> None:
    items = [library(mode=0o755), Item("./usr/local/x"), Item("./etc/x")]
    path = debs.make(tmp_path / "a.deb", items, control={"Section": "none"})
    every = {(f.rule, f.subject) for f in audit(path).findings}
    fast = {(f.rule, f.subject) for f in audit(path, fast=True).findings}
    assert fast == {(r, s) for r, s in every if RULES[r].needs is not Needs.CONTENTS}
    assert fast < every


@pytest.mark.slow
def test_several_packages_side_by_side(tmp_path: Path) -> None:
    paths = [
        debs.make(tmp_path / f"{n}.deb", [Item("./usr/local/x", bytes(n << 20))]) for n in range(4)
    ]
    assert audit_all(paths) == [audit(path) for path in paths]


def test_paths_of_the_build_across_parts() -> None:
    from builders.debkit.audit.traces import Search

    text = b"\0" * 70 + b"/home/me/src/xen/tools/libs/x.c" + b"\0" * 300
    for cut in range(60, 110):
        search = Search()
        search.feed(text[:cut])
        search.feed(text[cut:])
        assert any(found.endswith("/libs/x.c") for found in search.found), cut


@pytest.mark.parametrize(
    ("compression", "suite", "message"),
    [
        (".zst", "bullseye", "data.tar.zst is read from dpkg 1.21.18 on; bullseye has 1.20.13"),
        (".zst", "bookworm", ""),
        (".zst", "", ""),
        (".xz", "bullseye", ""),
    ],
)
def test_a_compression_that_the_suite_cannot_read(
    tmp_path: Path, compression: str, suite: str, message: str
) -> None:
    codec = next(codec for codec in codecs.CODECS if codec.suffix == compression)
    path = debs.make(tmp_path / "a.deb", [Item("./usr/x")])
    new = deb.rewrite(path, tmp_path / "b.deb", deb.Edit(compression=codec.name))
    told = found(new, "compression-of-suite", Expectations(suite=suite))
    assert told == ([("error", message)] if message else [])


@pytest.mark.parametrize(
    ("member", "suite", "bad"),
    [
        ("control.tar.xz", "wheezy", True),
        ("control.tar", "wheezy", True),
        ("control.tar.gz", "wheezy", False),
        ("control.tar.xz", "jessie", False),
    ],
)
def test_a_control_tar_that_the_suite_cannot_read(member: str, suite: str, bad: bool) -> None:
    facts = Facts(Control(), {}, members=("debian-binary", member, "data.tar.xz"))
    facts.expectations = Expectations(suite=suite)
    assert len(list(RULES["compression-of-suite"].check(facts))) == bad


@pytest.mark.slow
def test_the_list_in_the_documents_is_current() -> None:
    made = dict(documents.made())[documents.RULES]
    text = documents.RULES.read_text(encoding="utf-8")
    assert text == made, documents.AGAIN
    assert "**stray-boot-link**" in text


@pytest.mark.parametrize("width", [20, 60, 80, 200])
def test_the_rules_in_words(width: int) -> None:
    for name, rule in RULES.items():
        text = rules.text(name, width)
        assert max(map(len, text.splitlines())) <= max(40, min(width, 80))
        words = "".join(text.split())
        assert all("".join(part.split()) in words for part in (rule.remedy, rule.reference))
    listing = rules.listing(width)
    assert all(f"{name} " in listing for name in RULES)
    assert max(map(len, listing.splitlines())) <= max(40, width)


def test_a_rule_that_there_is_not() -> None:
    with pytest.raises(BuildError) as caught:
        rules.text("md5sum", 80)
    assert caught.value.hint == "did you mean md5sums?"


@pytest.mark.slow
def test_a_worker_that_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [debs.make(tmp_path / f"{n}.deb", [Item("./x", bytes(3 << 20))]) for n in range(2)]
    monkeypatch.setattr(codecs, "cores", lambda: 2)
    monkeypatch.setattr(inspection, "audit", lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(BuildError, match="was killed"):
        audit_all(paths)


LISTS = """Package: xen-utils-4.17
Version: 4.17.5-1
Depends: libc6
Provides: xen-utils

Package: libc6
Architecture: amd64
Version: 2.36-9+deb12u10
Provides: libc6-2.36 (= 2.36-9), libc6-x
"""


@pytest.mark.skipif(not Path("/usr/lib/apt/apt-helper").exists(), reason="needs apt")
def test_the_package_lists_of_the_box(tmp_path: Path) -> None:
    lists, cache = tmp_path / "lists", tmp_path / "cache"
    lists.mkdir()
    names = ("bookworm_main", "bookworm-security_main", "trixie_main")
    for name in names:
        path = lists / f"mirror.example_debian_dists_{name}_binary-amd64_Packages"
        path.write_text(LISTS if name != names[1] else LISTS.replace("deb12u10", "deb12u11"))
    for _ in range(2):  # read, and taken from the cache
        there = of_box("bookworm", cache, lists)
        assert there is not None
        assert there.version("libc6") == "2.36-9+deb12u11"
        assert there.satisfies("xen-utils", "", "")
        assert there.satisfies("libc6-2.36", ">=", "2.36")
        assert not there.satisfies("libc6-x", ">=", "1")
        assert len(list(cache.iterdir())) == 1
    # A list that changed is read anew.
    (lists / f"mirror.example_debian_dists_{names[0]}_binary-amd64_Packages").write_text("")
    there = of_box("bookworm", cache, lists)
    assert there is not None
    assert len(list(cache.iterdir())) == 1
    assert of_box("sid", cache, lists) is None
    assert of_box("bookworm", cache, tmp_path / "none") is None
    with pytest.raises(BuildError):
        of_box("../etc", cache, lists)


def test_package_lists_that_cannot_be_kept(tmp_path: Path) -> None:
    lists = tmp_path / "lists"
    lists.mkdir()
    (lists / "m_dists_bookworm_main_binary-amd64_Packages").write_text(LISTS)
    (tmp_path / "file").write_text("")
    if Path("/usr/lib/apt/apt-helper").exists():
        assert of_box("bookworm", tmp_path / "file" / "x", lists) is not None


@pytest.mark.parametrize(
    ("suite", "severity", "rule", "files", "fields"),
    [
        ("", "warning", "relation-syntax", {}, {"Provides": "xx (>= 1)"}),
        ("bookworm", "warning", "relation-syntax", {}, {"Provides": "xx (>= 1)"}),
        ("trixie", "error", "relation-syntax", {}, {"Provides": "xx (>= 1)"}),
        ("bookworm", "error", "relation-syntax", {}, {"Depends": "xx (=1)"}),
        ("trixie", "", "relation-syntax", {}, {"Depends": "xx (=1)"}),
        ("bullseye", "error", "conffile-listing", {"conffiles": b"etc/x\n"}, {}),
        ("buster", "warning", "conffile-listing", {"conffiles": b"etc/x\n"}, {}),
        ("wheezy", "error", "trigger-syntax", {"triggers": b"activate-await x\n"}, {}),
        ("jessie", "", "trigger-syntax", {"triggers": b"activate-await x\n"}, {}),
    ],
)
def test_the_stated_suite_decides(
    tmp_path: Path,
    suite: str,
    severity: str,
    rule: str,
    files: dict[str, bytes],
    fields: dict[str, str],
) -> None:
    path = debs.make(tmp_path / "a.deb", control=fields, files=files)
    told = {severity for severity, _ in found(path, rule, Expectations(suite=suite))}
    assert told == ({severity} if severity else set())


def test_a_suite_that_the_box_has_no_lists_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builders.debkit.audit.archive.LISTS", tmp_path / "none")
    path = debs.make(tmp_path / "a.deb", control={"Provides": "xx (>= 1)", "Depends": "yy"})
    outcome = inspect.run(inspect.Options(path=(str(path),), suite="trixie"))
    text = outcome.said("json")
    assert "which can only be (= version)" in text
    assert "no package lists of trixie" in text
    assert outcome.code == 1
    with pytest.raises(BuildError, match="no package lists"):
        inspect.run(inspect.Options(path=(str(path),), suite="nowhere"))


def _tree(path: Path, names: Sequence[str]) -> Path:
    """A package with these members in this order: files, and folders where "/" is the end."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name in names:
            info = tarfile.TarInfo(name.rstrip("/"))
            info.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
            info.mode, info.uname, info.gname = 0o755, "root", "root"
            tar.addfile(info)
    made = debs.make(path)
    subprocess.run(["ar", "x", made.name], cwd=path.parent, check=True)
    (path.parent / "data.tar").write_bytes(out.getvalue())
    path.unlink()
    (control,) = path.parent.glob("control.tar*")
    members = ["debian-binary", control.name, "data.tar"]
    subprocess.run(["ar", "rcD", path.name, *members], cwd=path.parent, check=True)
    return path


@pytest.mark.skipif(not (shutil.which("ar") and shutil.which("dpkg")), reason="needs ar and dpkg")
@pytest.mark.parametrize(
    "names",
    [
        ["./", "./opt/", "./opt/x/", "./opt/x/y"],
        ["./opt/", "./opt/x/", "./opt/x/y"],  # base-files has the root
        ["./usr/bin/x"],
        ["./opt/x/y"],
        ["./opt/", "./opt/x/y", "./opt/x/"],
    ],
)
def test_folders_as_dpkg_takes_them(tmp_path: Path, names: list[str]) -> None:
    path = _tree(tmp_path / "x.deb", names)
    root = tmp_path / "root"
    for folder_ in ("var/lib/dpkg/info", "var/lib/dpkg/updates", "usr/bin"):
        (root / folder_).mkdir(parents=True)  # as base-files has them
    (root / "var/lib/dpkg/status").touch()
    command = ["dpkg", f"--root={root}", "--force-not-root,depends,bad-path", "--unpack", str(path)]
    refused = subprocess.run(command, capture_output=True, check=False).returncode != 0
    assert bool(found(path, "missing-folder")) == refused


def test_a_stated_suite_with_a_merged_usr(tmp_path: Path) -> None:
    path = debs.make(tmp_path / "x.deb", [Item("./lib/udev/x", b"1")])
    assert found(path, "unmerged-path", Expectations(suite="bookworm")) == []
    told = found(path, "unmerged-path", Expectations(suite="trixie"))
    assert [severity for severity, _ in told] == ["warning"]


def test_only_links_of_a_circle_lead_back_to_themselves(tmp_path: Path) -> None:
    links = {"a": "b", "b": "c", "c": "d", "d": "c", "e": "e", "f": "a", "g": "nowhere"}
    items = [symlink(f"./usr/share/x/{name}", target) for name, target in links.items()]
    package = debs.make(tmp_path / "links.deb", items)
    told = [f.subject for f in audit(package).findings if f.rule == "link-loop"]
    assert told == ["/usr/share/x/c", "/usr/share/x/d", "/usr/share/x/e"]


def test_a_library_that_shlibs_or_symbols_states() -> None:
    files = {
        "shlibs": b"libx 1 libx1\nudeb: liby 2.5 liby-udeb\nlibz 3 libz3 (>= 1)\n# libw 1 x\n",
        "symbols": b"libs.so.4 libs4 #MINVER#\n name@Base 1\n| libs4 (>= 2)\n",
    }
    stated = stated_sonames(files)
    assert {"libx.so.1", "liby.so.2.5", "liby-2.5.so", "libz.so.3", "libs.so.4"} <= stated
    assert not {"libw.so.1", "name@Base", "name"} & stated
