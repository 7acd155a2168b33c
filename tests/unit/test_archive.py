# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builders.errors import BuildError, Exit, Interrupted
from builders.ground.sources import download
from builders.ground.sources.address import Patience
from builders.ground.sources.cache import Cache
from builders.ground.suite import archive
from builders.ground.suite.archive import Signature, file_name, listed, verify
from builders.pipeline import doctor
from builders.pipeline.recipe import load
from builders.pipeline.run import Run
from builders.verbs import builds
from tests.unit import samples
from tests.unit.archives import Keys, packed, release
from tests.unit.engines import Heard
from tests.unit.servers import Site, page, serve, status, unannounced

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (shutil.which("gpg") and shutil.which("gpgv")), reason="needs gpg and gpgv"
    ),
]
CONTENT = release({"main/binary-amd64/Packages": b"Package: x\n"})
WHERE = "http://archive.example.org/debian/dists/wheezy/Release"


# The real one

REAL = Path(os.environ.get("WHEEZY_RELEASE", "/nonexistent"))  # a folder of its Release and .gpg
DEBIAN = Path("/usr/share/keyrings/debian-archive-removed-keys.gpg")
WHEEZY = {
    "A1BD8E9D78F7FE5C3E65D8AF8B48AD6246925553": ("2017-06-17", "2020-04-25"),
    "126C0D24BD8A2942CC7DF8AC7638D0442B90D010": ("2017-06-17", "2022-11-19"),
    "ED6D65271AACF0FF15D123036FB2A1C265FFB764": ("2017-06-17", "2019-05-07"),
}
real = pytest.mark.skipif(
    not (REAL / "Release.gpg").is_file() or not DEBIAN.is_file(),
    reason="WHEEZY_RELEASE names no folder of its Release, or no debian-archive-keyring",
)


def wheezy() -> tuple[bytes, bytes]:
    return (REAL / "Release").read_bytes(), (REAL / "Release.gpg").read_bytes()


def day(seconds: int | None) -> str:
    assert seconds is not None
    return time.strftime("%Y-%m-%d", time.gmtime(seconds))


@real
@pytest.mark.parametrize("fingerprint", WHEEZY)
def test_wheezy_is_trusted_for_each_of_its_keys(fingerprint: str) -> None:
    accepted = verify(*wheezy(), DEBIAN, [fingerprint.lower()], WHERE)
    assert accepted.fingerprint == fingerprint
    assert (day(accepted.made), day(accepted.expired)) == WHEEZY[fingerprint]


@real
def test_the_recipe_of_wheezy_trusts_the_real_release() -> None:
    suite = load("xen-4.2-wheezy").suite
    content, signature = wheezy()
    assert set(WHEEZY) < set(suite.signed_by)
    assert verify(content, signature, Path(suite.keyring), suite.signed_by, WHERE)
    assert suite.release_sha256 == {"wheezy": hashlib.sha256(content).hexdigest()}
    files = listed(content, "wheezy", WHERE)
    assert files["main/binary-amd64/Packages.bz2"].size == 5838790
    assert files["main/source/Sources.bz2"].sha256.startswith("81a4d322de19dc6b")


@real
@pytest.mark.parametrize("at", [0, 100_000, -1])
def test_wheezy_with_one_byte_changed_is_refused(at: int) -> None:
    content, signature = wheezy()
    changed = bytearray(content)
    changed[at] ^= 1
    with pytest.raises(BuildError, match="is not what was signed") as caught:
        verify(bytes(changed), signature, DEBIAN, list(WHEEZY), WHERE)
    assert caught.value.exit == Exit.SOURCE


@real
def test_wheezy_by_keys_that_nobody_lists_is_refused() -> None:
    with pytest.raises(BuildError, match=r"which suite\.signed_by does not list") as caught:
        verify(*wheezy(), DEBIAN, ["0" * 40], WHERE)
    assert all(fingerprint in caught.value.message for fingerprint in WHEEZY)


@real
def test_wheezy_is_no_other_suite() -> None:
    assert listed(wheezy()[0], "oldoldstable", WHERE)
    with pytest.raises(BuildError, match="it is of oldoldstable or wheezy, not jessie"):
        listed(wheezy()[0], "jessie", WHERE)


# Keys made for the test


class Ring:
    """The keys of the tests, and one keyring of all but the stranger's."""

    def __init__(self, keys: Keys) -> None:
        self.keys = keys
        self.expired = keys.make("expired", "20100101", "2013-01-01")
        self.lasting = keys.make("lasting", "20100101")
        self.stranger = keys.make("stranger", "20100101")
        self.revoked = keys.make("revoked", "20100101")
        self.before_revocation = keys.sign(self.revoked, CONTENT, "20120601")
        keys.revoke(self.revoked)
        # gpg does not sign with an expired key, so this one's expiry is stated afterwards.
        self.late = keys.make("late", "20100101")
        self.after_expiry = keys.sign(self.late, CONTENT, "20140601")
        self.on_expiry = keys.sign(self.late, CONTENT, "20130101")
        self.just_before = keys.sign(self.late, CONTENT, "20121231")
        keys.expire(self.late, "20130101T000000", "20110101")
        self.parent = keys.make("parent", "20100101")
        self.subkey = keys.subkey(self.parent, "20100101", "2013-01-01")
        self.by_subkey = keys.sign(f"{self.subkey}!", CONTENT, "20120601")
        self.raw_by_subkey = keys.gpg("--dearmor", given=self.by_subkey)
        self.keyring = keys.keyring(
            keys.home / "keyring.gpg",
            *(self.expired, self.lasting, self.revoked, self.late, self.parent),
        )

    def verify(self, signature: bytes, *signed_by: str, content: bytes = CONTENT) -> Signature:
        return verify(content, signature, self.keyring, signed_by, WHERE)


@pytest.fixture(scope="module")
def ring() -> Iterator[Ring]:
    with Keys() as keys:
        yield Ring(keys)


def test_a_signature_from_before_its_key_expired_counts(ring: Ring) -> None:
    accepted = ring.verify(ring.keys.sign(ring.expired, CONTENT, "20120601"), ring.expired)
    assert accepted.fingerprint == ring.expired
    assert day(accepted.made) == "2012-06-01"
    assert day(accepted.expired) == "2013-01-01"


def test_a_key_that_never_expires(ring: Ring) -> None:
    accepted = ring.verify(ring.keys.sign(ring.lasting, CONTENT, "20240601"), ring.lasting)
    assert accepted.expired is None


def test_the_last_day_before_expiry_counts_and_its_moment_does_not(ring: Ring) -> None:
    assert day(ring.verify(ring.just_before, ring.late).made) == "2012-12-31"
    with pytest.raises(BuildError, match="was made on 2013-01-01, after the key had expired"):
        ring.verify(ring.on_expiry, ring.late)


def test_a_subkey_is_known_by_its_primary_key_and_expires_by_itself(ring: Ring) -> None:
    accepted = ring.verify(ring.by_subkey, ring.parent)
    assert (accepted.fingerprint, day(accepted.expired)) == (ring.parent, "2013-01-01")
    with pytest.raises(BuildError, match="does not list"):
        ring.verify(ring.by_subkey, ring.subkey)


def test_one_good_signature_among_others_is_enough(ring: Ring) -> None:
    both = ring.keys.gpg(
        *("--armor", "--detach-sign"),
        *("--local-user", ring.stranger, "--local-user", ring.lasting),
        given=CONTENT,
    )
    assert ring.verify(both, ring.lasting).fingerprint == ring.lasting
    with pytest.raises(BuildError, match=r"lacks[\s\S]*does not list"):
        ring.verify(both, ring.expired)


REFUSED: dict[str, tuple[Callable[[Ring], tuple[bytes, str]], str]] = {
    "after expiry": (
        lambda r: (r.after_expiry, r.late),
        "was made on 2014-06-01, after the key had expired (2013-01-01)",
    ),
    "revoked": (lambda r: (r.before_revocation, r.revoked), "was revoked"),
    "not in the keyring": (
        lambda r: (r.keys.sign(r.stranger, CONTENT, ""), r.stranger),
        "is by a key that the keyring lacks",
    ),
    "not listed": (lambda r: (r.keys.sign(r.lasting, CONTENT, ""), r.expired), "does not list"),
    "of another text": (
        lambda r: (r.keys.sign(r.lasting, CONTENT + b"\n", ""), r.lasting),
        "is not what was signed",
    ),
    "itself expired": (
        lambda r: (
            r.keys.sign(r.lasting, CONTENT, "20120601", "--default-sig-expire=1d"),
            r.lasting,
        ),
        "has itself expired",
    ),
    "on SHA-1": (
        lambda r: (
            r.keys.sign(r.lasting, CONTENT, "20120601", "--digest-algo=SHA1"),
            r.lasting,
        ),
        "rests on SHA-1",
    ),
    "from the future": (
        lambda r: (r.keys.sign(r.lasting, CONTENT, "21000101"), r.lasting),
        "is dated 2100-01-01, which is to come",
    ),
    "empty": (lambda r: (b"", r.lasting), "holds no signature"),
    "a web page": (lambda r: (b"<!DOCTYPE html><title>sold</title>", r.lasting), "no signature"),
    "a key": (lambda r: (r.keyring.read_bytes(), r.lasting), "no signature"),
    "a text of its own, signed": (
        lambda r: (r.keys.gpg("--clear-sign", f"-u{r.lasting}", given=b"other"), r.lasting),
        "is not",
    ),
    "a message of its own, signed": (
        lambda r: (r.keys.gpg("--sign", f"-u{r.lasting}", given=b"other"), r.lasting),
        "is not",
    ),
    "nothing, signed before a text of its own": (
        lambda r: (
            r.keys.gpg("--dearmor", given=r.keys.sign(r.stranger, CONTENT, ""))
            + r.keys.gpg("--sign", f"-u{r.lasting}", given=b"other"),
            r.lasting,
        ),
        "is not",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_and_why(ring: Ring, case: str) -> None:
    make, why = REFUSED[case]
    signature, signed_by = make(ring)
    with pytest.raises(BuildError) as caught:
        ring.verify(signature, signed_by)
    assert why in caught.value.message
    assert caught.value.message.startswith(f"{WHERE} is not to be trusted:\n")
    assert caught.value.exit == Exit.SOURCE


def test_a_listed_signature_that_does_not_hold_is_no_help_to_one_that_does(ring: Ring) -> None:
    good = ring.keys.sign(ring.expired, CONTENT, "20120601")
    bad = ring.keys.sign(ring.lasting, CONTENT + b"x", "20120601")
    raw = b"".join(ring.keys.gpg("--dearmor", given=one) for one in (good, bad))
    with pytest.raises(BuildError, match="is not what was signed"):
        ring.verify(raw, ring.expired, ring.lasting)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), changed=st.booleans())
def test_a_damaged_signature_never_vouches_for_another_text(
    ring: Ring, data: st.DataObject, changed: bool
) -> None:
    good = ring.raw_by_subkey
    at = data.draw(st.integers(0, len(good) - 1))
    damaged = good[:at] + data.draw(st.binary(max_size=40)) + good[at + data.draw(st.integers()) :]
    accepted: list[str] = []
    with suppress(BuildError):
        content = CONTENT + b" " if changed else CONTENT
        accepted.append(ring.verify(damaged, ring.parent, content=content).fingerprint)
    # Some of a signature's bytes are not signed themselves: then it holds in spite of damage.
    assert accepted in ([], [] if changed else [ring.parent])


def test_gpg_keeps_out_of_the_users_home(
    ring: Ring, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("GNUPGHOME", raising=False)
    ring.verify(ring.by_subkey, ring.parent)
    assert list(tmp_path.iterdir()) == []


# The Release file


@pytest.mark.parametrize(
    ("codename", "asked", "taken"),
    [
        ("wheezy", "wheezy", True),
        ("wheezy", "wheezy/updates", True),
        ("wheezy-updates", "wheezy-updates", True),
        ("wheezy-updates", "wheezy", False),
        ("wheezy", "wheezy-updates", False),
        ("jessie", "wheezy", False),
        ("", "wheezy", False),
    ],
)
def test_of_which_suite_a_release_file_is(codename: str, asked: str, taken: bool) -> None:
    content = release({"main/source/Sources": b""}, codename)
    if taken:
        assert list(listed(content, asked, WHERE)) == ["main/source/Sources"]
    else:
        with pytest.raises(BuildError, match=f"not {asked}"):
            listed(content, asked, WHERE)


@pytest.mark.parametrize(
    "wrong",
    [
        b"Codename: wheezy\n",
        b"Codename: wheezy\nMD5Sum:\n d41d8cd98f00b204e9800998ecf8427e 0 main/source/Sources\n",
        b"Codename: wheezy\nSHA256:\n " + b"0" * 63 + b" 0 main/source/Sources\n",
        b"Codename: wheezy\nSHA256:\n " + b"0" * 64 + b" -1 main/source/Sources\n",
    ],
)
def test_a_release_file_that_lists_nothing_by_sha256(wrong: bytes) -> None:
    with pytest.raises(BuildError, match="lists no file by SHA-256"):
        listed(wrong, "wheezy", WHERE)


# The names below /var/lib/apt/lists


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://archive.debian.org/debian/dists/x/Release", "archive.debian.org_debian_dists_x_"),
        ("http://127.0.0.1:80/a/Release", "127.0.0.1:80_a_"),
        ("http://u:p@example.org/a_b/~c/Release", "example.org_a%5fb_%7ec_"),
        ("http://example.org/100%/Release", "example.org_100%25_"),
    ],
)
def test_names_of_lists(url: str, name: str) -> None:
    assert file_name(url) == f"{name}Release"


@pytest.mark.skipif(not shutil.which("apt-get"), reason="needs apt")
@pytest.mark.parametrize(
    "base",
    [
        "http://archive.debian.org/debian",
        "http://127.0.0.1:8000/debian-security",
        "http://u:p@example.org/a_b/~c/d+e,f;g",
        "http://example.org/a%20b/%7ec",
        "http://snapshot.debian.org/archive/debian/20121120T000000Z",
    ],
)
@pytest.mark.parametrize("suite", ["wheezy", "wheezy/updates"])
def test_apt_finds_and_trusts_the_lists_under_these_names(
    tmp_path: Path, base: str, suite: str
) -> None:
    (tmp_path / "partial").mkdir()
    (tmp_path / "sources.list").write_text(f"deb {base} {suite} main\n")
    plain = b"Package: x\nVersion: 1\nArchitecture: amd64\nFilename: x.deb\nSize: 1\n"
    plain += b"SHA256: " + b"0" * 64 + b"\nMaintainer: a <a@b>\nDescription: x\n"
    dists = f"{base}/dists/{suite}"
    for url, content in (
        (f"{dists}/Release", release({"main/binary-amd64/Packages": plain})),
        (f"{dists}/Release.gpg", b"any"),
        (f"{dists}/main/binary-amd64/Packages", plain),
    ):
        (tmp_path / file_name(url)).write_bytes(content)

    def apt(*arguments: str) -> tuple[int, str]:
        options = {
            "Dir::State::lists": str(tmp_path),
            "Dir::State::status": "/dev/null",
            "Dir::Cache": str(tmp_path),
            "Dir::Etc::sourcelist": str(tmp_path / "sources.list"),
            "Dir::Etc::sourceparts": "/dev/null",
            "APT::Architecture": "amd64",
            "APT::Architectures": "amd64",
            "Debug::NoLocking": "1",
        }
        done = subprocess.run(
            ["apt-get", *(f"-o{k}={v}" for k, v in options.items()), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout

    status, said = apt("install", "--yes", "--print-uris", "x")
    assert status == 0, said
    assert "x.deb" in said
    (tmp_path / file_name(f"{dists}/Release.gpg")).unlink()
    assert "--allow-unauthenticated" in apt("install", "--yes", "x")[1]


# From a server to the folder of lists

PACKAGES, SOURCES = b"Package: one\n\nPackage: two\n" * 50, b"Package: source\n"
PLAIN = {"main/binary-amd64/Packages": PACKAGES, "main/source/Sources": SOURCES}


class Archive:
    """A served suite, and a run of a recipe that uses it."""

    def __init__(self, site: Site, ring: Ring, folder: Path) -> None:
        self.site, self.ring, self.folder = site, ring, folder
        self.files = packed(PLAIN)
        self.heard = Heard()
        self.more: list[str] = []

    def publish(self, base: str = "/debian/dists/wheezy", suite: str = "wheezy") -> None:
        """Sign what there is, and serve it."""
        content = release(self.files, suite)
        signature = self.ring.keys.sign(self.ring.expired, content, "20120601")
        whole = {**self.files, "Release": content, "Release.gpg": signature}
        self.site.pages |= {f"{base}/{path}": serve(data) for path, data in whole.items()}

    def run(self, *, offline: bool = False) -> Run:
        recipe = samples.recipe(
            'suite.name="wheezy"',
            f'suite.mirror="{self.site.root}/debian"',
            "suite.pockets=[]",
            f'suite.keyring="{self.ring.keyring}"',
            f'suite.signed_by=["{self.ring.expired}"]',
            *self.more,
        )
        cache = Cache(self.folder / "cache")
        return Run(recipe, self.heard, self.folder / "artifacts", cache, offline=offline)

    def lists(self, run: Run | None = None) -> dict[str, bytes]:
        """What is laid out, without the names' common beginning."""
        into = Path(tempfile.mkdtemp(dir=self.folder))
        written = archive.lists(run or self.run(), into).files
        assert sorted(written) == sorted(into.iterdir())
        host = self.site.root.removeprefix("http://")
        return {p.name.removeprefix(f"{host}_"): p.read_bytes() for p in written}

    def refused(self) -> BuildError:
        with pytest.raises(BuildError) as caught:
            self.lists()
        assert caught.value.exit == Exit.SOURCE
        assert caught.value.hint
        return caught.value


@pytest.fixture
def served(ring: Ring, tmp_path: Path) -> Iterator[Archive]:
    with Site() as site:
        made = Archive(site, ring, tmp_path)
        made.publish()
        yield made


def test_verified_lists_are_laid_out_as_apt_would(served: Archive) -> None:
    got = served.lists()
    assert {name: got[name] for name in got if "Release" not in name} == {
        "debian_dists_wheezy_main_binary-amd64_Packages": PACKAGES,
        "debian_dists_wheezy_main_source_Sources": SOURCES,
    }
    assert got["debian_dists_wheezy_Release"] == release(served.files)
    assert got["debian_dists_wheezy_Release.gpg"].startswith(b"-----BEGIN PGP SIGNATURE")
    assert served.heard.lines == [
        f"wheezy: Release of 2012-06-01 verified by key {served.ring.expired}, "
        "which expired on 2013-01-01"
    ]
    fetched = [r.path.rpartition("/")[2] for r in served.site.requests]
    assert sorted(fetched) == ["Packages.bz2", "Release", "Release.gpg", "Sources.bz2"]


def test_what_killed_runs_left_of_lists_and_signatures_goes(
    served: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left = [tmp_path / f"dom0-debs-{name}-1" for name in ("lists", "signature")]
    for path in left:
        path.mkdir()
        (path / "Release").touch()
    with archive.bootstrap(served.run()):
        assert not any(path.exists() for path in left)
    assert not list(tmp_path.glob("dom0-debs-*"))


def test_lists_come_from_the_cache_the_next_time(served: Archive) -> None:
    first = served.lists()
    served.site.requests.clear()
    assert served.lists() == first
    assert [r.path.rpartition("/")[2] for r in served.site.requests] == ["Release", "Release.gpg"]


def test_the_security_pocket_is_verified_too(served: Archive) -> None:
    served.more = [
        'suite.pockets=["security"]',
        f'suite.security="{served.site.root}/sec"',
        'suite.security_suite="wheezy/updates"',
    ]
    served.publish("/sec/dists/wheezy/updates")
    got = served.lists()
    assert got["sec_dists_wheezy_updates_main_binary-amd64_Packages"] == PACKAGES
    assert len(got) == 8
    served.site.pages["/sec/dists/wheezy/updates/Release"] = serve(release({}))
    assert "wheezy/updates/Release is not to be trusted" in served.refused().message


def test_only_plain_lists(served: Archive) -> None:
    served.files = dict(PLAIN)
    served.publish()
    assert PACKAGES in served.lists().values()


def test_the_pinned_release(served: Archive) -> None:
    digest = hashlib.sha256(release(served.files)).hexdigest()
    served.more = [f'suite.release_sha256={{wheezy="{digest}"}}']
    served.lists()
    assert served.heard.lines[-1].endswith(", and pinned")
    served.more = [f'suite.release_sha256={{wheezy="{"0" * 64}"}}']
    error = served.refused()
    assert f"its sha256 is {digest}, not {'0' * 64}" in error.message
    served.more.append('suite.release_sha256.wheezy=""')
    served.lists()


CHANGED: dict[str, tuple[Callable[[Archive], None], str]] = {
    "Release": (
        lambda a: a.site.pages.update(
            {"/debian/dists/wheezy/Release": serve(release(a.files) + b"X: y\n")}
        ),
        "is not what was signed",
    ),
    "no Release": (
        lambda a: a.site.pages.update({"/debian/dists/wheezy/Release": status(404)}),
        "/Release answers 404",
    ),
    "no Release.gpg": (
        lambda a: a.site.pages.update({"/debian/dists/wheezy/Release.gpg": status(404)}),
        "it has no signature: Release.gpg",
    ),
    "a squatter": (
        lambda a: a.site.pages.update({p: page("for sale") for p in a.site.pages}),
        "holds no signature",
    ),
    "Packages": (
        lambda a: a.site.pages.update(
            {"/debian/dists/wheezy/main/binary-amd64/Packages.bz2": serve(b"evil")}
        ),
        "the package lists of wheezy",
    ),
    "Packages of the same size": (
        lambda a: a.site.pages.update(
            {
                "/debian/dists/wheezy/main/binary-amd64/Packages.bz2": serve(
                    a.files["main/binary-amd64/Packages.bz2"][:-1] + b"!"
                )
            }
        ),
        "the package lists of wheezy",
    ),
    "no Packages": (
        lambda a: a.site.pages.update(
            {"/debian/dists/wheezy/main/binary-amd64/Packages.bz2": status(404)}
        ),
        "the package lists of wheezy",
    ),
}


@pytest.mark.parametrize("what", CHANGED)
def test_what_was_changed_after_signing_is_refused(served: Archive, what: str) -> None:
    change, why = CHANGED[what]
    change(served)
    assert why in served.refused().message


def test_a_list_that_unpacks_to_something_else_is_refused(served: Archive) -> None:
    served.files["main/binary-amd64/Packages"] = PACKAGES[:-1] + b"!"
    served.publish()
    assert "unpacked, it is not what its Release file lists" in served.refused().message


def test_a_list_that_cannot_be_unpacked_is_refused(served: Archive) -> None:
    served.files["main/binary-amd64/Packages.bz2"] = b"no bzip2"
    served.publish()
    assert "it can't be unpacked" in served.refused().message


def test_a_component_that_the_suite_lacks(served: Archive) -> None:
    served.more = ['suite.components=["main", "fun"]']
    assert "lists no fun/binary-amd64/Packages" in served.refused().message


def test_a_release_file_without_an_end(served: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "_LIMIT", 1000)
    served.site.pages["/debian/dists/wheezy/Release"] = unannounced(b"x" * 5000)
    assert "has no end" in served.refused().message


def test_nobody_answers(served: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = partial(download.get, patience=Patience(pause=0.01))
    monkeypatch.setattr(download, "get", quick)
    served.more = ['suite.mirror="http://127.0.0.1:9/debian"']
    assert "can't be had" in served.refused().message


def test_a_stop_ends_it(served: Archive) -> None:
    run = served.run()
    run.live.stopping.set()
    with pytest.raises(Interrupted):
        served.lists(run)


def test_a_keyring_that_is_not_there(served: Archive, tmp_path: Path) -> None:
    served.more = [f'suite.keyring="{tmp_path / "none.gpg"}"']
    with pytest.raises(BuildError, match="the keyring of the recipe is not there") as caught:
        served.lists()
    assert caught.value.exit == Exit.ENGINE
    shutil.copy(served.ring.keyring, tmp_path / "none.pgp")  # as newer Debians call it
    served.lists()


@pytest.fixture
def hooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of mmdebstrap's hooks for old suites."""
    folder = tmp_path / "hooks"
    folder.mkdir()
    monkeypatch.setattr(archive, "_OLD", folder)
    monkeypatch.setattr(archive, "ensure_tools", lambda *_: None)
    return folder


def test_a_root_of_an_old_suite_needs_mmdebstraps_hooks(served: Archive, hooks: Path) -> None:
    with archive.bootstrap(served.run()) as options:
        assert f"--hook-dir={hooks}" in options
    hooks.rmdir()
    with pytest.raises(BuildError) as caught, archive.bootstrap(served.run()):
        pass
    assert str(hooks) in caught.value.message
    assert "mmdebstrap 1.3.0" in caught.value.hint
    assert caught.value.exit == Exit.ENGINE
    # A suite whose dpkg needs none is made without.
    assert not archive.hookless(dataclasses.replace(served.run().recipe.suite, name="jessie"))


def test_the_doctor_misses_the_hooks(
    served: Archive, hooks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builders.ground.suite.namespace.obstacle", lambda: None)
    monkeypatch.setattr("builders.pipeline.doctor.shutil.which", lambda tool: f"/usr/bin/{tool}")
    run = served.run()
    assert "mmdebstrap's hooks" not in {c.name for c in doctor._tools(run, {}, False)}
    hooks.rmdir()
    (check,) = (c for c in doctor._tools(run, {}, False) if c.name == "mmdebstrap's hooks")
    assert check.state == doctor.FAIL
    assert check.remedy


def test_packages_behind_https_are_told_before_anything_is_installed(served: Archive) -> None:
    stanza = f"Package: one\nVersion: 1\nFilename: pool/one.deb\nSize: 1\nSHA256: {'0' * 64}\n\n"
    served.files = packed({**PLAIN, "main/binary-amd64/Packages": stanza.encode()})
    served.publish()
    served.lists()  # that the file is not there tells the download
    (asked,) = (r for r in served.site.requests if r.path == "/debian/pool/one.deb")
    assert asked.method == "HEAD"
    there = {"Location": f"{served.site.root.replace('http', 'https')}/one.deb"}
    served.site.pages["/debian/pool/one.deb"] = status(302, there)
    served.lists()  # https that does not answer is no redirect to it yet
    landed = "https://m/debian/pool/one.deb"
    with pytest.MonkeyPatch.context() as patch:
        real = download.get

        def get(url: str, *args: object, **options: object) -> download.Answer:
            if url.endswith("one.deb"):
                return download.Answer(200, landed, b"")
            return real(url, *args, **options)  # type: ignore[arg-type]

        patch.setattr(download, "get", get)
        with pytest.raises(BuildError, match=r"pool/one\.deb redirects to https") as caught:
            served.lists()
    assert "the apt of wheezy knows no https" in caught.value.message


@pytest.mark.usefixtures("hooks")
def test_mmdebstrap_is_given_the_lists_and_told_not_to_update(served: Archive) -> None:
    with archive.bootstrap(served.run()) as options:
        update, hook, *_ = options
        folder = Path(hook.split()[1])
        assert update.startswith("--skip=update")
        assert hook == f"--setup-hook=sync-in {folder} /var/lib/apt/lists"
        assert len(list(folder.glob("*"))) == 3
        assert not list(folder.glob("*Sources"))
    assert not folder.exists()


# A suite that is signed anew: text and signature in one, by a key that has not expired


class Signed:
    """A suite with InRelease, and a run of a recipe that lists no keys."""

    def __init__(self, served: Archive) -> None:
        self.served, self.ring = served, served.ring
        served.more = ["suite.signed_by=[]"]
        self.pages = served.site.pages
        self.publish(release(served.files))

    def publish(self, content: bytes, key: str = "", **at: str) -> bytes:
        inline = self.ring.keys.gpg(
            "--clear-sign", f"-u{key or self.ring.lasting}", at=at.get("at", ""), given=content
        )
        self.put(inline)
        return inline

    def put(self, inline: bytes) -> None:
        self.pages["/debian/dists/wheezy/InRelease"] = serve(inline)


@pytest.fixture
def signed(served: Archive) -> Signed:
    return Signed(served)


def test_a_suite_of_today_is_verified_by_its_inrelease(signed: Signed) -> None:
    got = signed.served.lists()
    assert set(got) == {
        "debian_dists_wheezy_InRelease",
        "debian_dists_wheezy_main_binary-amd64_Packages",
        "debian_dists_wheezy_main_source_Sources",
    }
    assert signed.served.heard.lines == []


def test_without_inrelease_the_two_files_serve(signed: Signed) -> None:
    del signed.pages["/debian/dists/wheezy/InRelease"]
    content = release(signed.served.files)
    signature = signed.ring.keys.sign(signed.ring.lasting, content, "")
    signed.pages |= {
        "/debian/dists/wheezy/Release": serve(content),
        "/debian/dists/wheezy/Release.gpg": serve(signature),
    }
    assert "debian_dists_wheezy_Release.gpg" in signed.served.lists()


def test_a_key_that_has_expired_signs_nothing_of_today(signed: Signed) -> None:
    signed.publish(release(signed.served.files), signed.ring.expired, at="20120601")
    error = signed.served.refused()
    assert f"key {signed.ring.expired} has expired" in error.message
    assert "suite.signed_by" in error.message


@pytest.mark.parametrize("why", ["changed", "stranger", "before", "after", "twice", "unsigned"])
def test_an_inrelease_that_is_not_to_be_trusted(signed: Signed, why: str) -> None:
    content = release(signed.served.files)
    good = signed.publish(content)
    if why == "changed":
        signed.put(good.replace(b"Origin: Test", b"Origin: Evil"))
    elif why == "stranger":
        signed.publish(content, signed.ring.stranger)
    elif why == "before":
        signed.put(b"Origin: Evil\n" + good)
    elif why == "after":
        signed.put(good + b"\nOrigin: Evil\n")
    elif why == "twice":
        signed.put(good + good)
    else:
        signed.put(content)
    assert "is not to be trusted" in signed.served.refused().message


def test_an_old_state_of_a_suite_is_refused(signed: Signed) -> None:
    until = {"Valid-Until": "Sat, 01 Jan 2022 00:00:00 UTC"}
    signed.publish(release(signed.served.files, **until))
    assert "it was valid until Sat, 01 Jan 2022" in signed.served.refused().message
    until = {"Valid-Until": "Sat, 01 Jan 2950 00:00:00 UTC"}
    signed.publish(release(signed.served.files, **until))
    signed.served.lists()


def test_lists_by_their_digest_outlive_an_update_of_the_mirror(signed: Signed) -> None:
    signed.publish(release(signed.served.files, **{"Acquire-By-Hash": "yes"}))
    folder = "/debian/dists/wheezy/main/binary-amd64"
    packed_list = signed.served.files["main/binary-amd64/Packages.bz2"]
    digest = hashlib.sha256(packed_list).hexdigest()
    signed.pages[f"{folder}/by-hash/SHA256/{digest}"] = serve(packed_list)
    signed.pages[f"{folder}/Packages.bz2"] = serve(b"the next state")
    assert PACKAGES in signed.served.lists().values()


def test_a_mirror_that_leads_to_https_is_of_no_use_to_an_old_apt(served: Archive) -> None:
    served.site.pages["/debian/dists/wheezy/Release"] = status(
        302, {"Location": f"{served.site.root}/s/Release"}
    )
    served.site.pages["/s/Release"] = serve(release(served.files))
    served.lists()  # to http it may lead


# What comes before any download


def test_without_vsyscall_a_build_stops_before_it_fetches(
    served: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    maps = tmp_path / "maps"
    maps.write_text("7ffd0000-7ffd1000 r-xp 00000000 00:00 0                  [vdso]\n")
    monkeypatch.setattr(doctor, "MAPS", maps)
    served.more = ["suite.vsyscall=true"]
    run = served.run()
    monkeypatch.setattr(Run, "client", property(lambda _: _no_engine()))
    with pytest.raises(BuildError) as caught:
        builds.build(run, "minimal")
    assert "vsyscall: this kernel has no vsyscall page" in caught.value.message
    assert "boot the box with vsyscall=emulate" in caught.value.hint
    assert caught.value.exit == Exit.ENGINE
    assert {r.method for r in served.site.requests} <= {"HEAD"}
    assert not [p for p in (tmp_path / "cache").rglob("*") if p.is_file()]
    assert not (tmp_path / "artifacts" / "stages").exists()
    maps.write_text("ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0  [vsyscall]\n")
    with pytest.raises(BuildError) as caught:
        builds.build(served.run(), "minimal")
    assert "vsyscall" not in caught.value.message


def _no_engine() -> None:
    raise BuildError("there is no engine", hint="none in this test", exit=Exit.ENGINE)
