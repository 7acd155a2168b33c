# SPDX-License-Identifier: GPL-2.0-or-later
"""Options of the hypervisor and of dom0's kernel that a person gives, for a boot menu.

The names of Xen's are held against docs/misc/xen-command-line of the tree that it was built from.
"""

from __future__ import annotations

import difflib
import re
import tarfile
from collections.abc import Collection, Sequence

from builders.errors import BuildError, Exit
from builders.ground.sources.cache import CachedFile
from builders.host.problems import Problems, quoted
from builders.pipeline.run import Run
from builders.pipeline.stages import STAGES, Store
from builders.pipeline.supplies import Supplies, digest_of

STAGE = "xen-options"  # what is kept of the tree of a build
_FILE = "xen-command-line"
_MANUAL = re.compile(r"(?:\./)?(?:[^/]+/)?docs/misc/xen-command-line\.(pandoc|markdown)")
_LARGEST = 4 << 20  # bytes of that document; it has 90 KiB in Xen 4.20
_MEMBERS = 200_000  # of a tree that are looked at
# ### dom0_mem (x86); ### ivrs_hpet[`<hpet>`] (AMD). Older ones escape the underscore.
_HEADING = re.compile(r"### ([a-z0-9][a-z0-9_.-]*)(?:\[[^]]*\])?\s*(?:\(([^)]*)\))?\s*")
# GRUB's menu is a script, and so is what it is made by: nothing of this means anything there.
_WORD = re.compile(r"[A-Za-z0-9_.,:=+/@%^~()-]+")
_NAME = re.compile(r"[A-Za-z0-9_.-]+(\[[A-Za-z0-9:.]+\])?")
MOST = 500  # characters of each kernel's options, of the 1,023 that Xen hands on
_OWN = {
    "dom0_mem": "--dom0-mem",
    "dom0_max_vcpus": "--dom0-vcpus",
    "ucode": "--microcode",
}


def names(text: str) -> frozenset[str]:
    """The options that Xen's document describes, but for those of other processors than x86."""
    found = set()
    for line in text.splitlines():
        match = _HEADING.fullmatch(line.replace("\\_", "_"))
        if match and "arm" not in (match[2] or "").lower():
            found.add(match[1])
    return frozenset(found)


def of_tree(run: Run) -> frozenset[str]:
    """The options of the Xen that the recipe of `run` builds.

    The document is kept as a stage, by the digest of its source. BuildError (SOURCE) where neither
    it nor the source is here, or the tree has no such document.
    """
    xen = run.recipe.xen
    if xen is None:
        raise BuildError(
            f"--xen: recipe {run.recipe.name} builds no hypervisor, so its options are not known",
            hint="name a recipe that does: --recipe NAME",
        )
    fetched = Supplies(run, names=[xen.source]).resolved().get(xen.source)
    if fetched is None:
        raise BuildError(
            "--xen: the options of this Xen are described in its source, which is not here",
            hint=f"./inv fetch --recipe {run.recipe.name}",
            exit=Exit.SOURCE,
        )
    inputs = {"source": digest_of(fetched)}
    store = Store(run.folder / STAGES)
    made = store.find(STAGE, inputs)
    if made is None:
        with store.make(STAGE, inputs) as making:
            (making.folder / _FILE).write_bytes(_document(fetched.files))
        made = store.made(STAGE, inputs)
    return names((made.folder / _FILE).read_text(encoding="utf-8", errors="replace"))


def _document(files: Sequence[CachedFile]) -> bytes:
    for file in files:
        try:
            with tarfile.open(file.path, "r|*") as tar:
                for number, member in enumerate(tar):
                    if number > _MEMBERS:
                        break
                    if member.isreg() and _MANUAL.fullmatch(member.name):
                        content = tar.extractfile(member)
                        if content and member.size <= _LARGEST:
                            return content.read(_LARGEST)
        except (tarfile.TarError, OSError, EOFError):
            continue
    raise BuildError(
        "--xen: the source of this Xen has no docs/misc/xen-command-line",
        hint="without it no option can be held against it; leave --xen out",
        exit=Exit.SOURCE,
    )


def read(
    given: Sequence[str], option: str, problems: Problems, known: Collection[str] | None = None
) -> tuple[str, ...]:
    """The options given to `option`, as they stand on a command line; what is wrong with them
    goes to `problems`. known: the names that there are; None where any may be.
    """
    found: list[str] = []
    for text in given:
        word = text.strip()
        name = word.partition("=")[0]
        if not _WORD.fullmatch(word) or not _NAME.fullmatch(name):
            problems.add(
                f"{option} {quoted(text)}: no option of a kernel",
                "NAME or NAME=VALUE, without spaces, quotes and what means something to GRUB",
            )
        elif instead := _OWN.get(name) if known is not None else None:
            problems.add(f"{option} {quoted(text)}: {instead} sets it", f"leave it to {instead}")
        elif name == "xen-pciback.hide" or name == "xen_pciback.hide":
            problems.add(f"{option} {quoted(text)}: --hide sets it", "leave it to --hide")
        elif word in found:
            problems.add(f"{option} {quoted(text)} is there already", "give each once")
        elif known is not None and not _is_known(name, known):
            near = difflib.get_close_matches(name, sorted(known), 3)
            problems.add(
                f"{option} {quoted(text)}: this Xen has no option {quoted(name)}",
                f"did you mean {' or '.join(near)}?"
                if near
                else "docs/misc/xen-command-line of its source lists them",
            )
        else:
            found.append(word)
    if (length := len(" ".join(found))) > MOST:
        problems.add(f"{option}: {length} characters of options", f"at most {MOST}")
    return tuple(found)


def _is_known(name: str, known: Collection[str]) -> bool:
    # A boolean one can be written no-NAME (parse_params, xen/common/kernel.c).
    plain = name.partition("[")[0]
    return plain in known or plain.removeprefix("no-") in known
