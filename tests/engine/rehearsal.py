# SPDX-License-Identifier: GPL-2.0-or-later
"""The reference recipe's world on this machine: an archive called wheezy, and download sites.

The archive is served on this machine's address on the engine's bridge, and on no other: the
containers that run apt are on that bridge, and have a loopback interface of their own. Everything
else is fetched by the box, from 127.0.0.1.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import os
import subprocess
import tarfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import docker.errors

from builders import ROOT
from builders.ground.engine import connection
from builders.ground.suite import image
from builders.pipeline.recipe import DEFAULT, GitSource, Recipe, UrlSource, load
from builders.progress import Silent
from tests.engine import oldtools
from tests.engine.suites import download, index, package
from tests.unit.archives import Keys, packed, release
from tests.unit.servers import Site

FIXTURES = ROOT / "tests" / "fixtures" / "rehearsal"
MADE = 1_350_000_000  # seconds since the epoch: autumn 2012
OLD_TOOLS = ("objcopy", "strip", "dpkg-shlibdeps")  # found before the suite's, and less able
OLD_KERNEL, KERNEL = "3.2.96-2", "3.2.102-1"  # in the suite itself, and in its security pocket

# Source packages of the suite: only their build dependencies are read.
SOURCES = b"""\
Package: xen
Binary: xen-hypervisor
Version: 4.1.4-1
Architecture: any
Format: 3.0 (quilt)
Directory: pool
Build-Depends: libaio-dev
Files:

Package: linux-latest
Binary: linux-image-amd64
Version: 46
Architecture: any
Format: 3.0 (native)
Directory: pool
Build-Depends: bc
Files:

"""


# -- the archive ----------------------------------------------------------------------


class _Server(ThreadingHTTPServer):
    """A server that lets a busy apt wait instead of turning it away."""

    request_queue_size = 128


class Archive:
    """A folder served on the engine's bridge, to this machine and the containers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[str] = []
        handler = partial(_handler(self.asked), directory=str(folder))
        self._server = _Server((gateway(), 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def address(self) -> str:
        """Host of the server."""
        return str(self._server.server_address[0])

    @property
    def root(self) -> str:
        """Address of the folder."""
        return f"http://{self.address}:{self._server.server_address[1]}"

    def __enter__(self) -> Archive:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _handler(asked: list[str]) -> type[SimpleHTTPRequestHandler]:
    class Handler(SimpleHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked.append(unquote(self.path))
            super().do_GET()

        def log_message(self, format: str, *args: Any) -> None:
            """Keep quiet."""

    return Handler


def gateway() -> str:
    """This machine's address on the bridge that the engine's containers are on."""
    bridge = connection.connect(Silent()).networks.get("bridge")
    (config, *_) = bridge.attrs["IPAM"]["Config"]
    return str(config.get("Gateway") or next(ip_network(config["Subnet"]).hosts()))


class Wheezy:
    """The suite and its security pocket in a folder: pool, lists, Release, signatures.

    fingerprints: of the two keys that sign them, both expired. keyring: a file with these and a
    third one, somebody else's.
    """

    def __init__(self, folder: Path, keys: Keys, recipe: Recipe) -> None:
        self.folder = folder
        self._keys = keys
        self._key = keys.make("Rehearsal archive", "20100101", "2013-01-01")
        self._security_key = keys.make("Rehearsal security", "20100101", "2013-01-01")
        self._other_key = keys.make("Somebody else", "20100101", "2013-01-01")
        self.fingerprints = [self._key, self._security_key]
        every = [*self.fingerprints, self._other_key]
        self.keyring = keys.keyring(keys.home / "keyring.gpg", *every)
        keys.home.chmod(0o711)  # apt reads it as another user
        self._fill(recipe)
        self.main = packed({"main/binary-amd64/Packages": index(folder / "debian" / "pool")})
        self.main |= packed({"main/source/Sources": SOURCES})
        self.security = packed(
            {"main/binary-amd64/Packages": index(folder / "debian-security" / "pool")}
        )
        self.security |= packed({"main/source/Sources": b""})
        self.publish()

    def _fill(self, recipe: Recipe) -> None:
        pool, security = (self.folder / f / "pool" for f in ("debian", "debian-security"))
        # kernel-package is in no suite any more.
        wanted = [name for name in recipe.builder.packages if name != "kernel-package"]
        state = self.folder.parent / f"{self.folder.name}-apt"
        old = oldtools.folder()
        # The first two are what the source packages need to be built.
        download(pool, state, *wanted, "libaio-dev", "bc", *(oldtools.NEEDS if old else ()))
        if old:
            oldtools.take(pool, old)
        kpkg = FIXTURES / "kernel-package" / "make-kpkg"
        tools = {f"/usr/local/bin/{name}": FIXTURES / "old" / "tool" for name in OLD_TOOLS}
        package(pool, "kernel-package", "12.036", {"/usr/bin/make-kpkg": kpkg, **tools})
        security.mkdir(parents=True)
        config = (FIXTURES / "linux.config").read_bytes()
        for where, version in ((pool, OLD_KERNEL), (security, KERNEL)):
            tree = _tree(FIXTURES / "linux")
            makefile, mode = tree["Makefile"]
            upstream = version.partition("-")[0]
            patched = makefile.replace(b"@SUBLEVEL@", upstream.rpartition(".")[2].encode())
            tree["Makefile"] = (patched, mode)
            tar = tarball("linux-source-3.2", tree, "bz2")
            package(where, "linux-source-3.2", version, {"/usr/src/linux-source-3.2.tar.bz2": tar})
            named = config + f"CONFIG_LOCALVERSION={version}\n".encode()
            files = {"/boot/config-3.2.0-4-amd64": named}
            package(where, "linux-image-3.2.0-4-amd64", version, files, "amd64")
        if old:
            oldtools.adapt(pool)
            oldtools.adapt(security)

    def publish(
        self, prefix: str = "", *, main: Mapping[str, bytes] | None = None, stranger: bool = False
    ) -> str:
        """Write lists, Release and signatures below `prefix`; the sha256 of wheezy's Release.

        main: what is served in place of the lists that Release states. stranger: somebody else
        signs, with a key that is in the keyring too.
        """
        top = self.folder / prefix
        stated = release(self.main, "wheezy")
        for suite, key, lists, content in (
            ("debian/dists/wheezy", self._key, {**self.main, **(main or {})}, stated),
            (
                "debian-security/dists/wheezy/updates",
                self._security_key,
                self.security,
                # As that of a frozen archive states: nobody dates it anew.
                release(
                    self.security, "wheezy", **{"Valid-Until": "Sat, 07 Jul 2012 00:00:00 UTC"}
                ),
            ),
        ):
            signer = self._other_key if stranger else key
            signed = {
                "Release": content,
                "Release.gpg": self._keys.sign(signer, content, "20120601"),
            }
            for path, data in {**lists, **signed}.items():
                (top / suite / path).parent.mkdir(parents=True, exist_ok=True)
                (top / suite / path).write_bytes(data)
        for name in ("debian", "debian-security"):
            if prefix:
                (top / name / "pool").symlink_to(self.folder / name / "pool")
        return hashlib.sha256(stated).hexdigest()


# -- the download sites ---------------------------------------------------------------


def tarball(name: str, files: Mapping[str, tuple[bytes, int]], packing: str = "gz") -> bytes:
    """A tarball of `files` (content and mode) below the folder `name`."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for path, (content, mode) in sorted(files.items()):
            info = tarfile.TarInfo(f"{name}/{path}")
            info.size, info.mode, info.mtime = len(content), mode, MADE
            tar.addfile(info, io.BytesIO(content))
    made = out.getvalue()
    return bz2.compress(made) if packing == "bz2" else gzip.compress(made, mtime=0)


def _tree(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mode & 0o777)
        for path in folder.rglob("*")
        if path.is_file()
    }


def stand_ins() -> dict[str, bytes]:
    """The files of the download sites, by the name of their source in the recipe."""
    files = {"xen": tarball("xen-4.2.0", _tree(FIXTURES / "xen"))}
    files["ipxe"] = tarball("ipxe", {"src/rom": (b"the ROM of ipxe\n", 0o644)})
    for name, folder in (
        ("newlib", "newlib-1.16.0"),
        ("zlib", "zlib-1.2.3"),
        ("pciutils", "pciutils-2.2.9"),
        ("lwip", "lwip"),
        ("grub", "grub-0.97"),
    ):
        packing = "bz2" if name == "pciutils" else "gz"
        files[name] = tarball(folder, {"VERSION": (f"{name}\n".encode(), 0o644)}, packing)
    return files


SEABIOS = """\
out/bios.bin: .config
\tmkdir -p out
\tcat $< bios >$@
"""


def repository(path: Path) -> str:
    """A bare git repository at `path`, readable over plain http; the commit of its first tag."""
    work = path.with_name("work")
    commits = []
    for n, (text, tag) in enumerate((("the BIOS\n", "rel-1.6.3.2"), ("a newer BIOS\n", ""))):
        work.mkdir(parents=True, exist_ok=True)
        (work / "bios").write_text(text)
        (work / "Makefile").write_text(SEABIOS)
        if n == 0:
            _git(work, "init", "--quiet", "--initial-branch=master")
        _git(work, "add", "bios", "Makefile")
        _git(work, "commit", "--quiet", "--message", text.strip())
        commits.append(_git(work, "rev-parse", "HEAD").strip())
        if tag:
            _git(work, "tag", tag)
    path.parent.mkdir(parents=True, exist_ok=True)
    _git(work, "clone", "--quiet", "--bare", str(work), str(path))
    # All that a server without any git needs: githttp-backend's "dumb" protocol.
    _git(path, "update-server-info")
    return commits[0]


def _git(folder: Path, *arguments: str) -> str:
    date = f"{MADE} +0000"
    who = {"NAME": "a", "EMAIL": "a@b.invalid", "DATE": date}
    environment = {f"GIT_{role}_{k}": v for role in ("AUTHOR", "COMMITTER") for k, v in who.items()}
    environment |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    kept = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    return subprocess.run(
        ["git", *arguments],
        cwd=folder,
        env=kept | environment,
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def moved(url: str, site: Site) -> str:
    """Where `site` serves what `url` does."""
    parts = urlsplit(url)
    return f"{site.root}/{parts.netloc}{parts.path}"


# -- the overrides --------------------------------------------------------------------


def overrides(archive: Archive, wheezy: Wheezy, site: Site, folder: Path) -> dict[str, str]:
    """What has to be `--set` for a rehearsal, and nothing else: addresses, keys and pins.

    The stand-ins are put into `folder`, which `site` serves.
    """
    recipe = load(DEFAULT)
    fingerprints = ", ".join(f'"{one}"' for one in wheezy.fingerprints)
    sets = {
        "suite.mirror": f"{archive.root}/debian",
        "suite.security": f"{archive.root}/debian-security",
        "suite.keyring": str(wheezy.keyring),
        "suite.signed_by": f"[{fingerprints}]",
        "suite.release_sha256.wheezy": wheezy.publish(),
    }
    files = stand_ins()
    for name, source in recipe.sources.items():
        if not isinstance(source, (UrlSource, GitSource)):
            continue
        sets[f"sources.{name}.urls"] = quoted([moved(url, site) for url in source.urls])
        place = folder / moved(source.urls[0], site).removeprefix(f"{site.root}/")
        place.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(source, GitSource):
            sets[f"sources.{name}.commit"] = repository(place)
            continue
        place.write_bytes(files[name])
        sets[f"sources.{name}.sha256"] = hashlib.sha256(files[name]).hexdigest()
        if source.size is not None:
            sets[f"sources.{name}.size"] = str(len(files[name]))
    if not vsyscall():
        # The packages are bookworm's, which don't call it; doctor would rightly stop wheezy's.
        sets["suite.vsyscall"] = "false"
    return sets


def quoted(urls: list[str]) -> str:
    """A list as TOML writes it."""
    return "[" + ", ".join(f'"{url}"' for url in urls) + "]"


def vsyscall() -> bool:
    """Whether this kernel has the page that wheezy's glibc calls."""
    return "[vsyscall]" in Path("/proc/self/maps").read_text()


def images(recipe: Recipe) -> list[str]:
    """Those of the images of `recipe` that the engine has."""
    client = connection.connect(Silent())
    root = f"dom0-debs/root-{recipe.suite.name}:{image.root_key(recipe.suite)}"
    return [name for name in (image.name(recipe), root) if image.exists(client, name)]


@contextmanager
def leaving_nothing(recipe: Recipe) -> Iterator[None]:
    """Remove the images and the volumes of `recipe` afterwards."""
    client = connection.connect(Silent())
    prefix = f"dom0-debs-ccache-{recipe.suite.name}-"
    there = {str(v.name) for v in client.volumes.list()}
    try:
        yield
    finally:
        for name in images(recipe):
            client.images.remove(name)
        for volume in client.volumes.list(filters={"name": prefix}):
            if str(volume.name) not in there:
                with suppress(docker.errors.APIError):  # somebody uses it now
                    volume.remove()
