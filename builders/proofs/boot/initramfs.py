# SPDX-License-Identifier: GPL-2.0-or-later
"""The initramfs of the boot proof: the finished package's own tools, with the suite's libraries.

It is made in a container of the suite, so that no file of this box gets into it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from builders.errors import BuildError, Exit
from builders.ground.engine.step import Step
from builders.ground.suite import downloads, mirror
from builders.ground.suite.image import Image, update
from builders.pipeline.plan import OUT, WORK
from builders.pipeline.recipe import DebianPackage
from builders.pipeline.run import Run
from builders.pipeline.stages import Store

_NAME = "initramfs.gz"
_BUSYBOX = DebianPackage("busybox", "busybox-static", "*")
# Programs of the package, as far as the version has them, and files that they read.
_TAKEN = (
    "/usr/sbin/xl",
    "/usr/sbin/xenstored",
    "/usr/sbin/xenconsoled",
    "/usr/bin/xenstore-*",
    "/usr/lib/xen/bin/xen-init-dom0",
    "/usr/lib/xen/bin/xendomains",
    "/usr/lib/xen/bin/libxl-save-helper",
    "/usr/libexec/xen/bin/xen-init-dom0",
    "/etc/init.d/xendomains",
    "/etc/default/xendomains",
    "/etc/xen/xl.conf",
    "/etc/xen/scripts/hotplugpath.sh",
    "/etc/xen/scripts/locking.sh",
    "/etc/xen/scripts/logging.sh",
    "/etc/xen/scripts/xen-hotplug-common.sh",
)
# Of the suite, for the scripts above: they are written for more than busybox has.
_BESIDE = ("/bin/bash", "/usr/bin/rev", "/lib/lsb/init-functions")
# xend and xm of Xen before 4.5, with the suite's Python and ps(1), which /etc/init.d/xend asks.
# Python's own library is taken compiled: it is not changed, and the machine is slow.
_XEND_TAKEN = (
    "/usr/sbin/xend",
    "/usr/sbin/xm",
    "/usr/sbin/blktapctrl",  # xend starts it
    "/etc/init.d/xend",
    "/etc/xen/*.sxp",
    *(
        f"/usr/lib/python2.7/dist-packages/{'*/' * depth}*.{kind}"
        for depth in range(5)
        for kind in ("py", "so")
    ),
)
_XEND_BESIDE = (
    "/bin/ps",
    "/lib/x86_64-linux-gnu/libnss_files.so.2",  # for the user root, loaded at run time
    "/usr/bin/env",
    "/usr/bin/python2",
    "/usr/bin/python2.7",
    *(f"/usr/lib/python2.7/{'*/' * depth}*.pyc" for depth in range(3)),
    "/usr/lib/python2.7/lib-dynload/*.so",
)
_XEND_INSTALL = "apt-get install --yes --no-install-recommends procps python2.7"
_SCRIPT = Path(__file__).parent / "templates" / "initramfs.sh"


def make(run: Run, builder: Image, xen: Path, digest: str) -> Path:
    """The initramfs with the tools of the finished package `xen`, whose sha256 is `digest`.

    Kept as a stage; made where it is missing. Raises BuildError as a step does.
    """
    from builders.ground.sources.fetching import fetch_all
    from builders.ground.suite.pool import Pool

    scope = mirror.scope(run.recipe.suite)
    busybox = fetch_all(
        [_BUSYBOX],
        run.cache,
        run.reporter,
        debian=Pool(run),
        scope=scope,
        offline=run.offline,
        cancel=run.live.stopping,
    )["busybox"].files[0]
    script = _script(_TAKEN, _BESIDE)
    inputs = {
        "image": builder.fingerprint,
        "xen": digest,
        "busybox": busybox.sha256,
        "script": hashlib.sha256(script.encode()).hexdigest(),
    }
    store = Store(run.folder / "stages")
    found = store.find("initramfs", inputs)
    if found is None:
        with (
            store.make("initramfs", inputs) as making,
            Step(run, "initramfs", builder.name) as step,
        ):
            step.phase("copy", f"mkdir -p {WORK}/in")
            step.container.put(f"{WORK}/in", [("xen.deb", xen), ("busybox.deb", busybox.path)])
            step.phase("tools and libraries", script)
            step.fetch(OUT, making.folder)
        found = store.made("initramfs", inputs)
    return found.folder / _NAME


def xend(run: Run, builder: Image, xen: Path, digest: str) -> Path:
    """What dom0 needs besides that for xend and xm, as an initramfs to put behind the other one.

    Kept as a stage. Raises BuildError as a step does.
    """
    script = _script(_XEND_TAKEN, _XEND_BESIDE)
    inputs = {
        "image": builder.fingerprint,
        "xen": digest,
        "script": hashlib.sha256(f"{_XEND_INSTALL}\n{script}".encode()).hexdigest(),
    }
    store = Store(run.folder / "stages")
    found = store.find("xend", inputs)
    if found is None:
        if run.offline:
            raise BuildError(
                "the suite's Python for xend is not here yet, and the network is off",
                hint="leave --offline out",
                exit=Exit.ENGINE,
            )
        with (
            store.make("xend", inputs) as making,
            Step(run, "xend", builder.name, network=True, root=True) as step,
        ):
            update(run, step)
            hint = "xm and xend are of Xen before 4.5, and of suites with Python 2.7"
            downloads.install(run, step, "install", _XEND_INSTALL, hint=hint)
            step.phase("copy", f"mkdir -p {WORK}/in")
            step.container.put(f"{WORK}/in", [("xen.deb", xen)])
            step.phase("tools and libraries", script)
            step.fetch(OUT, making.folder)
        found = store.made("xend", inputs)
    return found.folder / _NAME


def _script(taken: Sequence[str], beside: Sequence[str]) -> str:
    # Globs are expanded by the shell, below the tree of the package.
    paths = " ".join(
        f"$(cd {WORK}/tree && ls -d .{path} 2>/dev/null | cut -c2-)" if "*" in path else path
        for path in taken
    )
    settings = f"work={WORK} out={OUT} name={_NAME} beside='{' '.join(beside)}'\n"
    return f"{settings}taken() {{ echo {paths}; }}\n{_SCRIPT.read_text(encoding='utf-8')}"
