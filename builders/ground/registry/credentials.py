# SPDX-License-Identifier: GPL-2.0-or-later
"""Who a registry is told that this is: what `docker login` left, read by docker's own library."""

from __future__ import annotations

from builders.ground.registry.failures import RegistryError


def of(host: str) -> tuple[str, str] | None:
    """The user and the secret for the registry `host`; None where there are none.

    The library reads ~/.docker/config.json, or that in $DOCKER_CONFIG, and asks the credential
    helper that is named there. Raises RegistryError where these cannot be read.
    """
    import docker.errors
    from docker.auth import AuthConfig, load_config

    try:
        config: AuthConfig = load_config()
        entry = config.resolve_authconfig(host)
    except (docker.errors.DockerException, OSError, ValueError, LookupError, TypeError):
        # What they say may quote the file.
        raise RegistryError(
            f"docker's credentials for {host} cannot be read",
            f"try: docker login {host}; a credential helper has to work without a terminal",
        ) from None
    user = entry.get("username") or entry.get("Username") if entry else None
    secret = entry.get("password") or entry.get("Password") if entry else None
    return (str(user), str(secret)) if user and secret else None
