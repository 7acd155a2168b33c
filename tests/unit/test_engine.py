# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builders.errors import BuildError, Exit
from builders.ground.engine import connection
from builders.ground.engine.connection import Endpoint, Tls, connect, endpoint
from builders.ground.engine.daemon import Daemon
from tests.unit.engines import Commands, Engine, Heard, stale_socket

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith(("DOCKER_", "DOM0_DEBS_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder with a short path: a socket's path has at most 107 bytes (unix(7))."""
    with tempfile.TemporaryDirectory(prefix="e") as folder:
        yield Path(folder)


@pytest.fixture
def local(short: Path) -> Daemon:
    """A box whose daemon has its things in a folder of its own."""
    return Daemon(
        socket=short / "d.sock",
        pid=short / "d.pid",
        exec_root=short / "exec",
        containerd=short / "c.sock",
        log=short / "log" / "d.log",
        lock=short / "lock",
        systemd=short / "no-systemd",
    )


def context(folder: Path, name: str, meta: object) -> str:
    """Write a context's meta.json as the docker command does; return its id."""
    digest = hashlib.sha256(name.encode()).hexdigest()
    path = folder / "contexts" / "meta" / digest / "meta.json"
    path.parent.mkdir(parents=True)
    path.write_text(meta if isinstance(meta, str) else json.dumps(meta))
    return digest


def meta(name: str, host: str, **more: Any) -> dict[str, Any]:
    return {"Name": name, "Metadata": {}, "Endpoints": {"docker": {"Host": host, **more}}}


def test_without_any_choice_the_local_socket_is_used(tmp_path: Path) -> None:
    assert endpoint({"HOME": str(tmp_path)}) == Endpoint("unix:///var/run/docker.sock")


def test_docker_host_wins_over_docker_context(tmp_path: Path) -> None:
    env = {"HOME": str(tmp_path), "DOCKER_HOST": "tcp://192.0.2.1:2375", "DOCKER_CONTEXT": "x"}
    assert endpoint(env) == Endpoint("tcp://192.0.2.1:2375", "DOCKER_HOST")


@pytest.mark.parametrize("variable", [True, False])
def test_the_named_context_is_used(tmp_path: Path, variable: bool) -> None:
    folder = tmp_path / ".docker"
    context(folder, "far", meta("far", "ssh://me@192.0.2.1"))
    env = {"HOME": str(tmp_path)}
    if variable:
        env["DOCKER_CONTEXT"] = "far"  # and there is no config.json
    else:
        (folder / "config.json").write_text('{"currentContext": "far"}')
    assert endpoint(env) == Endpoint("ssh://me@192.0.2.1", "the docker context 'far'")


def test_docker_context_wins_over_the_current_context(tmp_path: Path) -> None:
    config = tmp_path / "elsewhere"
    context(config, "one", meta("one", "tcp://192.0.2.1:1"))
    (config / "config.json").write_text('{"currentContext": "two"}')
    env = {"DOCKER_CONFIG": str(config), "DOCKER_CONTEXT": "one"}
    assert endpoint(env).host == "tcp://192.0.2.1:1"
    env["DOCKER_CONTEXT"] = "default"
    assert endpoint(env) == Endpoint("unix:///var/run/docker.sock")


@pytest.mark.parametrize("config", ["", "{", "[]", '{"currentContext": ""}', '{"auths": {}}'])
def test_a_config_that_names_no_context_leaves_the_default(tmp_path: Path, config: str) -> None:
    (tmp_path / "config.json").write_text(config)
    assert endpoint({"DOCKER_CONFIG": str(tmp_path)}).origin == ""


def test_a_context_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(BuildError) as caught:
        endpoint({"DOCKER_CONFIG": str(tmp_path), "DOCKER_CONTEXT": "gone"})
    assert "'gone' does not exist" in caught.value.message
    assert "DOCKER_CONTEXT" in caught.value.hint
    assert caught.value.exit == Exit.ENGINE


@given(
    st.one_of(
        st.text(max_size=40),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.sampled_from(["Endpoints", "docker", "Name"]), inner)
            ),
            max_leaves=6,
        ).map(json.dumps),
    )
)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_broken_context_is_an_error_that_names_it(content: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        context(Path(name), "odd", content)
        with pytest.raises(BuildError) as caught:
            endpoint({"DOCKER_CONFIG": name, "DOCKER_CONTEXT": "odd"})
    assert "'odd' can't be read" in caught.value.message


def test_tls_of_docker_host_follows_its_variables(tmp_path: Path) -> None:
    for name in ("ca.pem", "cert.pem", "key.pem"):
        (tmp_path / name).touch()
    env = {"DOCKER_HOST": "tcp://192.0.2.1:2376", "DOCKER_CERT_PATH": str(tmp_path)}
    files = (tmp_path / "ca.pem", tmp_path / "cert.pem", tmp_path / "key.pem")
    assert endpoint(env).tls == Tls(*files, verify=False)
    assert endpoint({**env, "DOCKER_TLS_VERIFY": "1"}).tls == Tls(*files, verify=True)
    assert endpoint({**env, "DOCKER_TLS_VERIFY": ""}).tls == Tls(*files, verify=False)
    assert endpoint({**env, "DOCKER_HOST": "unix:///x"}).tls is None
    (tmp_path / "cert.pem").unlink()
    assert endpoint(env).tls == Tls(files[0], None, files[2], verify=False)


def test_tls_of_a_context_may_lack_a_client_certificate(tmp_path: Path) -> None:
    digest = context(tmp_path, "far", meta("far", "tcp://192.0.2.1:2376", SkipTLSVerify=False))
    env = {"DOCKER_CONFIG": str(tmp_path), "DOCKER_CONTEXT": "far"}
    assert endpoint(env).tls is None
    folder = tmp_path / "contexts" / "tls" / digest / "docker"
    folder.mkdir(parents=True)
    (folder / "ca.pem").touch()
    assert endpoint(env).tls == Tls(folder / "ca.pem", None, None, verify=True)


def test_the_local_engine_is_used_when_it_answers(local: Daemon) -> None:
    heard = Heard()
    with Engine(local.socket, api="1.45") as fake:
        client = connect(heard, setup=False, timeout=77, box_daemon=local)
        assert client.api.api_version == "1.45"
        assert client.api.timeout == 77
        assert client.ping()
        client.close()
    assert heard.lines == []
    assert fake.asked == ["/version", "/v1.45/_ping"]


@pytest.mark.parametrize("tcp", [True, False])
def test_a_named_engine_is_used(tcp: bool, short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Engine(None if tcp else short / "named.sock") as fake:
        monkeypatch.setenv("DOCKER_HOST", fake.url)
        client = connect(Heard())
        assert client.version()["Version"] == "test"
        client.close()


@pytest.mark.parametrize("api", ["1.40", "1.9", "1.24"])
def test_an_engine_that_is_too_old_is_an_error(api: str, local: Daemon) -> None:
    with Engine(local.socket, api=api), pytest.raises(BuildError) as caught:
        connect(Heard(), box_daemon=local)
    assert "too old" in caught.value.message
    assert str(local.socket) in caught.value.message
    assert "1.41" in caught.value.message
    assert caught.value.exit == Exit.ENGINE


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Commands:
    """A box where we are root and apt-get installs; nothing else is on PATH."""
    commands = Commands(tmp_path)
    commands.add("apt-get")
    commands.add("dockerd")
    monkeypatch.setenv("PATH", str(commands.folder))
    monkeypatch.setattr("builders.ground.engine.box.SBIN", "")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return commands


REFUSED = "refused: nothing listens there"


@pytest.mark.parametrize(
    ("host", "why"),
    [
        ("unix://{folder}/none.sock", "no such socket"),
        ("unix://{folder}/stale.sock", REFUSED),
        ("tcp://127.0.0.1:{closed}", REFUSED),
        ("tcp://nowhere.invalid:2375", "host name is not known"),
        ("tcp://127.0.0.1", "port is required"),
        ("carrier-pigeon://roof", "makes no sense"),
        ("ssh://", "is not ssh://"),
    ],
)
def test_a_named_engine_that_is_down_is_reported_and_nothing_is_installed(
    host: str, why: str, root: Commands, short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stale_socket(short / "stale.sock")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        closed = unused.getsockname()[1]
    host = host.format(folder=short, closed=closed)
    monkeypatch.setenv("DOCKER_HOST", host)
    with pytest.raises(BuildError) as caught:
        connect(Heard(), setup=True)
    assert host in caught.value.message
    assert "DOCKER_HOST" in caught.value.message
    assert why in caught.value.message
    assert caught.value.hint
    assert caught.value.exit == Exit.ENGINE
    assert root.calls() == []


def test_the_context_of_an_engine_that_is_down_is_named(
    root: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context(tmp_path, "far", meta("far", f"unix://{tmp_path}/none.sock"))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("DOCKER_CONTEXT", "far")
    with pytest.raises(BuildError, match="the docker context 'far'"):
        connect(Heard(), setup=True)
    assert root.calls() == []


def test_a_socket_that_is_not_ours_gets_the_remedy(
    local: Daemon, root: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: socket.socket, __: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    with pytest.raises(BuildError, match="permission denied") as caught:
        connect(Heard(), setup=True, box_daemon=local)
    assert "usermod -aG docker" in caught.value.hint
    assert root.calls() == []


def test_an_engine_that_does_not_answer_in_time_is_not_started_again(
    local: Daemon, root: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_PROBE", 1)
    with Engine(local.socket, delay=1.5), pytest.raises(BuildError, match="did not answer in 1 s"):
        connect(Heard(), setup=True, box_daemon=local)
    assert root.calls() == []


def test_an_engine_that_hangs_up_counts_as_gone(local: Daemon) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(local.socket))
        server.listen()

        thread = threading.Thread(target=lambda: server.accept()[0].close())
        thread.start()
        with pytest.raises(BuildError, match="no container engine answers"):
            connect(Heard(), setup=False, box_daemon=local)
        thread.join()


@pytest.mark.parametrize(
    "answer", [(200, b"[]"), (200, b"<html>"), (200, b"{}"), (500, b"on fire"), (404, b"")]
)
def test_something_that_is_no_engine_is_an_error(answer: tuple[int, bytes], local: Daemon) -> None:
    with Engine(local.socket, answer=answer), pytest.raises(BuildError) as caught:
        connect(Heard(), setup=False, box_daemon=local)
    assert caught.value.exit == Exit.ENGINE
    assert str(local.socket) in caught.value.message


@given(st.sampled_from([200, 400, 500]), st.binary(max_size=60))
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_answers_the_outcome_is_a_client_or_an_error(status: int, body: bytes) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="e") as folder,
        Engine(Path(folder) / "s", answer=(status, body)) as fake,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("DOCKER_HOST", fake.url)
        with pytest.raises(BuildError) as caught:
            connect(Heard())
    assert caught.value.exit == Exit.ENGINE


def test_tls_against_a_plain_engine_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with Engine() as fake:
        monkeypatch.setenv("DOCKER_HOST", fake.url)
        monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
        with pytest.raises(BuildError, match="TLS failed") as caught:
            connect(Heard())
    assert "DOCKER_CERT_PATH" in caught.value.hint


def test_a_plain_client_of_a_tls_engine_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    # What Go's net/http answers on a TLS port.
    said = b"Client sent an HTTP request to an HTTPS server.\n"
    with Engine(answer=(400, said)) as fake:
        monkeypatch.setenv("DOCKER_HOST", fake.url)
        with pytest.raises(BuildError, match="wants TLS") as caught:
            connect(Heard())
    assert "DOCKER_TLS_VERIFY" in caught.value.hint


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificates")
def test_tls_is_spoken_and_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good, other = tmp_path / "good", tmp_path / "other"
    for folder in (good, other):
        folder.mkdir()
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
                *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
                *("-addext", "subjectAltName=IP:127.0.0.1"),
                *("-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")),
            ],
            check=True,
            capture_output=True,
        )
        shutil.copy(folder / "cert.pem", folder / "ca.pem")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(good / "cert.pem", good / "key.pem")
    server.load_verify_locations(good / "cert.pem")
    server.verify_mode = ssl.CERT_REQUIRED  # as dockerd --tlsverify
    with Engine(context=server) as fake:
        monkeypatch.setenv("DOCKER_HOST", fake.url)
        monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
        monkeypatch.setenv("DOCKER_CERT_PATH", str(good))
        client = connect(Heard())
        assert client.ping()
        client.close()
        monkeypatch.setenv("DOCKER_CERT_PATH", str(other))
        with pytest.raises(BuildError, match=r"TLS failed: .*CERTIFICATE_VERIFY_FAILED"):
            connect(Heard())


def test_the_local_engine_that_is_down_is_not_started_when_setup_is_off(
    local: Daemon, root: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOM0_DEBS_SETUP", "no")
    with pytest.raises(BuildError, match="setup is off") as caught:
        connect(Heard(), box_daemon=local)
    assert "setsid dockerd" in caught.value.hint
    assert caught.value.exit == Exit.ENGINE
    assert root.calls() == []
