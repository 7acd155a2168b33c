# SPDX-License-Identifier: GPL-2.0-or-later
"""A small recipe on the real builder image, and engines of the tests' own."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import shutil
import signal
import socket
import subprocess
import tarfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from builders import ROOT
from builders.ground.engine import connection
from builders.ground.sources.cache import Cache
from builders.pipeline.recipe import load
from builders.pipeline.run import Run
from builders.progress import Silent
from builders.verbs import builds
from tests.engine.oci import RealRegistry

# The sources are the tests' own and tiny, so that each test takes seconds: what they exercise
# is the pipeline. tests/build builds the real ones.
SERVICES = load("xen-4.17-bookworm").finish["xen"].services  # they have to be in the package
XEN_MAKEFILE = f"""
INITS = {" ".join(name for name, word in SERVICES.items() if word == "sysv")}
UNITS = {" ".join(name for name, word in SERVICES.items() if word != "sysv")}
"""
XEN_MAKEFILE += """
debball:
\tmkdir -p dist/deb/DEBIAN dist/deb/boot dist/deb/etc/xen dist/deb/usr/bin
\tmkdir -p dist/deb/etc/init.d dist/deb/lib/systemd/system
\tfor name in $(INITS); do echo '#!/bin/sh' >dist/deb/etc/init.d/$$name; done
\tfor name in $(UNITS); do echo '[Unit]' >dist/deb/lib/systemd/system/$$name.service; done
\tgcc -o dist/deb/usr/bin/xl xl.c -lz
\tdate -u -d "@$$SOURCE_DATE_EPOCH" >dist/deb/etc/xen/xl.conf
\techo xen >dist/deb/boot/xen-9.9.1.gz
\tln -s xen-9.9.1.gz dist/deb/boot/xen.gz
\tprintf 'Package: xen-upstream\\nVersion: 9.9.1\\nArchitecture: amd64\\n' >dist/deb/DEBIAN/control
\tprintf 'Maintainer: Unmaintained snapshot\\nSection: admin\\nDescription: x\\n y\\n' \
>>dist/deb/DEBIAN/control
\tchmod -R u=rwX,go=rX dist/deb
\tfakeroot dpkg-deb -z0 --build dist/deb dist/xen-upstream-9.9.1.deb
"""
XL_SOURCE = """
#include <zlib.h>
int main(void) { return zlibVersion()[0] == 0; }
"""
KERNEL_MAKEFILE = """
allnoconfig:
\techo '# nothing' >.config
olddefconfig:
\tgrep -v DROPPED .config >.config.new; mv .config.new .config
bindeb-pkg:
\tmkdir -p deb/DEBIAN deb/boot
\tcp .config deb/boot/config-6.9.1$(LOCALVERSION)
\techo kernel >deb/boot/vmlinuz-6.9.1$(LOCALVERSION)
\tprintf 'Package: linux-image-6.9.1$(LOCALVERSION)\\nVersion: 6.9.1-1\\nArchitecture: amd64\\n' \
>deb/DEBIAN/control
\tprintf 'Maintainer: builder <b@b>\\nDescription: x\\n y\\n' >>deb/DEBIAN/control
\tchmod -R u=rwX,go=rX deb
\tfakeroot dpkg-deb -z0 --build deb ../linux-image-6.9.1$(LOCALVERSION)_6.9.1-1_amd64.deb
"""


def tarball(path: Path, files: Mapping[str, str]) -> str:
    """Write a tarball of `files` below one folder; its sha256."""
    with gzip.GzipFile(path, "w", mtime=0) as out, tarfile.open(fileobj=out, mode="w") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(f"tree/{name}")
            info.size, info.mtime = len(text.encode()), 1_600_000_000
            tar.addfile(info, io.BytesIO(text.encode()))
    return hashlib.sha256(path.read_bytes()).hexdigest()


FILES = "allow_file=true"  # the tiny recipes take their sources from this box


class Box:
    """A folder with a recipe, tiny sources, artifacts and a cache of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.recipe = folder / "tiny.toml"
        self.artifacts = folder / "artifacts"
        self.xen = {"Makefile": XEN_MAKEFILE, "xl.c": XL_SOURCE}
        self.kernel = {"Makefile": KERNEL_MAKEFILE}
        self.extra = ""
        self.xen_build = "make debball"
        self.kernel_build = "make bindeb-pkg"

    def write(self) -> None:
        """Write the recipe and its sources as they are said to be now."""
        lines = [f'include = ["{ROOT}/configs/recipes/xen-4.17-bookworm.toml"]']
        for name, files in {"xen": self.xen, "linux": self.kernel}.items():
            path = self.folder / f"{name}.tar.gz"
            digest = tarball(path, files)
            lines += [f"[sources.{name}-tree]", 'kind = "url"', f'urls = ["file://{path}"]']
            lines += [f'sha256 = "{digest}"']
        lines += ["[xen]", 'source = "xen-tree"', 'patches = ""', "configure = []"]
        lines += [f"build = ['''{self.xen_build}''']"]
        lines += ["[kernel]", 'source = "linux-tree"', f"build = ['''{self.kernel_build}''']"]
        lines += ['config = "linux-tree"']  # of no meaning in the minimal flavour
        # The passages of the real init scripts; the tiny one has none of them.
        lines += ["[finish.xen]", "replace = []"]
        self.recipe.write_text("\n".join(lines) + "\n" + self.extra)

    def run(self) -> Run:
        """A run of the recipe."""
        recipe = load(str(self.recipe), [FILES])
        return Run(recipe, Silent(), self.artifacts / "tiny", Cache(self.folder / "cache"))

    def environment(self, **more: str) -> dict[str, str]:
        """The environment in which the tool itself works in this folder."""
        return {
            **os.environ,
            "DOM0_DEBS_ARTIFACTS": str(self.artifacts),
            "XDG_CACHE_HOME": str(self.folder / "xdg"),
            **more,
        }

    def tool(self, *arguments: str, **more: str) -> subprocess.Popen[str]:
        """The tool as a person starts it."""
        return subprocess.Popen(
            [str(ROOT / "inv"), *arguments, "--recipe", str(self.recipe), "--set", FILES],
            env=self.environment(**more),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run_tool(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The tool on the box's recipe, with these arguments alone; waits for its end."""
        return subprocess.run(
            [str(ROOT / "inv"), *arguments, "--recipe", str(self.recipe)],
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )


@pytest.fixture(scope="session")
def builder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The builder image of the bookworm recipe, which the tiny recipes share."""
    folder = tmp_path_factory.mktemp("builder")
    run = Run(load("xen-4.17-bookworm"), Silent(), folder, Cache.default())
    return builds.make_image(run).name


@pytest.fixture
def box(tmp_path: Path, builder: str) -> Box:
    """A box with the tiny recipe, written."""
    assert builder
    made = Box(tmp_path)
    made.write()
    return made


@pytest.fixture
def containers(box: Box) -> Callable[[], list[str]]:
    """The containers, running or not, that belong to the box's recipe."""
    client = connection.connect(Silent())

    def listed() -> list[str]:
        found = client.containers.list(
            all=True,
            filters={"label": f"org.dom0-debs.owner={box.run().owner}"},
            ignore_removed=True,
        )
        return [f"{c.name} {c.status}" for c in found]

    return listed


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[RealRegistry]:
    """An empty registry."""
    made = RealRegistry(tmp_path / "registry")
    made.start()
    yield made
    made.kill()


@pytest.fixture(scope="session")
def bridge() -> Iterator[str]:
    """A network bridge for engines of the tests' own.

    With --bridge=none a dockerd takes the bridge of the box's own engine away.
    """
    name = f"dom0t{os.getpid()}"
    subprocess.run(["ip", "link", "add", name, "type", "bridge"], check=True)
    subprocess.run(["ip", "addr", "add", "192.168.231.1/24", "dev", name], check=True)
    yield name
    subprocess.run(["ip", "link", "del", name], check=True)


class Daemon:
    """A dockerd of the tests' own, on a loopback TCP socket."""

    def __init__(self, folder: Path, bridge: str) -> None:
        self._bridge = bridge
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.host = f"tcp://127.0.0.1:{self.port}"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        folder = self._folder
        log = (folder / "log").open("ab")
        self._process = subprocess.Popen(
            [
                *("dockerd", "-H", self.host, "--tls=false", "--iptables=false"),
                f"--bridge={self._bridge}",
                *(f"--data-root={folder}/data", f"--exec-root={folder}/exec"),
                f"--pidfile={folder}/pid",
            ],
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/_ping", timeout=5):
                    return
            except OSError:
                time.sleep(0.1)
        pytest.fail(f"the second dockerd did not start: {(folder / 'log').read_text()[-2000:]}")

    def kill(self) -> None:
        """End it as a crash would, with all that it started."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        # Where nobody reaps orphans, a dead containerd looks alive to the next dockerd.
        for left in (self._folder / "exec" / "containerd").glob("containerd.*"):
            if left.suffix in {".pid", ".sock"}:
                left.unlink()

    def stop(self) -> None:
        """End it in good order."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(60)


@pytest.fixture(scope="session")
def second(builder: str, bridge: str) -> Iterator[Daemon]:
    """A second engine that has the builder image."""
    # Not pytest's folder: its name is too long for the sockets of containerd.
    folder = Path("/tmp") / f"dom0-debs-second-{os.getpid()}"  # noqa: S108
    folder.mkdir(mode=0o700)
    daemon = Daemon(folder, bridge)
    try:
        daemon.start()
        here, there = connection.connect(Silent()), _client(daemon.host)
        there.images.load(here.images.get(builder).save(named=builder))  # type: ignore[attr-defined]
        yield daemon
    finally:
        daemon.stop()
        left = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for mount in [m for m in reversed(left) if m.startswith(str(folder))]:
            subprocess.run(["umount", mount], check=False)
        shutil.rmtree(folder, ignore_errors=True)


def _client(host: str) -> object:
    import docker

    return docker.DockerClient(base_url=host, timeout=600)
