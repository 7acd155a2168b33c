# SPDX-License-Identifier: GPL-2.0-or-later
"""The bill of materials of a build, as CycloneDX 1.6 and as SPDX 2.3.

Both say the same: the packages; the sources and patches that they were made from; what they
need at run time, by their Depends; and, marked as such, what was installed when they were
built. Libraries whose code a compiler copied into a package (static ones, and headers) are among
the last: nothing notes which of them it read.
"""

from __future__ import annotations

import importlib
import io
import re
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from builders import VERSION
from builders.debkit.deb.relations import related
from builders.errors import not_installed
from builders.release import purl
from builders.release.facts import Build, Origin, Packed
from builders.release.repository import ORIGIN

if TYPE_CHECKING:
    from cyclonedx.model.component import Component
    from spdx_tools.spdx.model.package import Package

_SPACE = uuid.UUID("6c1f7b0e-3d0e-5a55-9a5e-8a5d7e0c4f21")  # of the names made below


def needed(build: Build) -> list[str]:
    """The packages that the build's packages depend on, alternatives too; sorted."""
    own = {p.control["Package"] for p in build.packages}
    found = (related(p.control, "Pre-Depends", "Depends") for p in build.packages)
    return sorted(set().union(*found) - own)


def _identity(build: Build) -> uuid.UUID:
    """The same for the same packages from the same inputs."""
    digests = [p.sha256 for p in build.packages] + [
        f.sha256 for o in build.origins for f in o.files
    ]
    return uuid.uuid5(_SPACE, " ".join([build.base, *digests]))


def cyclonedx(build: Build) -> bytes:
    """The bill as CycloneDX 1.6 in JSON."""
    from cyclonedx.model import HashAlgorithm, HashType, Property
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import (
        Component,
        ComponentScope,
        ComponentType,
        Patch,
        PatchClassification,
        Pedigree,
    )
    from cyclonedx.output import make_outputter
    from cyclonedx.schema import OutputFormat, SchemaVersion
    from packageurl import PackageURL

    def component(
        name: str,
        kind: ComponentType,
        version: str,
        url: str,
        *,
        sha256: str = "",
        scope: ComponentScope | None = None,
        role: str,
        pedigree: Pedigree | None = None,
        ref: str = "",
    ) -> Component:
        return Component(
            name=name,
            type=kind,
            version=version or None,
            bom_ref=ref or url,
            purl=PackageURL.from_string(url) if url else None,
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=sha256)] if sha256 else [],
            scope=scope,
            pedigree=pedigree,
            properties=[Property(name="dom0-debs:role", value=role)],
        )

    def packed(package: Packed) -> Component:
        control = package.control
        url = purl.ours(control["Package"], control["Version"], control["Architecture"])
        return component(
            control["Package"],
            ComponentType.APPLICATION,
            control["Version"],
            url,
            sha256=package.sha256,
            role="package",
        )

    def source(origin: Origin, patched: bool) -> list[Component]:
        pedigree = None
        if patched:
            pedigree = Pedigree(
                patches=[Patch(type=PatchClassification.UNOFFICIAL)],
                notes="patched with: " + ", ".join(f"{p.name} ({p.sha256})" for p in build.patches),
            )
        return [
            component(
                file.name,
                ComponentType.FILE,
                origin.version,
                purl.of_source(origin),
                sha256=file.sha256,
                role=f"source {origin.name}",
                pedigree=pedigree,
                ref=f"source:{origin.name}:{file.name}",
            )
            for file in origin.files
        ]

    made = [packed(package) for package in build.packages]
    # A series is applied to the tree, which the first source gives.
    sources = [
        c
        for n, origin in enumerate(build.origins)
        for c in source(origin, patched=n == 0 and bool(build.patches))
    ]
    runtime = [
        component(
            name,
            ComponentType.LIBRARY,
            "",
            purl.debian(name),
            scope=ComponentScope.REQUIRED,
            role="runtime dependency",
            ref=f"runtime:{name}",
        )
        for name in needed(build)
    ]
    building = [
        component(
            p.name,
            ComponentType.LIBRARY,
            p.version,
            purl.debian(p.name, p.version, p.architecture),
            scope=ComponentScope.EXCLUDED,
            role="build environment",
            ref=f"build:{p.name}:{p.architecture}",
        )
        for p in build.installed
    ]
    whole = Component(
        name=build.source, type=ComponentType.APPLICATION, version=build.version, bom_ref="build"
    )
    bom = Bom(components=[*made, *sources, *runtime, *building], serial_number=_identity(build))
    bom.metadata.timestamp = datetime.fromtimestamp(build.epoch, UTC)
    bom.metadata.component = whole
    bom.metadata.tools.components.add(
        Component(name=ORIGIN, type=ComponentType.APPLICATION, version=VERSION, bom_ref="tool")
    )
    bom.register_dependency(whole, made)
    for component_ in made:
        bom.register_dependency(component_, [*sources, *runtime])
    text = make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(indent=1)
    return (text + "\n").encode()


def has_spdx() -> bool:
    """Whether the packages that write SPDX are installed, those of requirements-spdx.lock."""
    try:
        importlib.import_module("spdx_tools.spdx.writer.json.json_writer")
    except ImportError:
        return False
    return True


def known_spdx() -> None:
    """BuildError where the packages that write SPDX are not installed."""
    if not has_spdx():
        raise not_installed("--spdx: spdx-tools", "requirements-spdx.lock")


def spdx(build: Build) -> bytes:
    """The bill as SPDX 2.3 in JSON; `known_spdx` tells whether it can be made."""
    from spdx_tools.spdx.model.actor import Actor, ActorType
    from spdx_tools.spdx.model.checksum import Checksum, ChecksumAlgorithm
    from spdx_tools.spdx.model.document import CreationInfo, Document
    from spdx_tools.spdx.model.package import (
        ExternalPackageRef,
        ExternalPackageRefCategory,
        Package,
    )
    from spdx_tools.spdx.model.relationship import Relationship, RelationshipType
    from spdx_tools.spdx.model.spdx_no_assertion import SpdxNoAssertion
    from spdx_tools.spdx.writer.json.json_writer import write_document_to_stream

    packages: list[Package] = []
    relations: list[Relationship] = []

    def add(kind: str, name: str, version: str, *, sha256: str = "", url: str = "") -> str:
        ref = "SPDXRef-" + re.sub(r"[^A-Za-z0-9.-]", "-", f"{kind}-{len(packages)}-{name}")
        packages.append(
            Package(
                spdx_id=ref,
                name=name,
                download_location=SpdxNoAssertion(),
                version=version or None,
                files_analyzed=False,
                checksums=[Checksum(ChecksumAlgorithm.SHA256, sha256)] if sha256 else [],
                external_references=[
                    ExternalPackageRef(ExternalPackageRefCategory.PACKAGE_MANAGER, "purl", url)
                ]
                if url
                else [],
            )
        )
        return ref

    def relate(one: str, kind: RelationshipType, other: str) -> None:
        relations.append(Relationship(one, kind, other))

    made = []
    for package in build.packages:
        c = package.control
        url = purl.ours(c["Package"], c["Version"], c["Architecture"])
        made.append(add("package", c["Package"], c["Version"], sha256=package.sha256, url=url))
        relate("SPDXRef-DOCUMENT", RelationshipType.DESCRIBES, made[-1])
    sources = [
        add("source", f.name, o.version, sha256=f.sha256, url=purl.of_source(o))
        for o in build.origins
        for f in o.files
    ]
    patches = [add("patch", p.name, "", sha256=p.sha256) for p in build.patches]
    runtime = [add("runtime", name, "", url=purl.debian(name)) for name in needed(build)]
    building = [
        add("build", p.name, p.version, url=purl.debian(p.name, p.version, p.architecture))
        for p in build.installed
    ]
    for patch in patches:
        relate(patch, RelationshipType.PATCH_FOR, sources[0])
    for one in made:
        for other in sources:
            relate(one, RelationshipType.GENERATED_FROM, other)
        for other in runtime:
            relate(other, RelationshipType.RUNTIME_DEPENDENCY_OF, one)
        for other in building:
            relate(other, RelationshipType.BUILD_DEPENDENCY_OF, one)
    document = Document(
        CreationInfo(
            spdx_version="SPDX-2.3",
            spdx_id="SPDXRef-DOCUMENT",
            name=build.base,
            document_namespace=f"urn:uuid:{_identity(build)}",
            creators=[Actor(ActorType.TOOL, f"{ORIGIN}-{VERSION}")],
            created=datetime.fromtimestamp(build.epoch, UTC).replace(tzinfo=None),
        ),
        packages=packages,
        relationships=relations,
    )
    out = io.StringIO()
    write_document_to_stream(document, out)
    return (out.getvalue() + "\n").encode()
