# SPDX-License-Identifier: GPL-2.0-or-later
"""What this tool has in the engine: containers of earlier runs, images and volumes."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from builders.ground.engine.failures import engine_errors
from builders.ground.engine.labels import LABEL

if TYPE_CHECKING:
    from docker import DockerClient


def sweep(client: DockerClient, owner: str, recipe: str = "") -> int:
    """Remove what an earlier run of this checkout left; how many containers that were.

    Only for the holder of the run's lock: a container that is in use has the same labels.
    """
    ours = [f"{LABEL}.owner={owner}"] + ([f"{LABEL}.recipe={recipe}"] if recipe else [])
    with engine_errors("looking for containers of an earlier run"):
        containers = client.containers.list(all=True, filters={"label": ours}, ignore_removed=True)
        for container in containers:
            with suppress(Exception):
                container.remove(force=True, v=True)
        for volume in client.volumes.list(filters={"label": [*ours, f"{LABEL}.role=slots"]}):
            with suppress(Exception):
                volume.remove()
    return len(containers)


def remove_images(client: DockerClient) -> int:
    """Remove every image and volume of this tool that nothing uses; how many."""
    count = 0
    with engine_errors("removing images"):
        for image in client.images.list(filters={"label": f"{LABEL}.role"}):
            for tag in image.tags or [str(image.id)]:
                with suppress(Exception):  # in use: another run's
                    client.images.remove(tag)
                    count += 1
        for volume in client.volumes.list(filters={"name": "dom0-debs-"}):
            with suppress(Exception):
                volume.remove()
                count += 1
    return count
