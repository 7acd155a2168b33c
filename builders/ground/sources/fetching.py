# SPDX-License-Identifier: GPL-2.0-or-later
"""Every input by content: fetched in parallel, resumed, verified, kept by digest.

A file is identified by its sha256 and a tree by its commit, so neither the
channel nor the mirror is trusted: http is as good as https, and a redirect
from https to http is followed. The versions of a Debian package and their
digests come from a DebianIndex, which reads them from the suite's signed lists.
"""

from __future__ import annotations

import dataclasses
import functools
import queue
import shlex
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Protocol

from builders.errors import BuildError, Exit, Interrupted
from builders.files import scratch
from builders.ground.sources.address import (
    Failed,
    Missing,
    Patience,
    Wrong,
    is_file,
    is_local,
    local_file,
    shown,
)
from builders.ground.sources.cache import Cache, CachedFile, Fetched, file_name
from builders.ground.sources.download import Download, probe
from builders.ground.sources.git import Git, commit_as_tar, pack_of, pack_place, tar_of_pack
from builders.ground.sources.pins import (
    DebianPackage,
    DebianSource,
    GitSource,
    Source,
    TreeSource,
    UrlSource,
)
from builders.ground.sources.references import Trust, commit_of
from builders.progress import Reporter, Task
from builders.text import printable


@dataclass(frozen=True)
class Candidate:
    """One version of a Debian source, and the files of it, each pinned by its sha256.

    pinned: by the recipe itself, not by the suite's index.
    """

    version: str
    files: tuple[UrlSource, ...]
    pinned: bool = False


class Elsewhere(Protocol):
    """A place beside the addresses of a source that may have a file of a pinned digest."""

    def source(self, source: UrlSource, name: str, cache: Cache) -> CachedFile | None:
        """The file in the cache, its digest checked; None where that place has none."""

    def offer_source(self, file: CachedFile) -> None:
        """Tell that place of a file in the cache."""

    def pack(self, commit: str, place: Path) -> bool:
        """Write the pack of a commit to `place`, its bytes as announced; whether there is one."""

    def offer_pack(self, commit: str, make: Callable[[], Path]) -> None:
        """Tell that place of the pack of a commit, which is made only where it has none."""


class DebianIndex(Protocol):
    """Whoever knows what the suite offers."""

    def candidates(
        self, sources: Sequence[DebianSource | DebianPackage]
    ) -> Mapping[str, Sequence[Candidate]]:
        """For the name of each source the versions that will do, the best first.

        Raises BuildError where the index can't be had or verified, or has none.
        """


def fetch_all(
    sources: Iterable[Source],
    cache: Cache,
    reporter: Reporter,
    *,
    debian: DebianIndex | None = None,
    scope: str = "",
    offline: bool = False,
    refresh: bool = False,
    verify: bool = False,
    jobs: int = 4,
    cancel: threading.Event | None = None,
    patience: Patience | None = None,
    trust: Trust | None = None,
    elsewhere: Elsewhere | None = None,
) -> dict[str, Fetched]:
    """All `sources` in the cache, by name and in their order.

    scope: what else decides a Debian version (the suite and its mirror).
    offline: only what is cached or on this box. refresh: ask again for Debian
    versions, branches and tags that were resolved before. verify: read cached files anew, not only
    their size. jobs: sources at a time. trust: checks the signatures of tags. elsewhere: is asked
    before the addresses, where the run is not offline.

    Raises BuildError (source) that names every source that failed, each address
    with its own reason; what could be fetched is kept. Raises Interrupted within
    a second or two after `cancel` is set; what has arrived is kept for the next run.
    """
    every = list(sources)
    stop = threading.Event() if cancel is None else cancel
    patience = patience or Patience()
    cache.sweep()
    fetched: dict[str, Fetched] = {}
    for source in every:
        if stop.is_set():
            raise Interrupted
        if not (refresh and not offline and _moves(source)):
            cached = cache.resolved(source, scope=scope, verify=verify, note=reporter.line)
            if cached is not None:
                fetched[source.name] = cached
    missing = [source for source in every if source.name not in fetched]
    job = _Job(cache, reporter, patience, stop, offline, trust, elsewhere)
    work = [
        _Work((source.name,), functools.partial(job.one, source))
        for source in missing
        if isinstance(source, (UrlSource, GitSource, TreeSource))
    ]
    of_debian = [s for s in missing if isinstance(s, (DebianSource, DebianPackage))]
    if of_debian:
        names = tuple(s.name for s in of_debian)
        # First: the package lists come before the files, so it takes longest.
        work.insert(0, _Work(names, lambda: job.debian(of_debian, debian, scope)))
    failures = _side_by_side(work, jobs, stop, fetched)
    if failures:
        raise _joined(failures)
    if elsewhere and not offline:
        for source in every:
            # A commit goes as a pack, which proves what it is; a tree of somebody is nobody else's.
            if not isinstance(source, (GitSource, TreeSource)):
                for file in fetched[source.name].files:
                    elsewhere.offer_source(file)
    return {source.name: fetched[source.name] for source in every}


def take(
    source: UrlSource | GitSource,
    cache: Cache,
    elsewhere: Elsewhere,
    reporter: Reporter,
    stop: threading.Event,
) -> bool:
    """Fill the cache with a pinned file or commit from `elsewhere`; whether that has it."""
    if isinstance(source, GitSource):
        if not source.commit:
            return False
        job = _Job(cache, reporter, Patience(), stop, offline=False, elsewhere=elsewhere)
        with reporter.transfer(source.name) as task:
            return job.of_pack(source, task) is not None
    name = file_name(source)
    file = cache.lookup(source.sha256, name=name) or elsewhere.source(source, name, cache)
    if file is None or source.size not in (None, file.size):
        return False
    cache.record(source, Fetched(source.name, source.sha256, (file,)))
    return True


def reachable(source: UrlSource | GitSource, timeout: float = 10.0) -> str | None:
    """None where an address of `source` answers as it should, else the reason of each.

    Nothing is downloaded. timeout: seconds to wait for each answer.
    """
    patience = Patience(connect=timeout, stall=timeout, silence=timeout, attempts=1)
    reasons: list[tuple[str, str]] = []
    for url in source.urls:
        try:
            if isinstance(source, GitSource):
                with scratch("dom0-debs-git-") as folder:
                    git = Git(folder, patience, threading.Event(), source.name)
                    git.run("ls-remote", "--quiet", "--", url, "HEAD")
            elif is_file(url):
                local_file(url, source)
            else:
                probe(url, source, patience)
        except Failed as error:
            reasons.append((url, error.reason))
        except BuildError as error:
            return error.message
        else:
            return None
    return "; ".join(f"{shown(url)}: {reason}" for url, reason in reasons)


# -- running side by side ---------------------------------------------------


@dataclass(frozen=True)
class _Work:
    names: tuple[str, ...]
    run: Callable[[], list[Fetched]]


def _side_by_side(
    work: Sequence[_Work], jobs: int, stop: threading.Event, fetched: dict[str, Fetched]
) -> list[tuple[_Work, BuildError]]:
    """Run `work` in at most `jobs` threads; results go to `fetched`, failures are returned."""
    todo: queue.SimpleQueue[_Work] = queue.SimpleQueue()
    outcomes: queue.SimpleQueue[tuple[_Work, list[Fetched], BaseException | None]]
    outcomes = queue.SimpleQueue()
    for item in work:
        todo.put(item)

    def worker() -> None:
        while not stop.is_set():
            try:
                item = todo.get_nowait()
            except queue.Empty:
                return
            try:
                outcomes.put((item, item.run(), None))
            except BaseException as error:  # raised by the thread that waits
                outcomes.put((item, [], error))

    # Daemons: a thread that waits for a silent server must not hold up Ctrl-C.
    threads = [
        threading.Thread(target=worker, daemon=True, name=f"fetch-{n}")
        for n in range(max(1, min(jobs, len(work))))
    ]
    failures: list[tuple[_Work, BuildError]] = []
    pending = len(work)
    try:
        for thread in threads:
            thread.start()
        while pending:
            try:
                item, results, error = outcomes.get(timeout=0.1)
            except queue.Empty:
                if stop.is_set():
                    raise Interrupted from None
                continue
            pending -= 1
            fetched.update({result.name: result for result in results})
            if isinstance(error, BuildError):
                failures.append((item, error))
            elif error is not None:
                raise error
    except BaseException:
        stop.set()
        until = time.monotonic() + 1.0
        for thread in threads:
            if thread.is_alive():
                thread.join(max(0.0, until - time.monotonic()))
        raise
    return sorted(failures, key=lambda failure: work.index(failure[0]))


def _joined(failures: Sequence[tuple[_Work, BuildError]]) -> BuildError:
    """One error for all failures: a single one as it is, several as lines of one."""
    if len(failures) == 1:
        return failures[0][1]
    names = [name for work, _ in failures for name in work.names]
    hints = list(dict.fromkeys(error.hint for _, error in failures if error.hint))
    return BuildError(
        f"{len(names)} sources could not be fetched: {', '.join(names)}\n"
        + "\n".join(error.message for _, error in failures),
        hint="\n".join(hints),
        exit=Exit.SOURCE,
    )


def _moves(source: Source) -> bool:
    """Whether it may be something else tomorrow: what a mirror lists, a branch or a tag."""
    if isinstance(source, GitSource):
        return bool(source.ref)
    return isinstance(source, (DebianSource, DebianPackage))


@dataclass(frozen=True)
class _Job:
    """What all sources of one run share."""

    cache: Cache
    reporter: Reporter
    patience: Patience
    stop: threading.Event
    offline: bool
    trust: Trust | None = None
    elsewhere: Elsewhere | None = None

    def one(self, source: UrlSource | GitSource | TreeSource) -> list[Fetched]:
        if isinstance(source, TreeSource):
            raise BuildError(
                f"source {source.name}: what was read from {printable(source.path)} is not kept "
                "any more",
                hint=f"read it again: --tree {source.name}={shlex.quote(source.path)}",
                exit=Exit.SOURCE,
            )
        return [self.url(source) if isinstance(source, UrlSource) else self.git(source)]

    def url(self, source: UrlSource) -> Fetched:
        name = file_name(source)
        with self.reporter.transfer(source.name) as task:
            file = self._cached(source, name) or self._download(source, name, task)
        fetched = Fetched(source.name, source.sha256, (file,))
        self.cache.record(source, fetched)
        return fetched

    def _cached(self, source: UrlSource, name: str) -> CachedFile | None:
        file = self.cache.lookup(source.sha256, name=name, note=self.reporter.line)
        if file is not None and source.size not in (None, file.size):
            raise BuildError(
                f"sources.{source.name}.size: the file of that sha256 has {file.size} bytes, "
                f"the recipe says {source.size}",
                hint="correct the size, or leave it out",
            )
        return file

    def _download(self, source: UrlSource, name: str, task: Task) -> CachedFile:
        result = self._attempt(source, name, task)
        if isinstance(result, CachedFile):
            return result
        raise BuildError(
            _report(source, result),
            hint=f"look at the reasons above; to use a copy of the file: "
            f"--set sources.{source.name}.urls=file:///path/to/{name}",
            exit=Exit.SOURCE,
        )

    def _attempt(self, source: UrlSource, name: str, task: Task) -> CachedFile | list[_Reason]:
        """The file in the cache, or why each address is of no use."""
        reasons: list[_Reason] = []
        urls = self._usable(source)
        with self.cache.partial(
            source.sha256, stop=self.stop, waiting=lambda: task.show("waiting for another run")
        ) as partial:
            file = self._cached(source, name)  # the other run may have finished it
            if file is None and self.elsewhere and not self.offline:
                task.show("the store")
                file = self.elsewhere.source(source, name, self.cache)
            if file is not None:
                return file
            download = Download(source, name, self.cache, partial, task, self.patience, self.stop)
            for url in urls:
                try:
                    return download.from_file(url) if is_file(url) else download.from_server(url)
                except Failed as error:
                    reasons.append((url, error))
                    if url != urls[-1]:
                        self._passed_over(source, url, error)
        return reasons

    def git(self, source: GitSource) -> Fetched:
        reasons: list[_Reason] = []
        urls = self._usable(source)
        with self.reporter.transfer(source.name) as task:
            if source.commit and (taken := self.of_pack(source, task)):
                return taken
            for url in urls:
                try:
                    with self.cache.scratch() as folder:
                        git = Git(folder, self.patience, self.stop, source.name, task)
                        commit = source.commit or commit_of(git, source, url, self.trust)
                        pinned = dataclasses.replace(source, commit=commit)
                        tar = commit_as_tar(git, pinned, url)
                        file = self._adopted(pinned, tar)
                        if self.elsewhere and not self.offline:
                            self.elsewhere.offer_pack(commit, partial(pack_of, git, pinned))
                except Failed as error:
                    reasons.append((url, error))
                    if url != urls[-1]:
                        self._passed_over(source, url, error)
                    continue
                if source.ref:
                    self.reporter.line(f"{source.name}: {source.ref} is at {commit}")
                fetched = Fetched(source.name, commit, (file,))
                self.cache.record(source, fetched)
                return fetched
        raise BuildError(
            _report(source, reasons),
            hint=f"look at the reasons above; to use a clone on this box: "
            f"--set sources.{source.name}.urls=file:///path/to/clone",
            exit=Exit.SOURCE,
        )

    def _adopted(self, source: GitSource, tar: Path) -> CachedFile:
        return self.cache.adopt(tar, name=f"{source.name}-{source.commit[:12]}.tar")

    def of_pack(self, source: GitSource, task: Task) -> Fetched | None:
        """The pinned commit out of a pack from elsewhere; None where there is none."""
        if not self.elsewhere or self.offline:
            return None
        task.show("the store")
        try:
            with self.cache.scratch() as folder:
                git = Git(folder, self.patience, self.stop, source.name, task)
                if not self.elsewhere.pack(source.commit, pack_place(git)):
                    return None
                file = self._adopted(source, tar_of_pack(git, source))
        except Failed as error:
            self.reporter.line(f"{source.name}: what the store has is not used: {error.reason}")
            return None
        fetched = Fetched(source.name, source.commit, (file,))
        self.cache.record(source, fetched)
        return fetched

    def debian(
        self,
        sources: Sequence[DebianSource | DebianPackage],
        suite: DebianIndex | None,
        scope: str,
    ) -> list[Fetched]:
        names = ", ".join(source.name for source in sources)
        if self.offline:
            raise BuildError(
                f"not in the cache, and the run is offline: {names}",
                hint="run once with the network",
                exit=Exit.SOURCE,
            )
        if suite is None:
            raise BuildError(
                f"not in the cache, and there is no suite to ask: {names}",
                hint="run a verb that knows the suite, such as build",
                exit=Exit.SOURCE,
            )
        candidates = suite.candidates(sources)
        fetched: list[Fetched] = []
        failures: list[BuildError] = []
        for source in sources:
            if self.stop.is_set():
                raise Interrupted
            try:
                fetched.append(self._newest(source, candidates[source.name]))
            except BuildError as error:
                if error.exit is not Exit.SOURCE:
                    raise
                failures.append(error)
                continue
            self.cache.record(source, fetched[-1], scope=scope)
        if failures:
            raise BuildError(
                "\n".join(error.message for error in failures),
                hint="\n".join(dict.fromkeys(error.hint for error in failures)),
                exit=Exit.SOURCE,
            )
        return fetched

    def _newest(
        self, source: DebianSource | DebianPackage, candidates: Sequence[Candidate]
    ) -> Fetched:
        """The first version whose files can be had; the next where the mirror lacks one.

        A file of another content than its index states is no reason to take another version.
        """
        unserved: list[str] = []
        for candidate, following in zip_longest(candidates, candidates[1:]):
            files: list[CachedFile] = []
            for pinned in candidate.files:
                name = file_name(pinned)
                with self.reporter.transfer(source.name) as task:
                    result = self._cached(pinned, name) or self._attempt(pinned, name, task)
                if isinstance(result, CachedFile):
                    files.append(result)
                    continue
                if following is None or not all(isinstance(e, Missing) for _, e in result):
                    raise _unserved(source, candidate.version, name, result)
                what = "what the recipe pins" if following.pinned else "the next older one"
                self.reporter.line(
                    f"{source.name}: the mirror lists {source.package} {candidate.version} and "
                    f"can't serve it: taking {what}, {following.version}"
                )
                unserved.append(candidate.version)
                break
            else:
                return Fetched(source.name, candidate.version, tuple(files), tuple(unserved))
        raise AssertionError  # there is a last candidate, and it returns or raises

    def _usable(self, source: UrlSource | GitSource) -> list[str]:
        """The addresses that this run may use."""
        urls = [url for url in source.urls if not self.offline or is_local(url)]
        if not urls:
            raise BuildError(
                f"source {source.name} is not in the cache, and the run is offline",
                hint=f"run once with the network, or use a copy on this box: "
                f"--set sources.{source.name}.urls=file:///path",
                exit=Exit.SOURCE,
            )
        return urls

    def _passed_over(self, source: Source, url: str, error: Failed) -> None:
        self.reporter.line(f"{source.name}: {shown(url)}: {error.reason}; trying the next address")


_Reason = tuple[str, Failed]  # an address, and why it is of no use


def _report(source: Source, reasons: Sequence[_Reason], what: str = "") -> str:
    lines = [f"source {source.name}{what} could not be fetched:"]
    lines += [f"  {shown(url)}: {error.reason}" for url, error in reasons]
    return "\n".join(lines)


def _unserved(
    source: DebianSource | DebianPackage, version: str, name: str, reasons: Sequence[_Reason]
) -> BuildError:
    """The error for a file of a package that the mirror does not give as its index lists it."""
    report = _report(source, reasons, f", {name} of {source.package} {version},")
    if any(isinstance(error, Wrong) for _, error in reasons):
        return BuildError(
            f"{report}\nHash Sum mismatch: the suite's signed index lists another file of that "
            "name; no older version is taken for it",
            hint="the mirror, or somebody on the way to it, serves a changed file: try again, or "
            "use another mirror (--set suite.mirror=...)",
            exit=Exit.SOURCE,
        )
    return BuildError(
        report,
        hint="the mirror lists a file that it does not have, or the connection broke: try again, "
        "or use another mirror (--set suite.mirror=...)",
        exit=Exit.SOURCE,
    )
