# SPDX-License-Identifier: GPL-2.0-or-later
"""An in-toto statement with SLSA v1 provenance: what a build's packages were made from.

https://slsa.dev/spec/v1.0/provenance and https://in-toto.io/Statement/v1. It says nothing of
when or where it was built: two boxes that build the same state the same.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from builders import VERSION
from builders.ground.engine.container import ENVIRONMENT
from builders.pipeline.recipe import GitSource, TreeSource, UrlSource
from builders.release import purl
from builders.release.facts import Build, Material, Origin

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:x-dom0-debs:build:1"  # docs/release.md says what its parameters are
BUILDER = "urn:x-dom0-debs:builder"


def statement(build: Build, commit: str) -> bytes:
    """The statement, as JSON; commit: of this tool, "" where it is not known."""
    version = {"dom0-debs": VERSION} | ({"git": commit} if commit else {})
    document = {
        "_type": STATEMENT,
        "subject": [{"name": p.path.name, "digest": {"sha256": p.sha256}} for p in build.packages],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "recipe": build.recipe.name,
                    "target": build.target,
                    "overrides": list(build.overrides),
                    **({"changed": list(build.changed)} if build.changed else {}),
                },
                "internalParameters": {
                    "suite": build.recipe.suite.name,
                    "sourceDateEpoch": build.epoch,
                    "ccache": build.cached,
                    "environment": dict(ENVIRONMENT),
                    "build": build.record.inputs(),
                    "finish": dict(build.stages[2].inputs),
                },
                "resolvedDependencies": [
                    *(item for origin in build.origins for item in _source(origin)),
                    *(_file("patch", f) for f in build.patches),
                    *(_file("file", f) for f in build.fragments),
                    *(_file("recipe", f) for f in build.recipe_files),
                    _image(build),
                    *(
                        {
                            "name": f"{p.name} {p.version} {p.architecture}",
                            "uri": purl.debian(p.name, p.version, p.architecture),
                            "annotations": {"kind": "builder image"},
                        }
                        for p in build.installed
                    ),
                ],
            },
            "runDetails": {"builder": {"id": BUILDER, "version": version}},
        },
    }
    return (json.dumps(document, indent=1, sort_keys=True) + "\n").encode()


def _source(origin: Origin) -> list[dict[str, Any]]:
    about = origin.about
    items = []
    for file in origin.files:
        item: dict[str, Any] = _file("source", file)
        item["annotations"] |= {"source": origin.name, "version": origin.version}
        if isinstance(about, TreeSource):
            item["annotations"]["from"] = "a changed tree"
        if isinstance(about, GitSource):
            item["digest"]["gitCommit"] = origin.version
        if isinstance(about, TreeSource) and about.commit:
            item["digest"]["gitCommit"] = about.commit
        item["uri"] = purl.of_source(origin)
        if isinstance(about, (UrlSource, GitSource)):
            # A file of this box is known by its digest, not by its place.
            item["annotations"]["urls"] = [u for u in about.urls if not u.startswith("file:")]
        items.append(item)
    return items


def _file(kind: str, file: Material) -> dict[str, Any]:
    return {
        "name": file.name,
        "digest": {"sha256": file.sha256},
        "annotations": {"kind": kind},
    }


def _image(build: Build) -> dict[str, Any]:
    text = "".join(f"{p.name} {p.version} {p.architecture}\n" for p in build.installed)
    return {
        "name": "packages of the builder image",
        "digest": {"sha256": hashlib.sha256(text.encode()).hexdigest()},
        "annotations": {"kind": "builder image", "fingerprint": build.image},
    }
