# SPDX-License-Identifier: GPL-2.0-or-later
"""Work of the tool with all that it works on: for `kills`."""

from __future__ import annotations

import hashlib
import random
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from builders import ROOT
from builders.ground.engine.labels import LABEL
from builders.ground.sources.cache import Cache
from builders.pipeline.recipe import load
from builders.pipeline.run import Run
from builders.progress import Silent
from builders.release import verify
from builders.verbs import builds
from tests.engine.conftest import FILES
from tests.engine.conftest import Box as Tiny
from tests.engine.rehearsal import repository
from tests.engine.suites import index, package
from tests.fuzz.kills import PATIENCE, Work
from tests.unit import debs
from tests.unit.archives import Keys, packed, release
from tests.unit.releases import RECIPE, Box, Keyring, keyring
from tests.unit.servers import Site, folder, serve

PAUSE = 0.08  # seconds before each 64 KiB that is served
SIZES = {"tarball": 900_000, "patches": 300_000}  # bytes of the files that are fetched
PROGRAMS = 3_000_000  # bytes in a package that is read
CACHE = "cache/dom0-debs"  # of the sources, below a box
MANY = 3_000  # small files below the artifacts that are removed
RULES = """\
revision = "+1"
section = "admin"
remove = ["/usr/share/sample/part-1*"]
compression = "xz"
"""


def _noise(size: int, seed: int) -> bytes:
    """Bytes that hardly compress, the same each time."""
    return random.Random(seed).randbytes(size)  # noqa: S311 - only has to vary


# -- fetch ----------------------------------------------------------------------------


@contextmanager
def _fetch(place: Path) -> Iterator[Work]:
    """Two files, a git repository and a package of a suite, all served slowly."""
    served, base, box = place / "served", place / "base", place / "box"
    commit = repository(served / "bios.git")
    pool = served / "debian" / "pool"
    pool.mkdir(parents=True)
    package(pool, "linux-config-6.1", "6.1.9-1", {"/usr/src/config": b"CONFIG_XEN=y\n"})
    lists = packed({"main/binary-amd64/Packages": index(pool), "main/source/Sources": b""})
    with Keys() as keys, Site(folder(served, pause=PAUSE)) as site:
        key = keys.make("Archive", "20200101")
        stated = release(lists, "bookworm")
        suite = served / "debian" / "dists" / "bookworm"
        signed = keys.gpg("--clear-sign", "--local-user", key, at="20200601", given=stated)
        for path, content in {**lists, "InRelease": signed}.items():
            (suite / path).parent.mkdir(parents=True, exist_ok=True)
            (suite / path).write_bytes(content)
        lines = [f'include = ["{ROOT}/configs/recipes/{RECIPE}.toml"]']
        lines += ["[suite]", f'mirror = "{site.root}/debian"', "pockets = []"]
        lines += [f'keyring = "{keys.keyring(served / "keys.gpg", key)}"']
        lines += ["[sources.bios]", 'kind = "git"', f'urls = ["{site.root}/bios.git"]']
        lines += [f'commit = "{commit}"']
        for name, size in SIZES.items():
            data = _noise(size, size)
            site.pages[f"/{name}.tar"] = serve(data, pause=PAUSE)
            lines += [f"[sources.{name}]", 'kind = "url"', f'urls = ["{site.root}/{name}.tar"]']
            lines += [f'sha256 = "{hashlib.sha256(data).hexdigest()}"']
        lines += ["[xen]", 'source = "tarball"', 'patches = ""']
        lines += ["[xen.place]", '"patches.tar" = "patches"', '"bios.tar" = "bios"']
        lines += ["[kernel]", 'source = "tarball"']
        base.mkdir()
        (base / "slow.toml").write_text("\n".join(lines) + "\n")
        yield Work("fetch", ["fetch", "--recipe", str(box / "slow.toml")], base, box)


# -- packages -------------------------------------------------------------------------


def _packages(into: Path, count: int, size: int) -> list[str]:
    """Packages of `size` bytes that take a while to read and to pack; their names."""
    into.mkdir(parents=True)
    names = []
    for n in range(count):
        parts = [_noise(size // 40, 100 * n + part) * 2 for part in range(20)]
        items = [
            debs.Item(f"./usr/share/sample/part-{part}", content)
            for part, content in enumerate(parts)
        ]
        items.append(debs.Item("./usr/bin/sample", debs.elf(["libc.so.6"], program=True)))
        names.append(f"sample{n}.deb")
        debs.make(into / names[-1], items, control={"Package": f"sample{n}"}, codec="xz")
    return names


@contextmanager
def _finish(place: Path) -> Iterator[Work]:
    base = place / "base"
    names = _packages(base, 2, PROGRAMS // 3)
    (base / "rules.toml").write_text(RULES)
    words = ["finish", *names, "--rules", "rules.toml", "--out", "corrected"]
    yield Work("finish", words, base, place / "box")


@contextmanager
def _inspect(place: Path) -> Iterator[Work]:
    base = place / "base"
    names = _packages(base, 4, PROGRAMS)
    words = ["inspect", *names, "--suite", "bookworm", "--format", "json"]
    yield Work("inspect", words, base, place / "box", says=True)


# -- releases -------------------------------------------------------------------------


def _built(base: Path) -> Box:
    """A build of Xen and one of a kernel, as a run leaves them."""
    base.mkdir()
    built = Box(base, CACHE)
    built.build(content=_noise(PROGRAMS // 2, 1))
    built.build("kernel-minimal", "6.1.192-1+dom0.1", content=_noise(PROGRAMS // 2, 2))
    return built


@contextmanager
def _release(place: Path) -> Iterator[Work]:
    """A release of a newer build in place of one that is there, by a key of the user's keyring.

    The clock of its gpg stands still, and signatures of such a key differ by their time alone.
    """
    with keyring() as keys:
        key = keys.make("Alice <alice@example.org>")
        stopped = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
        (keys.home / "gpg.conf").write_text(f"faked-system-time {stopped}!\n")
        with _released(place, keys, key) as work:
            work.name = "release"
            yield work


@contextmanager
def _release_by_file(place: Path) -> Iterator[Work]:
    """The same by a key in a file, with a keyring and an agent of the tool's own."""
    with keyring() as keys:
        key = keys.export(keys.make("Alice <alice@example.org>"), place / "key.asc", secret=True)
        with _released(place, keys, str(key)) as work:
            work.name = "release, key in a file"
            work.varying = ("InRelease", "Release.gpg", "SHA256SUMS", "SHA256SUMS.asc")
            yield work


@contextmanager
def _released(place: Path, keys: Keyring, key: str) -> Iterator[Work]:
    base, box = place / "base", place / "box"
    built = _built(base)
    words = ["release", "--recipe", RECIPE, "--sign-key", key, "--url", "file:/srv/xen"]

    def unsound() -> list[str]:
        made = box / "artifacts" / RECIPE / "release"
        return [f"{p.file}: {p.why}" for p in verify.verify(made, Silent(), None).problems]

    work = Work("", words, base, box, {"GNUPGHOME": str(keys.home)}, wrong=unsound)
    work.reset()
    assert work.start(place / "said").wait(PATIENCE) == 0, (place / "said.err").read_text()
    shutil.rmtree(base)
    box.rename(base)
    built.build(version="4.17.6+dom0.1", content=_noise(PROGRAMS // 2, 3))
    yield work


# -- what is removed ------------------------------------------------------------------


@contextmanager
def _clean(place: Path) -> Iterator[Work]:
    base = place / "base"
    built = _built(base)
    logs = built.folder / "logs"
    logs.mkdir()
    for n in range(MANY):
        (logs / f"{n}.log").write_bytes(bytes(4096))
    (base / "artifacts" / f".{RECIPE}.lock").touch()
    yield Work("clean", ["clean", "--recipe", RECIPE, "--cache"], base, place / "box")


# -- builds ---------------------------------------------------------------------------


@contextmanager
def _build(place: Path) -> Iterator[Work]:
    """Xen and a kernel of the tests' own, in the builder image of bookworm."""
    base, box = place / "base", place / "box"
    run = Run(load(RECIPE), Silent(), place / "image", Cache.default())
    builds.make_image(run)
    box.mkdir()
    tiny = Tiny(box)
    tiny.write()
    Cache(box / CACHE).identity()  # whose the ccache is, so that all series have one
    built = tiny.run()
    words = ["build-all", "--flavour", "minimal", "--recipe", str(tiny.recipe), "--set", FILES]

    def left() -> list[str]:
        owner = f"{LABEL}.owner={built.owner}"
        held = run.client.containers.list(all=True, filters={"label": owner}, ignore_removed=True)
        slots = run.client.volumes.list(filters={"label": [owner, f"{LABEL}.role=slots"]})
        names = [one.name for one in held] + [one.name for one in slots]
        return [f"in the engine: {name}" for name in names]

    work = Work("build-all", words, base, box, wrong=left)
    before = {volume.name for volume in run.client.volumes.list()}
    box.rename(base)
    try:
        yield work
    finally:
        for volume in run.client.volumes.list(filters={"name": "dom0-debs-"}):
            if volume.name not in before:
                volume.remove()


@contextmanager
def _finish_built(place: Path) -> Iterator[Work]:
    """Packages that were built, corrected anew by another version of the recipe."""
    with _build(place) as built:
        built.reset()
        assert built.start(place / "said").wait(PATIENCE) == 0, (place / "said.err").read_text()
        with (built.box / "tiny.toml").open("a") as recipe:
            recipe.write('revision = "+dom0.2"\n')
        shutil.rmtree(built.base)
        built.box.rename(built.base)
        yield replace(built, name="finish, built", words=["finish", *built.words[1:]])


KINDS: Mapping[str, Callable[[Path], AbstractContextManager[Work]]] = {
    "fetch": _fetch,
    "finish": _finish,
    "inspect": _inspect,
    "release": _release,
    "release, key in a file": _release_by_file,
    "clean": _clean,
    "build-all": _build,
    "finish, built": _finish_built,
}


@contextmanager
def made(place: Path, names: Iterable[str]) -> Iterator[list[Work]]:
    """The works of these names, each in a folder of its own below `place`."""
    with ExitStack() as stack:
        works = []
        for n, name in enumerate(names):
            (place / str(n)).mkdir()
            works.append(stack.enter_context(KINDS[name](place / str(n))))
        yield works
