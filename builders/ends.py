# SPDX-License-Identifier: GPL-2.0-or-later
"""How this process is ended: by a signal, by a terminal that is gone, by a reader that left.

Each of them takes the same way. What runs is stopped (`on_stop`) by a thread of its own, whatever
the main thread is busy with; the main thread hears KeyboardInterrupt and cleans up; and where that
takes longer than PATIENCE, the process leaves all the same. Containers end with it: they read a
standard input that it holds open.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import stat
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from builders.errors import Exit

PATIENCE = 3.5  # seconds from the first signal to the end, however the clean-up goes
_TWICE = 0.2  # seconds: timeout(1) sends its signal to the process, and to its group once more
_HEARD = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_WAKE = signal.SIGUSR1  # sent by a thread of ours to the main one, so that it hears of an end
_LOST = {errno.EPIPE: Exit.UNREAD, errno.EIO: Exit.HUNG_UP, errno.ENXIO: Exit.HUNG_UP}


class _State:
    def __init__(self) -> None:
        self.guarded = False
        self.status = 0  # of the process, once something ends it
        self.first = 0  # the number of the first signal
        self.since = 0.0
        self.left = False  # the process is about to leave
        self.stopped = threading.Event()  # what ran has been stopped


_state = _State()
_stoppers: weakref.WeakSet[Stopper] = weakref.WeakSet()


class Stopper:
    """Something that has to be stopped when the process is to end; it is forgotten with its owner.

    stop: called at most once, from another thread.
    """

    def __init__(self, stop: Callable[[], None]) -> None:
        self.stop = stop
        _stoppers.add(self)


def status() -> int:
    """The exit status for what ended the work: 128 and the number of a signal (sh(1))."""
    return _state.status or int(Exit.INTERRUPTED)


def asked() -> bool:
    """Whether a signal has asked the process to end."""
    return _state.first != 0


@contextmanager
def guard() -> Iterator[None]:
    """In this block the first signal stops cleanly and a second one kills.

    The signals are SIGINT, SIGTERM and SIGHUP; one that is ignored stays so: nohup(1) and job
    control mean it. A block inside another one changes nothing. Only for the main thread.
    """
    if _state.guarded:
        try:
            yield
        finally:
            _settle()
        return
    _state.__init__()  # type: ignore[misc]
    _state.guarded = True
    before = {
        number: signal.signal(number, _heard)
        for number in (*_HEARD, _WAKE)
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield
    finally:
        _settle()
        if not _state.left:
            for number, handler in before.items():
                signal.signal(number, handler)
            _state.guarded = False


def _settle() -> None:
    """Where the process is to end: wait until what ran has been stopped."""
    if _state.first:
        _state.stopped.wait(PATIENCE)


def listen() -> None:
    """Hear what came while Python started: ./inv blocks the signals until then."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _HEARD)


def leaving(code: int) -> None:
    """From here on nothing is left to clean up: a signal ends the process at once.

    code: the exit status that the process is about to end with; an end that was asked for keeps
    its own.
    """
    _state.left = True
    for number in (*_HEARD, _WAKE):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda *_: os._exit(_state.status or code))


def lost(error: OSError) -> None:
    """A stream that people read cannot be written: nobody would hear how the work goes on.

    May be called from any thread, any number of times. A terminal that is gone is no reason to
    end where SIGHUP is ignored: somebody wants the work to outlive it.
    """
    if not _state.guarded or _state.status:
        return
    code = _LOST.get(error.errno or 0, Exit.ENGINE)
    if code is Exit.HUNG_UP and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        return
    _state.status = int(code)
    main = threading.main_thread().ident
    if main is not None:
        # To the main thread itself: this interrupts what it waits for.
        signal.pthread_kill(main, _WAKE)


def watch() -> None:
    """Have the end of whoever reads standard output and error noticed while nothing is written.

    For work that takes long and says little. The poll is poll(2): a pipe without a reader and a
    terminal that is gone report an error though nothing is asked for.
    """
    streams = [number for number in (1, 2) if _has_reader(number)]
    if streams and _state.guarded:
        threading.Thread(target=_watch, args=(streams,), daemon=True, name="readers").start()


def _has_reader(number: int) -> bool:
    with suppress(OSError):
        mode = os.fstat(number).st_mode
        return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(number)
    return False


def _watch(streams: list[int]) -> None:
    poll = select.poll()
    for number in streams:
        poll.register(number, 0)
    while _state.guarded and streams:
        for number, event in poll.poll(1000):
            terminal = stat.S_ISCHR(os.fstat(number).st_mode)
            lost(OSError(errno.EIO if terminal else errno.EPIPE, f"event {event}"))
            poll.unregister(number)
            streams.remove(number)


def _heard(number: int, _frame: FrameType | None) -> None:
    now = time.monotonic()
    if _state.first:
        # A shell that ends hangs up once more; nobody does that by hand.
        if number in (signal.SIGHUP, _WAKE) or now - _state.since < _TWICE:
            return
        _state.stopped.wait(_TWICE)
        os._exit(status())
    _state.first, _state.since = number, now
    _state.status = _state.status or 128 + number
    threading.Thread(target=_end, daemon=True, name="end").start()
    raise KeyboardInterrupt


def _end() -> None:
    """Stop all that runs, and the process itself where its clean-up takes too long."""
    threading.Thread(target=_stop, daemon=True, name="stop").start()
    time.sleep(PATIENCE)
    os._exit(status())


def _stop() -> None:
    # Each in a thread: an engine that doesn't answer must not hold up the others.
    stops = [
        threading.Thread(target=_quietly, args=(each.stop,), daemon=True)
        for each in list(_stoppers)
    ]
    for thread in stops:
        thread.start()
    for thread in stops:
        thread.join()
    _state.stopped.set()


def _quietly(stop: Callable[[], None]) -> None:
    with suppress(Exception):
        stop()


def streams() -> None:
    """Make sure of standard input, output and error: /dev/null stands in for one that is closed.

    Otherwise the next file that is opened would be taken for it. Text that the stream's encoding
    has no character for is written as an escape, not an error.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
        if getattr(sys, name) is None:
            mode = "r" if number == 0 else "w"
            setattr(sys, name, open(number, mode, closefd=False, errors="backslashreplace"))  # noqa: SIM115
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")
