# SPDX-License-Identifier: GPL-2.0-or-later
"""Small packages that dpkg-deb itself made, for the fuzzer to break."""

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
