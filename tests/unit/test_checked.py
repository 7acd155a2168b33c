# SPDX-License-Identifier: GPL-2.0-or-later
"""The report of dom0-check, of this machine and over ssh, and answers that are none."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.errors import BuildError, Exit
from builders.host import checked
from builders.show import hosts
from tests.unit.hosts import CARD, Host

SSHD = shutil.which("sshd", path="/usr/sbin:/usr/bin")
CHECK = {"name": "xen", "state": "ok", "seen": "Xen 4.17.5", "remedy": ""}


def report(*checks: object, **more: object) -> bytes:
    return json.dumps(
        {"schema": 1, "kind": "dom0-check", "good": True, "checks": list(checks), **more}
    ).encode()


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    host = Host(tmp_path / "host")
    monkeypatch.setenv("PATH", f"{host.programs}:{host.root}/usr/sbin:{os.environ['PATH']}")
    monkeypatch.setenv("DOM0_CHECK_ROOT", str(host.root))
    return host


@pytest.mark.slow
def test_a_sound_host_and_one_whose_card_dom0_holds(host: Host) -> None:
    outcome = hosts.checked(checked.ask())
    assert outcome.code == Exit.DONE
    told = json.loads(outcome.said("json"))
    assert told == json.loads(host.check("--json").stdout)
    host.gone()
    host.card(f"pci0000:00/0000:00:04.0/{CARD}", driver="e1000")
    outcome = hosts.checked(checked.ask())
    assert outcome.code == Exit.AUDIT
    assert json.loads(outcome.said("json")) == json.loads(host.check("--json").stdout)
    lines = outcome.said("").splitlines()
    at = next(n for n, line in enumerate(lines) if line.split()[:2] == ["fail", "hidden"])
    assert f"{CARD} is with e1000" in lines[at]
    assert lines[at + 1].strip().startswith("do: ")


def test_without_dom0_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for asked, missing in (("", "dom0-check"), ("root@xenhost", "ssh")):
        with pytest.raises(BuildError) as caught:
            checked.ask(asked)
        assert missing in caught.value.message
        assert (caught.value.exit, bool(caught.value.hint)) == (Exit.ENGINE, True)


@pytest.mark.parametrize("host", ["-oProxyCommand=x", "a b", "a;b", "$(x)", "a\nb", "a" * 300])
def test_what_is_no_host(host: str) -> None:
    with pytest.raises(BuildError) as caught:
        checked.ask(host)
    assert caught.value.exit == Exit.USAGE


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"[]",
        b"{}",
        b"[" * 100_000,
        report(CHECK, kind="other"),
        report(CHECK, schema=2),
        report({**CHECK, "state": "fine"}),
        report({**CHECK, "seen": 1}),
        report({"name": "xen"}),
        report("xen"),
        report(*[CHECK] * 101),
        report(checks=None),
    ],
)
def test_answers_that_are_no_report(answer: bytes) -> None:
    with pytest.raises(BuildError) as caught:
        checked._read(answer, "xenhost")
    assert caught.value.exit == Exit.ENGINE


@pytest.mark.slow
@given(
    st.recursive(
        st.none() | st.integers() | st.text(),
        lambda x: (
            st.lists(x) | st.dictionaries(st.sampled_from(["schema", "kind", "checks", *CHECK]), x)
        ),
    )
)
def test_any_answer_is_read_or_refused(answer: object) -> None:
    try:
        checks = checked._read(json.dumps(answer).encode(), "xenhost")
    except BuildError:
        return
    assert all(each.state in checked.STATES for each in checks)


def test_nothing_in_a_report_moves_the_cursor() -> None:
    (check,) = checked._read(report({**CHECK, "seen": "\x1b[2J" + "x" * 5000}), "xenhost")
    assert check.seen.isprintable()
    assert len(check.seen) < 2100


def test_an_answer_without_an_end(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.program("dom0-check", "exec yes")
    with pytest.raises(BuildError, match="more than"):
        checked.ask()
    monkeypatch.setattr(checked, "_PATIENCE", 0.2)
    host.program("dom0-check", "exec sleep 60")
    with pytest.raises(BuildError, match="no answer"):
        checked.ask()


@pytest.fixture
def served(host: Host, tmp_path: Path) -> Iterator[str]:
    """A name of ssh's settings for this machine, which a real sshd serves on 127.0.0.1."""
    if not SSHD:
        pytest.skip("no sshd here")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    for name in ("host-key", "key"):
        words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)]
        subprocess.run(words, check=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "sshd_config").write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {tmp_path}/host-key\nPidFile none\n"
        f"AuthorizedKeysFile {tmp_path}/key.pub\nStrictModes no\nUsePAM no\n"
        f"PermitRootLogin prohibit-password\nPasswordAuthentication no\n"
        f"SetEnv PATH={os.environ['PATH']} DOM0_CHECK_ROOT={host.root}\n"
    )
    (tmp_path / "ssh_config").write_text(
        f"Host xenhost\nHostName 127.0.0.1\nPort {port}\nUser {getpass.getuser()}\n"
        f"IdentityFile {tmp_path}/key\nUserKnownHostsFile {tmp_path}/known\n"
        "StrictHostKeyChecking accept-new\n"
    )
    # ssh takes its settings from the home of /etc/passwd, and not from HOME.
    host.program("ssh", f'exec {shutil.which("ssh")} -F {tmp_path}/ssh_config "$@"')
    server = subprocess.Popen([SSHD, "-D", "-e", "-f", str(tmp_path / "sshd_config")])
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield "xenhost"
    finally:
        server.terminate()
        server.wait()


@pytest.mark.slow
def test_over_ssh(host: Host, served: str, tmp_path: Path) -> None:
    assert checked.ask(served) == checked.ask()
    (host.root / "usr/sbin/dom0-check").unlink()
    with pytest.raises(BuildError, match="there is no dom0-check"):
        checked.ask(served)
    (tmp_path / "key").unlink()
    with pytest.raises(BuildError) as caught:
        checked.ask(served)
    assert "Permission denied" in caught.value.message
    assert "ssh xenhost" in (caught.value.hint or "")
