# SPDX-License-Identifier: GPL-2.0-or-later
"""Small packages for the fuzzers to break: some that dpkg-deb made, some of a few members each."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.fuzz import hostile
from tests.unit import debs

_SMALL = 64 << 10  # a larger package makes few mutations a second

CONTROL = """Package: sample
Version: 1.0-1
Architecture: amd64
Maintainer: Some One <some.one@example.org>
Depends: libc6 (>= 2.36), libyajl2 | other (<< 3)
Section: admin
Priority: optional
Installed-Size: 12
Description: sample
 With more to say.
 .
 And more.
"""


def make(folder: Path) -> list[Path]:
    """One of dpkg-deb's packages for each compression, and the small hostile ones."""
    tree = folder / "tree"
    files = {
        "DEBIAN/control": CONTROL,
        "DEBIAN/conffiles": "/etc/sample.conf\n",
        "DEBIAN/postinst": "#!/bin/sh\nset -e\n#DEBHELPER#\nexit 0\n",
        "DEBIAN/triggers": "activate-noawait ldconfig\n",
        "DEBIAN/shlibs": "libsample 1 sample\n",
        "DEBIAN/md5sums": "d41d8cd98f00b204e9800998ecf8427e  usr/share/doc/sample/copyright\n",
        "etc/sample.conf": "a = b\n",
        "etc/init.d/sample": "#!/bin/sh\n### BEGIN INIT INFO\n",
        "boot/config-6.1.0": "CONFIG_XEN_DOM0=y\n# CONFIG_XEN_PCIDEV_BACKEND is not set\n",
        "usr/bin/script": "#!/usr/bin/python3\n",
        "usr/lib/systemd/system/sample.service": "[Service]\nExecStart=/usr/bin/sample\n",
        "usr/share/doc/sample/copyright": "",
    }
    for name, text in files.items():
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    binaries = {
        "usr/bin/sample": debs.elf(["libc.so.6", "libyajl.so.2"]),
        "usr/lib/x86_64-linux-gnu/libsample.so.1.0": debs.elf(soname="libsample.so.1"),
    }
    for name, content in binaries.items():
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (tree / "usr/lib/x86_64-linux-gnu/libsample.so.1").symlink_to("libsample.so.1.0")
    (tree / "usr/bin/link").hardlink_to(tree / "usr/bin/sample")
    for name in ("DEBIAN/postinst", "etc/init.d/sample", "usr/bin/script", "usr/bin/sample"):
        (tree / name).chmod(0o755)
    made = []
    for codec in ("none", "gzip", "xz", "zstd"):
        out = folder / f"{codec}.deb"
        command = ["dpkg-deb", "--root-owner-group", f"-Z{codec}", "-b", str(tree), str(out)]
        done = subprocess.run(command, check=False, capture_output=True)
        if done.returncode == 0:  # a dpkg may not know zstd
            made.append(out)
    shutil.rmtree(tree)
    made.append(debs.mkdeb(folder / "mkdeb.deb"))
    small = (
        "pax",
        "sparse",
        "links",
        "escapes",
        "names-not-utf8",
        "after-the-end",
        "elves",
        "line-breaks",
    )
    made += hostile.write(folder, *small).values()
    return [path for path in made if path.stat().st_size <= _SMALL or path.name == "mkdeb.deb"]


_SERVICE = b"""[Unit]
Description=sample
[Service]
Type=notify
ExecStart=/usr/sbin/sampled -f /etc/sample.conf
[Install]
WantedBy=multi-user.target
"""
_INIT = b"""#!/bin/sh
### BEGIN INIT INFO
# Provides: sample
# Required-Start: $remote_fs
# Required-Stop: $remote_fs
# Default-Start: 2 3 4 5
# Default-Stop: 0 1 6
### END INIT INFO
. /lib/lsb/init-functions
"""
_LIBRARY = debs.elf(["libc.so.6"], soname="libsample.so.1")
_SMALL_ONES: dict[str, tuple[list[debs.Item], dict[str, bytes]]] = {
    "library": (
        [
            debs.Item("./usr/lib/x86_64-linux-gnu/libsample.so.1.0", _LIBRARY),
            debs.symlink("./usr/lib/x86_64-linux-gnu/libsample.so.1", "libsample.so.1.0"),
            debs.Item("./usr/bin/sample", debs.elf(["libsample.so.1"], program=True), mode=0o755),
            debs.hardlink("./usr/bin/other", "./usr/bin/sample"),
        ],
        {"shlibs": b"libsample 1 sample\n", "triggers": b"activate-noawait ldconfig\n"},
    ),
    "service": (
        [
            debs.Item("./lib/systemd/system/sample.service", _SERVICE),
            debs.Item("./etc/init.d/sample", _INIT, mode=0o755),
            debs.Item("./etc/sample.conf", b"a = b\n"),
            debs.folder("./run/sample/"),
        ],
        {"conffiles": b"/etc/sample.conf\n", "postinst": b"#!/bin/sh\nset -e\n#DEBHELPER#\n"},
    ),
    "python": (
        [
            debs.Item("./usr/bin/sample", b"#!/usr/bin/env python3\nimport sample\n", mode=0o755),
            debs.Item("./usr/lib/python3.11/site-packages/sample/__init__.py", b"A = 1\n"),
        ],
        {"prerm": b"#!/bin/sh\nset -e\nif which py3clean; then py3clean -p sample; fi\n"},
    ),
    "documents": (
        [
            debs.Item("./usr/share/man/man8/sample.8", b'.TH SAMPLE 8\n.SH NAME\nsample \\- "x"\n'),
            debs.Item("./usr/share/doc/sample/copyright", b"Copyright 2024 Some One\n"),
            debs.Item("./usr/share/doc/sample/changelog", b"sample (1.0) unstable\n" * 300),
            debs.Item("./usr/share/doc/sample/a b", b"x\n", uid=1000, gid=1000),
        ],
        {"md5sums": b"d41d8cd98f00b204e9800998ecf8427e  usr/share/doc/sample/copyright\n"},
    ),
    "kernel": (
        [
            debs.Item("./boot/vmlinuz-6.1.0", b"MZ" + bytes(510)),
            debs.Item("./boot/config-6.1.0", b"CONFIG_XEN_DOM0=y\n# CONFIG_XEN_PVH is not set\n"),
            debs.Item("./lib/modules/6.1.0/kernel/x.ko", debs.elf(machine=62, symbols=True)),
            debs.symlink("./lib/modules/6.1.0/build", "/usr/src/linux-6.1.0"),
        ],
        {"postinst": b"#!/bin/sh\nset -e\nrun-parts --arg=6.1.0 /etc/kernel/postinst.d\n"},
    ),
    "links": (
        [
            debs.symlink("./usr/lib/a", "b"),
            debs.symlink("./usr/lib/b", "a"),
            debs.symlink("./usr/lib/c", "/etc/alternatives/c"),
            debs.symlink("./usr/lib/d", "../../../../../etc/passwd"),
        ],
        {},
    ),
    "empty": ([], {}),
}


def small(folder: Path) -> list[Path]:
    """Packages of a few members each, and the same bytes everywhere."""
    fields = {
        "Section": "admin",
        "Priority": "optional",
        "Depends": "libc6 (>= 2.36), some | other (<< 3)",
    }
    made = [
        debs.make(folder / f"{name}.deb", items, control=fields, files=files, control_codec="none")
        for name, (items, files) in _SMALL_ONES.items()
    ]
    made += hostile.write(folder, "escapes", "names-not-utf8", "line-breaks").values()
    return made
