# SPDX-License-Identifier: GPL-2.0-or-later
"""A clean machine of a suite with GRUB on it, for the package of a host's settings.

GRUB is the suite's own: grub-mkconfig, its scripts, update-grub, grub-script-check. A container
has no disk, so what a probe of one would find is answered by a stand-in for grub-probe(8) alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from builders.ground.engine.step import Step
from builders.pipeline.run import Run
from builders.proofs.trial import clean

UUID = "5a4b1c0e-0000-4000-8000-000000000001"
PROBE = f"""#!/bin/sh
case "$*" in
    *target=device*) echo /dev/vda1 ;;
    *target=fs_uuid*) echo {UUID} ;;
    *target=fs*) echo ext2 ;;
    *target=partmap*) echo gpt ;;
    *target=abstraction* | *hint*) ;;
    *) exit 1 ;;
esac
"""
GRUB = ["grub2-common", "grub-pc"]
_SETUP = """
export DEBIAN_FRONTEND=noninteractive
apt-get install --yes --no-install-recommends grub2-common grub-pc {names}
dpkg-divert --quiet --rename --add /usr/sbin/grub-probe
install -m 755 /srv/grub-probe /usr/sbin/grub-probe
test -e /etc/default/grub || cp /usr/share/grub/default/grub /etc/default/grub
mkdir -p /boot/grub; grub-editenv /boot/grub/grubenv create
update-grub
"""
# Every file with its type, mode, owner, digest or target; but what dpkg and ldconfig keep of
# themselves. The same for /boot, where the menu is.
STATE = """
for root in /etc /boot /usr/share/dom0-config /var/lib/dpkg/diversions; do
    [ -e "$root" ] || continue
    find "$root" -printf '%p %y %m %u %g %l\\n' | LC_ALL=C sort
    find "$root" -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
done
"""


@contextmanager
def machine(run: Run, debs: Sequence[Path], installed: Sequence[str]) -> Iterator[Step]:
    """GRUB and those of `debs` that `installed` names are installed; the rest apt knows of."""
    supplied = clean.supply(run, debs, [[*GRUB, *installed]])
    with clean.machine(run, "host", debs, supplied) as step:
        step.container.put("/srv", [("grub-probe", PROBE.encode())])
        step.phase("install", _SETUP.format(names=" ".join(installed)))
        yield step


def changed(step: Step, before: str) -> list[str]:
    """The lines of `STATE` that are not as they were."""
    now, then = step.output(STATE).splitlines(), before.splitlines()
    gone, come = set(then) - set(now), set(now) - set(then)
    return sorted(f"-{line}" for line in gone) + sorted(f"+{line}" for line in come)


def menu(step: Step) -> str:
    """grub.cfg, which GRUB's own parser has read."""
    return step.output("grub-script-check /boot/grub/grub.cfg && cat /boot/grub/grub.cfg")


def entry(text: str) -> tuple[str, str]:
    """The command lines of Xen and of its kernel in the entry that boots by default."""
    default = re.search(r'^ *set default="([^"$]*)"$', text, re.MULTILINE)
    assert default
    chosen = default[1]
    entries = list(re.finditer(r"^menuentry '.*?^}$", text, re.MULTILINE | re.DOTALL))
    found = (
        entries[int(chosen)]
        if chosen.isdigit()
        else next(e for e in entries if f"'{chosen}'" in e[0].splitlines()[0])
    )
    xen = re.search(r"^\s*multiboot2?\s+(\S+) placeholder (.*?)\s*\$", found[0], re.MULTILINE)
    kernel = re.search(r"^\s*module2?\s+(\S+) placeholder (.*?)\s*$", found[0], re.MULTILINE)
    assert xen, found[0]
    assert kernel, found[0]
    return f"{xen[1]} {xen[2]}", f"{kernel[1]} {kernel[2]}"
