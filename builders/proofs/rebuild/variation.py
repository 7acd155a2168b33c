# SPDX-License-Identifier: GPL-2.0-or-later
"""Another box, as far as one container can play it: what a second build has that is different."""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from builders.ground.engine.container import ENVIRONMENT, PLACE, Place
from builders.pipeline.plan import WORK, Phase, Plan, assigned
from builders.pipeline.recipe import DebianPackage, Recipe
from builders.proofs.rebuild.evidence import Known

_PLACE = Place("elsewhere", "somebody", 4321, "/srv/somewhere-else")
_CLOCK = "clock"  # the source that brings libfaketime
_LOCALES = "locales"
_LOCALE = "et_EE.UTF-8"  # sorts z before t, and writes 1,5 for 1.5
_TZ = "ELSE-14"  # UTC+14 (tzset(3)), for which no file is needed
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/opt/elsewhere"
_RELEASE = "6.99.0-elsewhere"
_SHIM = "elsewhere.c"
_UMASK = "0002"  # dpkg-deb(1) wants its control folder to be 0755 or 0775
# The folder, and none of that name in another.
_FOLDER = re.compile(rf"(?<![\w/.){{}}$-]){WORK}(?![\w.-])")

# LC_TIME is not another: date(1) writes the dates that go into the packages with it, and that it
# is English is a part of the build's own settings. Files keep the times that the kernel gives
# them: were those of the sources changed too, every one that is installed would differ.
_PRELUDE = """
export USER={user} LOGNAME={user} HOME={home} TZ={tz} CCACHE_DISABLE=1
export PATH={path}
unset LC_ALL
export LANG={locale} LC_TIME=C.UTF-8 LOCPATH={work}/elsewhere/locales
export LD_PRELOAD={work}/elsewhere/box.so
umask {umask}
"""
# faketime(1): every program sees another time.
_LATER = """
export LD_PRELOAD="$LD_PRELOAD:{work}/elsewhere/libfaketime.so.1"
export FAKETIME="{seconds:+d}" FAKETIME_DONT_FAKE_MONOTONIC=1 NO_FAKE_STAT=1
"""
_SAY = """
echo "elsewhere: $(id -un) at $(uname -n), $(date '+%F %T %z'), umask $(umask), $(nproc) core(s)"
"""

# What the box was before it became another; elsewhere.sh looks whether that has changed.
_BEFORE = "real=$(date +%s) here=$(nproc) last=$(ls -U /etc | tail -n 1)\n"
_NEEDED = ("clock", "locales", "locale", "release", "shim")
_CHECKED = ("seconds", "hostname", "user", "uid", "home", "work", "umask", "release")


def _script(name: str) -> str:
    return Path(__file__).with_name(f"{name}.sh").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Variation:
    """How a build differs from an ordinary one.

    place: another host name, user and folder. seconds: how far the clock is ahead. The rest is
    fixed: time zone, locale, umask, $PATH, one more processor, the opposite order of files in
    folders, another release of the kernel. Nothing is taken from ccache, so that every object is
    made anew.
    """

    place: Place = _PLACE
    seconds: int = 0

    def about(self) -> str:
        """What is another there, in one line for people."""
        place = self.place
        return (
            f"host {place.hostname}, user {place.user} ({place.uid}), folder {place.folder}, "
            f"clock {self.seconds:+d} s, time zone UTC+14, locale {_LOCALE}, umask {_UMASK}, "
            "one more processor, other jobs, files in the opposite order, "
            f"kernel {_RELEASE}, no ccache"
        )

    def known(self) -> list[Known]:
        """How what differs reads in a build's files, the longest first."""
        home, place = PLACE, self.place
        return [
            Known("release of the kernel", "", _RELEASE),
            Known("$PATH", ENVIRONMENT["PATH"], _PATH),
            Known("home of the user", home.home, place.home),
            Known("folder of the build", home.folder, place.folder),
            Known("host's name", home.hostname, place.hostname),
            Known("user's name", home.user, place.user),
            Known("user's number", str(home.uid), str(place.uid)),
            Known("locale", ENVIRONMENT["LANG"], _LOCALE),
            Known("time zone", "UTC", _TZ),
            Known("time zone", "+0000", "+1400"),
            Known("time zone", "UTC", _TZ.partition("-")[0]),
            Known("umask", "0022", _UMASK),
        ]

    def recipe(self, recipe: Recipe) -> Recipe:
        """`recipe` with the sources that the other box needs."""
        more = {_LOCALES: DebianPackage(_LOCALES, "locales", "*")}
        if self.seconds:
            more[_CLOCK] = DebianPackage(_CLOCK, "libfaketime", "*")
        return dataclasses.replace(recipe, sources={**recipe.sources, **more})

    def plan(self, plan: Plan) -> Plan:
        """`plan` as it runs there."""
        words = {
            "work": self.place.folder,
            "user": self.place.user,
            "uid": self.place.uid,
            "home": self.place.home,
            "hostname": self.place.hostname,
            "seconds": self.seconds,
            "tz": _TZ,
            "locale": _LOCALE,
            "path": _PATH,
            "release": _RELEASE,
            "umask": _UMASK,
            "shim": _SHIM,
            "clock": _CLOCK,
            "locales": _LOCALES,
        }
        prelude = (_PRELUDE + (_LATER if self.seconds else "")).format(**words)
        values = "".join(f"{name}={shlex.quote(str(words[name]))}\n" for name in _CHECKED)
        needed = {name: str(words[name]) for name in _NEEDED}
        setup = assigned(**needed) + _script("elsewhere-setup")
        setup += f"{_BEFORE}{prelude}{values}{_script('elsewhere')}"
        phases = [Phase("elsewhere", setup, folder=self.place.folder)]
        phases += [
            dataclasses.replace(
                phase,
                script=prelude + _SAY + self._moved(phase.script),
                folder=self._moved(phase.folder),
            )
            for phase in plan.phases
        ]
        files = {
            name: self._moved(content.decode("latin-1")).encode("latin-1")
            for name, content in plan.files.items()
        }
        return dataclasses.replace(
            plan,
            phases=tuple(phases),
            sources=(*plan.sources, *self._own()),
            files=files | {_SHIM: Path(__file__).with_name(_SHIM).read_bytes()},
            after={name: self._reading(check) for name, check in plan.after.items()},
            work=self.place.folder,
        )

    def _own(self) -> tuple[str, ...]:
        return (_LOCALES, _CLOCK) if self.seconds else (_LOCALES,)

    def _moved(self, text: str) -> str:
        """`text` with the folder of the build where the ordinary one's stands."""
        return _FOLDER.sub(self.place.folder, text)

    def _reading(
        self, check: Callable[[Callable[[str], bytes]], None]
    ) -> Callable[[Callable[[str], bytes]], None]:
        """`check` of an ordinary tree's files, given what reads files of this one."""
        return lambda read: check(lambda path: read(self._moved(path)))
