# SPDX-License-Identifier: GPL-2.0-or-later
"""Modules signed with a key of the user's own; openssl(1) is the judge of the signatures."""

from __future__ import annotations

import os
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from builders.debkit import deb
from builders.debkit.corrections import Corrections
from builders.debkit.finish import Beside, finish, signatures
from builders.errors import BuildError
from builders.pipeline import kernel, modulekey
from builders.pipeline.plan import WORK
from builders.pipeline.recipe import Recipe
from builders.progress import Silent
from tests.unit import debs
from tests.unit.debs import Item
from tests.unit.samples import recipe

pytestmark = pytest.mark.usefixtures("no_variable")


@pytest.fixture
def no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(modulekey.VARIABLE, raising=False)


def openssl(*words: str | Path) -> bytes:
    done = subprocess.run(["openssl", *map(str, words)], capture_output=True, check=True)
    return done.stdout


def made(path: Path, kind: str = "rsa:2048", *more: str) -> Path:
    """A key and its certificate in one file, as the documentation says to make it."""
    words = ["req", "-x509", "-newkey", kind, "-nodes", "-days", "36500", *more]
    openssl(*words, "-subj", "/CN=kernel modules", "-keyout", path, "-out", path)
    # openssl truncates a file that it is told of twice: where it did, the key is written again.
    if "PRIVATE KEY" not in path.read_text():
        openssl(*words, "-subj", "/CN=kernel modules", "-keyout", f"{path}.key", "-out", path)
        path.write_bytes(Path(f"{path}.key").read_bytes() + path.read_bytes())
    return path


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("key") / "modules.pem")


def signed(key: Path) -> Recipe:
    return recipe(*modulekey.overrides(recipe(), str(key), Silent()))


def test_the_certificate_becomes_a_value_of_the_recipe(key: Path) -> None:
    it = signed(key)
    assert it.kernel
    certificate = it.kernel.certificate
    assert certificate in key.read_text()
    assert "PRIVATE" not in repr(it)
    plan = kernel.describe(it, "minimal")
    assert plan.files["certificate"] == certificate.encode()
    asked = b"".join(text for name, text in plan.files.items() if name.startswith("fragments/"))
    assert b'CONFIG_SYSTEM_TRUSTED_KEYS="certs/modules.pem"\n' in asked
    configure = next(phase.script for phase in plan.phases if phase.name == "configure")
    assert f"\ncp {WORK}/certificate certs/modules.pem\n" in configure
    # Another certificate is another kernel; without one it is the kernel that it was.
    plain = kernel.describe(recipe(), "minimal")
    assert plain.record() != plan.record()
    assert "certificate" not in plain.files


def nothing(_: Path) -> None:
    pass


def fifo(path: Path) -> None:
    os.mkfifo(path)


def keys_alone(path: Path) -> None:
    path.write_bytes(openssl("genpkey", "-algorithm", "RSA"))


def two(path: Path) -> None:
    made(path)
    path.write_text(path.read_text() * 2)


def encrypted(path: Path) -> None:
    made(path)
    locked = openssl("pkey", "-in", path, "-aes256", "-passout", "pass:secret")
    path.write_bytes(locked + openssl("x509", "-in", path))


def elliptic(path: Path) -> None:
    made(path, "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")


def short(path: Path) -> None:
    made(path, "rsa:1024")


def of_another(path: Path) -> None:
    other = path.with_name("other.pem")
    made(path)
    path.write_bytes(openssl("pkey", "-in", made(other)) + openssl("x509", "-in", path))


def huge(path: Path) -> None:
    made(path)
    path.write_text(path.read_text() + "\n" * (1 << 16))


def garbled(path: Path) -> None:
    made(path)
    text = path.read_text()
    begin = text.index("-----BEGIN CERTIFICATE-----\n") + 40
    path.write_text(text[:begin] + "AAAA" + text[begin + 4 :])


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (nothing, "No such file"),
        (Path.mkdir, "Is a directory|no plain file"),
        (fifo, "no plain file"),
        (keys_alone, "not one private key and its certificate"),
        (two, "not one private key and its certificate"),
        (huge, "not one private key and its certificate"),
        (encrypted, "has a passphrase"),
        (elliptic, "not a key of RSA"),
        (short, "not a key of RSA"),
        (of_another, "not that of the private key"),
        (garbled, "takes it for no key"),
    ],
)
def test_what_is_no_key_is_refused(make: Callable[[Path], None], why: str, tmp_path: Path) -> None:
    path = tmp_path / "modules.pem"
    make(path)
    with pytest.raises(BuildError, match=why) as raised:
        modulekey.certificate(path, Silent())
    assert raised.value.hint
    assert "PRIVATE KEY-----" not in str(raised.value)


@pytest.mark.parametrize(
    "text", ["x", "-----BEGIN CERTIFICATE-----\nAA==\n", "-----BEGIN PRIVATE KEY-----\nAA==\n"]
)
def test_a_recipe_has_a_certificate_or_none(text: str) -> None:
    with pytest.raises(BuildError, match=r"kernel\.certificate"):
        recipe(f'kernel.certificate="""{text}"""')


def test_the_key_has_to_be_there_and_the_one_that_the_kernel_knows(
    key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = signed(key)
    with pytest.raises(BuildError, match="no key is named"), modulekey.signing(it, "", Silent()):
        pass
    other = made(tmp_path / "other.pem")
    monkeypatch.setenv(modulekey.VARIABLE, str(other))
    with pytest.raises(BuildError, match="not the one"), modulekey.signing(it, "", Silent()):
        pass
    monkeypatch.setenv(modulekey.VARIABLE, str(key))
    with modulekey.signing(it, "", Silent()) as sign:
        assert sign(key)


def kernel_deb(path: Path, **modules: bytes) -> Path:
    items = [Item(f"./lib/modules/6.1-x/kernel/{name}", data) for name, data in modules.items()]
    return debs.make(path, [*debs.with_folders(items), Item("./lib/modules/6.1-x/modules.order")])


def finished(raw: Path, out: Path, sign: Callable[[Path], bytes]) -> Path:
    done = finish(
        raw,
        Corrections(symbols=False, documents=False),
        elf_depends=[],
        destination_dir=out,
        epoch=1_000_000_000,
        beside=Beside(sign=sign),
    )
    return done.path


def content(path: Path) -> dict[str, bytes]:
    return {
        entry.path.rpartition("/")[2]: b"".join(iter(lambda c=member: bytes(c.chunk()), b""))  # type: ignore[misc]
        for entry, member in deb.Deb.open(path).entries()
        if entry.info.isreg()
    }


def test_each_module_has_a_signature_that_openssl_accepts(key: Path, tmp_path: Path) -> None:
    modules = {"a.ko": b"\x7fELF one", "b.ko": b"\x7fELF two" * 100_000}
    raw = kernel_deb(tmp_path / "raw.deb", **modules)
    it = signed(key)
    assert it.kernel
    certificate = tmp_path / "certificate.pem"
    certificate.write_text(it.kernel.certificate)
    made = []
    for name in ("one", "two"):
        with modulekey.signing(it, str(key), Silent()) as sign:
            made.append(finished(raw, tmp_path / name, sign))
        assert [path.name for path in (tmp_path / name).iterdir()] == [made[-1].name]
    assert made[0].read_bytes() == made[1].read_bytes()
    there = content(made[0])
    assert there["modules.order"] == b""
    for name, module in modules.items():
        assert there[name].startswith(module)
        rest = there[name][len(module) :].removesuffix(signatures.MAGIC)
        *kinds, size = struct.unpack(">BBBBB3xI", rest[-12:])
        assert kinds == [0, 0, 2, 0, 0]  # PKEY_ID_PKCS7; all else is in the signature
        assert size == len(rest) - 12
        (tmp_path / "p7").write_bytes(rest[:-12])
        (tmp_path / "module").write_bytes(module)
        words: list[str | Path] = ["cms", "-verify", "-binary", "-inform", "DER", "-noverify"]
        words += ["-certfile", certificate, "-in", tmp_path / "p7"]
        assert openssl(*words, "-content", tmp_path / "module") == module
        (tmp_path / "module").write_bytes(module + b"x")
        with pytest.raises(subprocess.CalledProcessError):
            openssl(*words, "-content", tmp_path / "module")


@pytest.mark.parametrize(
    ("name", "module", "why"),
    [
        ("a.ko.xz", b"x", "is compressed"),
        ("a.ko", b"x" + signatures.trailer(b"y"), "is signed already"),
    ],
)
def test_what_can_not_be_signed(name: str, module: bytes, why: str, tmp_path: Path) -> None:
    raw = kernel_deb(tmp_path / "raw.deb", **{name: module})
    with pytest.raises(BuildError, match=why):
        finished(raw, tmp_path / "out", lambda _: b"signature")
    assert not list((tmp_path / "out").iterdir())


def test_a_signature_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fails(_: Path) -> bytes:
        raise BuildError("no", hint="no")

    raw = kernel_deb(tmp_path / "raw.deb", **{"a.ko": b"x"})
    with pytest.raises(BuildError, match="no"):
        finished(raw, tmp_path / "out", fails)
    assert not list((tmp_path / "out").iterdir())
