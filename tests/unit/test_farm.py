# SPDX-License-Identifier: GPL-2.0-or-later
"""What a farm may be called, and the keys of one. tests/engine/test_farm.py runs one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from builders import ROOT
from builders.errors import BuildError, Exit
from builders.pipeline.farm import address, keys, service
from builders.progress import Silent


@pytest.mark.parametrize(
    ("text", "local"),
    [
        ("tls://127.0.0.1:8786", True),
        ("tcp://localhost:8786", True),
        ("tcp://[::1]:8786", True),
        ("tls://192.0.2.1:1", False),
        ("tls://[2001:db8::1]:65535", False),
        ("tls://builder.example:8786", False),
    ],
)
def test_an_address_is_said_as_it_was_read(text: str, local: bool) -> None:
    found = address.parse(text)
    assert str(found) == text
    assert found.local is local


@pytest.mark.parametrize(
    "text",
    [
        "",
        "127.0.0.1:8786",
        "tls://127.0.0.1",
        "tls://127.0.0.1:0",
        "tls://127.0.0.1:65536",
        "tls://127.0.0.1:8786/",
        "tls://a b:1",
        "inproc://x:1",
        "tls://user@host:1",
        "tls://host:1\n",
        "ucx://127.0.0.1:1",
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(BuildError, match="is no address of a farm") as error:
        address.parse(text)
    assert error.value.exit is Exit.USAGE


@pytest.mark.parametrize("host", ["192.0.2.1", "builder.example", "198.51.100.1", "[2001:db8::1]"])
def test_no_other_machine_is_talked_to_without_tls(host: str) -> None:
    with pytest.raises(BuildError, match="needs TLS") as error:
        address.parse(f"tcp://{host}:8786")
    assert f"tls://{host}" in error.value.hint or "tls://" in error.value.hint


@pytest.mark.slow
def test_keys_are_made_once_and_signed_for_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("DOM0_DEBS_FARM_KEYS", raising=False)
    folder = keys.folder()
    assert keys.make(folder, Silent())
    before = (folder / keys.KEY).read_bytes()
    assert not keys.make(folder, Silent())
    assert (folder / keys.KEY).read_bytes() == before
    other = tmp_path / "other"
    keys.certify(other, folder, Silent())
    for place in (folder, other):
        verify = ["openssl", "verify", "-CAfile", str(folder / keys.AUTHORITY)]
        subprocess.run([*verify, str(place / keys.CERTIFICATE)], check=True, capture_output=True)
        assert {path.stat().st_mode & 0o777 for path in place.iterdir()} == {0o600}
        assert place.stat().st_mode & 0o777 == 0o700
    assert not (other / keys.AUTHORITY_KEY).exists()
    assert (other / keys.KEY).read_bytes() != before
    with pytest.raises(BuildError, match="is not empty"):
        keys.certify(other, folder, Silent())
    with pytest.raises(BuildError, match="can sign for no other"):
        keys.certify(tmp_path / "third", other, Silent())
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".keys")] == []


@pytest.mark.skipif(not address.has_engine(), reason="requirements-farm.lock is not installed")
def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    for name in (keys.AUTHORITY, keys.CERTIFICATE, keys.KEY):
        (tmp_path / name).write_text("x")
        (tmp_path / name).chmod(0o600)
    assert keys.security("tcp", tmp_path / "none") is None
    assert keys.security("tls", tmp_path)
    (tmp_path / keys.KEY).chmod(0o640)
    with pytest.raises(BuildError, match="others can read it"):
        keys.security("tls", tmp_path)
    (tmp_path / keys.KEY).unlink()
    with pytest.raises(BuildError, match="a farm asks for a certificate"):
        keys.security("tls", tmp_path)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "1", '{"address": 1}', '{"address": "a", "processes": [{}]}']
)
def test_a_note_that_is_damaged_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    (tmp_path / "dom0-debs" / "farm").mkdir(parents=True)
    (tmp_path / "dom0-debs" / "farm" / "farm.json").write_text(text)
    assert service.noted() is None
    assert service.down() == []


def test_no_process_but_the_one_that_was_begun_is_taken_for_it() -> None:
    it = subprocess.Popen(["sleep", "60"])
    begun = service._begun(it.pid)
    assert begun is not None
    assert service.Process("worker", "w", it.pid, begun, "").alive
    assert not service.Process("worker", "w", it.pid, begun + 1, "").alive
    it.kill()
    it.wait()
    assert not service.Process("worker", "w", it.pid, begun, "").alive


@pytest.mark.slow
def test_a_plain_run_imports_no_farm() -> None:
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import builders.verbs.several, builders.pipeline.graph\n"
        "sys.exit(any(n.split('.')[0] in ('distributed', 'dask') for n in sys.modules))"
    )
    subprocess.run([sys.executable, "-I", "-c", script, str(ROOT)], check=True)
