# SPDX-License-Identifier: GPL-2.0-or-later
"""An archive whose key has expired, bootstrapped for real.

Its packages are those of the box's own mirror, indexed anew and signed by a key that was made
for the test and has expired.
"""

from __future__ import annotations

import bz2
import re
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote

import pytest

from builders import ROOT
from builders.errors import BuildError, Exit
from builders.ground.engine import connection
from builders.ground.engine.step import Step
from builders.ground.sources.cache import Cache
from builders.ground.suite import archive, image
from builders.pipeline.recipe import load
from builders.pipeline.run import Run
from builders.progress import Silent
from tests.engine.suites import download, index, needs_debian, package
from tests.unit.archives import Keys, release
from tests.unit.servers import Behaviour, Exchange, Site, folder, serve

pytestmark = needs_debian
DISTS = "/dists/gone"
LIST = "main/binary-amd64/Packages"


class Gone:
    """A suite called gone: its index, and the key that signed it."""

    def __init__(self, packages: bytes, keys: Keys, site: Site) -> None:
        self.packages, self.keys, self.site = packages, keys, site
        self.key = keys.make("gone", "20100101", "2013-01-01")
        self.keyring = keys.keyring(keys.home / "keyring.gpg", self.key)
        keys.home.chmod(0o711)  # apt reads it as another user
        self.publish()

    def publish(self) -> None:
        """Sign and serve it as it was in its time."""
        lists = {LIST: self.packages, f"{LIST}.bz2": bz2.compress(self.packages)}
        lists |= {"main/source/Sources": b""}
        content = release(lists, "gone")
        signed = {"Release": content, "Release.gpg": self.keys.sign(self.key, content, "20120601")}
        for path, data in {**lists, **signed}.items():
            self.site.pages[f"{DISTS}/{path}"] = serve(data)

    def run(self, folder: Path) -> Run:
        """A run of a recipe for this suite, with a cache of its own."""
        text = f"""
            include = ["{ROOT}/configs/recipes/xen-4.17-bookworm.toml"]
            [suite]
            name = "gone"
            mirror = "{self.site.root}"
            pockets = []
            keyring = "{self.keyring}"
            signed_by = ["{self.key}"]
            """
        (folder / "gone.toml").write_text(re.sub(r"(?m)^ +", "", text))
        recipe = load(str(folder / "gone.toml"))
        return Run(recipe, Silent(), folder / "artifacts", Cache(folder / "cache"))


@pytest.fixture(scope="session")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages of a minimal root, from the box's mirror, and one more of our own."""
    here = tmp_path_factory.mktemp("pool")
    download(here / "pool", here / "apt")
    package(here / "pool", "extra", "99")
    return here / "pool"


@pytest.fixture(scope="session")
def packages(pool: Path) -> bytes:
    """The index of the pool."""
    scanned = index(pool)
    assert b"Package: apt\n" in scanned
    assert b"Priority: required\n" in scanned
    return scanned


@pytest.fixture
def gone(pool: Path, packages: bytes) -> Iterator[Gone]:
    with Site(_served(pool)) as site, Keys() as keys:
        yield Gone(packages, keys, site)
    client = connection.connect(Silent())
    for found in client.images.list():
        for tag in found.tags:
            if tag.startswith("dom0-debs/root-gone:"):
                client.images.remove(tag)


def _served(pool: Path) -> Behaviour:
    files = folder(pool)

    def behave(exchange: Exchange) -> None:
        exchange.path = unquote(exchange.path.removeprefix("/pool"))
        files(exchange)

    return behave


def test_a_suite_whose_key_has_expired(gone: Gone, tmp_path: Path) -> None:
    run = gone.run(tmp_path)

    root = image.clean_root(run)

    with Step(run, "look", root, root=True) as step:
        assert "trusted" not in step.output("cat /etc/apt/sources.list")
        assert "mmdebstrap" not in step.output("ls /etc/apt/apt.conf.d")
        # Without the lists apt has nothing; with them it trusts them; and it would not without
        # the signature that the box has verified.
        install = "apt-get install --yes --print-uris extra"
        assert "Unable to locate package extra" in step.output(f"{install} || true")
        archive.provide(run, step.container)
        said = step.output(install)
        assert "extra_99_all.deb" in said
        assert "cannot be authenticated" not in said
        step.output("rm /var/lib/apt/lists/*.gpg")
        assert "--allow-unauthenticated" in step.output("apt-get install --yes extra || true")


def test_without_that_verification_mmdebstrap_refuses_it(gone: Gone, tmp_path: Path) -> None:
    # The control: it is the box's verification that lets the suite in.
    done = subprocess.run(
        [
            *("mmdebstrap", "--variant=minbase", "--format=null", f"--keyring={gone.keyring}"),
            *("gone", "-", f"deb {gone.site.root} gone main"),
        ],
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert done.returncode
    assert b"EXPKEYSIG" in done.stderr, done.stderr
    assert not _asked(gone, "/pool/")


@pytest.mark.parametrize("what", ["Release", "Packages", "Release.gpg"])
def test_a_changed_archive_is_refused_before_anything_is_installed(
    gone: Gone, tmp_path: Path, what: str
) -> None:
    run = gone.run(tmp_path)
    changed = gone.packages.replace(b"Package: extra", b"Package: other")
    assert changed != gone.packages
    pages = gone.site.pages
    if what == "Release":
        pages[f"{DISTS}/Release"] = serve(release({LIST: changed}, "gone"))
        pages[f"{DISTS}/{LIST}"] = serve(changed)
    elif what == "Packages":
        pages[f"{DISTS}/{LIST}"] = serve(changed)
        pages[f"{DISTS}/{LIST}.bz2"] = serve(bz2.compress(changed))
    else:
        pages[f"{DISTS}/Release.gpg"] = serve(b"")

    with pytest.raises(BuildError) as caught:
        image.clean_root(run)

    assert caught.value.exit == Exit.SOURCE
    assert not _asked(gone, "/pool/")
    assert not _rooted(run)


def test_a_changed_package_is_not_installed(gone: Gone, tmp_path: Path) -> None:
    run = gone.run(tmp_path)
    dash = re.search(rb"Filename: (pool/dash_.*)\nSize: (\d+)", gone.packages)
    assert dash
    changed = b"!<arch>\n".ljust(int(dash[2]), b"x")
    gone.site.pages[f"/{dash[1].decode()}"] = serve(changed)

    with pytest.raises(BuildError) as caught:
        image.clean_root(run)

    assert caught.value.exit == Exit.ENGINE
    assert caught.value.log
    assert "Hash Sum mismatch" in caught.value.log.read_text()
    assert not _rooted(run)


# Its root on the box. The mark lies in a folder that only the box's own root can write.
EVIL = """\
#!/bin/sh
cat /proc/self/uid_map >/etc/evil-uids
tr '\\0' '\\n' </proc/self/environ >/etc/evil-environment
cat >/tmp/evil.pl <<'END'
mkdir "out"; chroot "out"; chdir ".." for 1 .. 64; chroot ".";
open F, ">", "MARK" and print F "from a postinst";
system "mount -t tmpfs none ./out && cp /bin/true MARK.mounted";
open F, ">", "/proc/sysrq-trigger" and print F "h" and open F, ">", "MARK.sysrq";
open F, ">", "/proc/sys/kernel/core_pattern" and print F "|MARK" and open F, ">", "MARK.core";
END
cd /tmp && perl /tmp/evil.pl || true
rm -rf /tmp/evil.pl /tmp/out
"""


def test_what_a_suite_installs_is_never_root_on_the_box(
    gone: Gone, pool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A suite whose own, well signed Essential package tries to leave the chroot."""
    monkeypatch.setenv("DOM0_DEBS_SIGN_KEY", "a secret of the box")
    secret = tmp_path / "root-only"
    secret.mkdir(mode=0o700)
    script = EVIL.replace("MARK", str(secret / "mark"))
    fields = "Essential: yes\nPriority: required\n"
    made = package(pool, "evil", "1", fields=fields, postinst=script)
    pattern = Path("/proc/sys/kernel/core_pattern").read_text()
    try:
        gone.packages = index(pool)
        gone.publish()
        root = image.clean_root(run := gone.run(tmp_path))
    finally:
        made.unlink()
        written = Path("/proc/sys/kernel/core_pattern")
        if written.read_text() != pattern:
            written.write_text(pattern)
    assert list(secret.iterdir()) == []
    with Step(run, "look", root, root=True) as step:
        first, outside, count = step.output("cat /etc/evil-uids").split()
        said = step.output("cat /etc/evil-environment")
    assert (first, int(outside) > 0, int(count) <= 65536) == ("0", True, True)
    assert "secret" not in said


def _asked(gone: Gone, prefix: str) -> list[str]:
    return [r.path for r in gone.site.requests if r.path.startswith(prefix)]


def _rooted(run: Run) -> bool:
    """Whether the suite's root is in the engine."""
    tag = f"dom0-debs/root-gone:{image.root_key(run.recipe.suite)}"
    with suppress(BuildError):
        return image.exists(run.client, tag)
    return False
