# SPDX-License-Identifier: GPL-2.0-or-later
"""Find a container engine, or bring one up.

The choice is that of the docker command: DOCKER_HOST, else the context named
by DOCKER_CONTEXT or the client's config.json, else the local socket. Only for
the last is anything ever installed or started.
"""

from __future__ import annotations

import atexit
import hashlib
import http.client
import json
import os
import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from builders.errors import BuildError, Exit
from builders.ground.engine import daemon
from builders.ground.engine.box import ensure_tools, install_command
from builders.ground.engine.daemon import Daemon
from builders.ground.engine.tunnel import Tunnel
from builders.progress import Reporter

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.tls import TLSConfig

__all__ = ["MINIMUM_API", "Endpoint", "Tls", "connect", "endpoint", "ensure_tools"]

MINIMUM_API = (1, 41)  # Docker 20.10, the engine of Debian 11 and 12
_PROBE = 20  # seconds for the first answer
_TIMEOUT = 600  # seconds: a loaded box may commit or import an image for minutes


@dataclass(frozen=True)
class Tls:
    """TLS material of an endpoint. verify: whether the server's certificate is checked."""

    ca: Path | None
    cert: Path | None
    key: Path | None
    verify: bool

    @classmethod
    def of(cls, folder: Path, verify: bool) -> Tls:
        """What lies in `folder` under the docker command's names."""
        ca, cert, key = (
            path if (path := folder / name).exists() else None
            for name in ("ca.pem", "cert.pem", "key.pem")
        )
        return cls(ca, cert, key, verify)


@dataclass(frozen=True)
class Endpoint:
    """An engine's address. origin: who chose it, in words; "" for the local default."""

    host: str
    origin: str = ""
    tls: Tls | None = None


class _UnusableError(Exception):
    """Why an endpoint is of no use. absent: nobody is there, so one may be started."""

    def __init__(
        self,
        reason: str,
        hint: str = "see that the engine runs, or name another in DOCKER_HOST",
        absent: bool = False,
    ) -> None:
        super().__init__(reason)
        self.reason, self.hint, self.absent = reason, hint, absent


def endpoint(
    environment: Mapping[str, str] | None = None, box_daemon: Daemon | None = None
) -> Endpoint:
    """The engine that the docker command would use (docker(1), "Environment variables").

    environment: os.environ unless given; box_daemon: the local default.
    Raises BuildError (Exit.ENGINE) for a context that is not there or not readable.
    """
    env = os.environ if environment is None else environment
    local = box_daemon or Daemon()
    home = Path(env.get("HOME") or Path.home())
    folder = Path(env.get("DOCKER_CONFIG") or home / ".docker")
    host = env.get("DOCKER_HOST", "").strip()
    if host:
        # As in the docker command: any non-empty value turns checking on.
        verify = bool(env.get("DOCKER_TLS_VERIFY"))
        certificates = env.get("DOCKER_CERT_PATH")
        with_tls = host.startswith(("tcp:", "https:")) and (verify or certificates)
        tls = Tls.of(Path(certificates or folder), verify) if with_tls else None
        return Endpoint(host, "DOCKER_HOST", tls)
    name = env.get("DOCKER_CONTEXT") or _current_context(folder)
    if name in ("", "default"):
        return Endpoint(f"unix://{local.socket}")
    return _context(folder / "contexts", name)


def connect(
    reporter: Reporter,
    *,
    setup: bool | None = None,
    timeout: int = _TIMEOUT,
    box_daemon: Daemon | None = None,
) -> DockerClient:
    """A client of the engine, with the API version that both sides know.

    setup: whether the local engine may be installed or started when it does
    not answer; None asks the environment (DOM0_DEBS_SETUP=no). timeout: seconds
    that one request may wait for the engine; the streams of attach, exec and
    logs have no limit. box_daemon: the local daemon, where it is not the usual one.
    Raises BuildError (Exit.ENGINE) that says which engine, why and what next.
    """
    local = box_daemon or Daemon()
    where = endpoint(box_daemon=local)
    try:
        return _open(where, timeout)
    except _UnusableError as problem:
        if where.origin or not problem.absent:
            raise _explained(where, problem) from None
    daemon.start(local, reporter, setup)
    try:
        return _open(where, timeout)
    except _UnusableError as problem:
        raise _explained(where, problem) from None


def _current_context(folder: Path) -> str:
    try:
        config = json.loads((folder / "config.json").read_text())
        return str(config.get("currentContext") or "")
    except (OSError, ValueError, AttributeError):
        return ""  # as the docker command, which only warns


def _context(folder: Path, name: str) -> Endpoint:
    # Read here, not by docker.context: that looks in the current directory when
    # there is no config.json, and drops TLS that has no client certificate.
    digest = hashlib.sha256(name.encode()).hexdigest()
    try:
        meta = json.loads((folder / "meta" / digest / "meta.json").read_text())
        entry = meta["Endpoints"]["docker"]
        host, skip = str(entry["Host"]), bool(entry.get("SkipTLSVerify"))
    except FileNotFoundError:
        raise BuildError(
            f"the docker context {name!r} does not exist",
            hint="docker context ls shows those that do; or unset DOCKER_CONTEXT",
            exit=Exit.ENGINE,
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BuildError(
            f"the docker context {name!r} can't be read: {type(error).__name__}: {error}",
            hint=f"docker context inspect {name}; or name the engine in DOCKER_HOST",
            exit=Exit.ENGINE,
        ) from None
    certificates = folder / "tls" / digest / "docker"
    tls = None
    if host.startswith(("tcp:", "https:")) and (certificates.is_dir() or skip):
        tls = Tls.of(certificates, not skip)
    return Endpoint(host, f"the docker context {name!r}", tls)


_tunnels: dict[str, Tunnel] = {}


@atexit.register
def _close_tunnels() -> None:
    while _tunnels:
        _tunnels.popitem()[1].close()


def _open(where: Endpoint, timeout: int) -> DockerClient:
    """A client whose engine has answered; raises _UnusableError otherwise."""
    import docker.errors
    import requests
    from docker.tls import TLSConfig

    base = _through_ssh(where.host) if where.host.startswith("ssh://") else where.host
    least = ".".join(map(str, MINIMUM_API))
    tls: TLSConfig | None = None
    try:
        if where.tls:
            pair = (where.tls.cert, where.tls.key)
            tls = TLSConfig(
                client_cert=(str(pair[0]), str(pair[1])) if all(pair) else None,
                ca_cert=str(where.tls.ca) if where.tls.ca else None,
                verify=where.tls.verify,
            )
        with closing(_client(base, least, _PROBE, tls)) as probe:
            answer = probe.version(api_version=False)  # asked with no version in the path
    except docker.errors.TLSParameterError as error:
        raise _UnusableError(f"its TLS settings are not usable: {error}", _TLS_HINT) from None
    except (docker.errors.DockerException, requests.RequestException) as error:
        raise _diagnose(where, error) from None
    except (ValueError, TypeError, LookupError) as error:
        # How the client ends on an address or an answer that it can't take apart.
        raise _UnusableError(f"the address or the answer makes no sense: {error}") from None
    version = answer.get("ApiVersion") if isinstance(answer, dict) else None
    if not isinstance(version, str) or not re.fullmatch(r"[0-9]{1,4}\.[0-9]{1,4}", version):
        raise _UnusableError("what answers there is no container engine")
    if tuple(int(part) for part in version.split(".")) < MINIMUM_API:
        raise _UnusableError(
            f"its API version {version} is too old: {least} (Docker 20.10) is the least",
            "update the engine, or name another in DOCKER_HOST",
        )
    return _client(base, version, timeout, tls)


def _client(base: str, version: str, timeout: int, tls: TLSConfig | None) -> DockerClient:
    import docker
    from requests.utils import get_environ_proxies

    client = docker.DockerClient(base_url=base, version=version, timeout=timeout, tls=tls or False)
    if tls:
        # requests lets REQUESTS_CA_BUNDLE win over the CA of the client, and so
        # over that of the engine; of the environment only proxies are wanted.
        client.api.proxies.update(get_environ_proxies(client.api.base_url))
        client.api.trust_env = False
    return client


def _through_ssh(url: str) -> str:
    if url not in _tunnels:
        try:
            _tunnels[url] = Tunnel(url)
        except ValueError as error:
            raise _UnusableError(str(error), "write it as ssh://user@host") from None
        except FileNotFoundError as error:
            raise _UnusableError(str(error), install_command(["openssh-client"])) from None
        except OSError as error:
            address = urlsplit(url)
            host = f"-p {address.port} " if address.port else ""
            host += address.netloc.rpartition(":")[0] if address.port else address.netloc
            raise _UnusableError(
                f"ssh failed: {error}", f"try: ssh {host} docker version"
            ) from None
    return f"unix://{_tunnels[url].socket}"


_TLS_HINT = (
    "DOCKER_TLS_VERIFY=1 turns TLS on; DOCKER_CERT_PATH is the folder of ca.pem, cert.pem, key.pem"
)


def _diagnose(where: Endpoint, error: Exception) -> _UnusableError:
    """Say in a user's terms why the client gave up on `where`."""
    import requests

    causes = list(_causes(error))
    if where.host.startswith("ssh://"):
        output = _tunnels[where.host].said()
        _tunnels.pop(where.host).close()
        return _UnusableError(
            f"ssh connects, but no engine answers there{': ' if output else ''}{output}",
            "name the remote socket if it is not the usual one: ssh://user@host/run/docker.sock",
        )
    if any(isinstance(cause, requests.exceptions.SSLError | ssl.SSLError) for cause in causes):
        reason = next((c for c in causes if isinstance(c, ssl.SSLError)), error)
        return _UnusableError(f"TLS failed: {reason}", _TLS_HINT)
    if "HTTP request to an HTTPS server" in str(error):
        return _UnusableError("it wants TLS, and none is set up here", _TLS_HINT)
    for cause in causes:
        match cause:
            case FileNotFoundError():
                return _UnusableError("there is no such socket", absent=True)
            case ConnectionRefusedError():
                return _UnusableError(
                    "the connection was refused: nothing listens there", absent=True
                )
            case ConnectionResetError() | BrokenPipeError() | http.client.RemoteDisconnected():
                # Only an engine on its way out does that on a local socket.
                return _UnusableError("the connection was cut before an answer came", absent=True)
            case PermissionError():
                return _UnusableError(
                    "permission denied",
                    "sudo usermod -aG docker $USER and log in again, or use sudo",
                )
            case socket.gaierror():
                return _UnusableError(f"its host name is not known: {cause.strerror}")
            case TimeoutError() | requests.exceptions.Timeout():
                return _UnusableError(f"it did not answer in {_PROBE} s")
    return _UnusableError(f"the address or the answer makes no sense: {error}")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An exception and all that it came from: by cause, by context, and wrapped as arguments."""
    queue: list[BaseException] = [error]
    seen: set[int] = set()
    while queue:
        current = queue.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        reason = getattr(current, "reason", None)
        for other in (current.__cause__, current.__context__, reason, *current.args):
            if isinstance(other, BaseException):
                queue.append(other)


def _explained(where: Endpoint, problem: _UnusableError) -> BuildError:
    chosen = f" (from {where.origin})" if where.origin else ""
    return BuildError(
        f"the container engine at {where.host}{chosen} is of no use: {problem.reason}",
        hint=problem.hint,
        exit=Exit.ENGINE,
    )
