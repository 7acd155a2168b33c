# SPDX-License-Identifier: GPL-2.0-or-later
"""What else runs when a package comes or goes: the boot loader's menu, and a thorough purge."""

from __future__ import annotations

import posixpath

from builders.debkit.corrections import PURGEABLE, purge_problem
from builders.debkit.deb import Added
from builders.debkit.finish.relations import parse_relations
from builders.debkit.finish.work import Work
from builders.errors import BuildError

# A menu that could not be written is no reason to leave the package half-installed.
_GRUB = """\
if [ "$1" = "{when}" ] && [ -x "$(command -v update-grub)" ] && [ -d /boot/grub ]; then
    update-grub || true
fi
"""
# While a package with files of the same names is installed, what is there is its own. One that has
# left its configuration may rely on directories, when it is purged.
_OTHERS = """\
others=$(dpkg-query --show --showformat='${{Status}}\\n' {names} 2>/dev/null || true)
if ! echo "$others" | grep -q -v -e '^$' -e ' not-installed$' -e ' config-files$'; then
{removed}fi
if ! echo "$others" | grep -q -v -e '^$' -e ' not-installed$'; then
{emptied}fi
"""


def correct(work: Work) -> None:
    """Apply the verbs `grub`, `purge` and `files`. BuildError where a path can't be right."""
    if work.corrections.grub:
        # After removal too: an entry for a hypervisor that is gone does not boot.
        work.snippets.append(("postinst", _GRUB.format(when="configure")))
        work.snippets.append(("postrm", _GRUB.format(when="remove")))
    if work.corrections.purge:
        work.snippets.append(("postrm", _purge(work)))
    there = work.paths()
    for path, text in work.corrections.files.items():
        if not path.startswith("/") or posixpath.normpath(path) != path or path == "/":
            raise BuildError(f"files: {path!r} is no absolute path", hint="write it like /etc/x")
        if path in there:
            raise BuildError(
                f"files: {path} is in the package already", hint="remove that one, or name another"
            )
        mode = 0o755 if text.startswith("#!") else 0o644
        work.add.append(Added(path, text.encode(), mode))


def _purge(work: Work) -> str:
    removed, emptied = "", ""
    for path in work.corrections.purge:
        _check(path)
        if path.endswith("/"):
            emptied += f"    rmdir {path} 2>/dev/null || true\n"
        else:
            removed += f"    rm -rf {path}\n"
    others = parse_relations("conflicts", work.corrections.conflicts)
    names = {one.name for group in others for one in group.choices}
    body = removed + emptied
    if names:
        told = " ".join(sorted(names))
        body = _OTHERS.format(
            names=told, removed=removed or "    :\n", emptied=emptied or "    :\n"
        )
        body = "".join(f"    {line}\n" for line in body.splitlines())
    return f'if [ "$1" = "purge" ]; then\n{body}fi\n'


def _check(path: str) -> None:
    if problem := purge_problem(path):
        raise BuildError(
            f"purge: {problem}", hint=f"name a path below one of: {', '.join(PURGEABLE)}"
        )
