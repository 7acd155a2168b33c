# SPDX-License-Identifier: GPL-2.0-or-later
"""Pictures of real runs for the documents.

    python -m tests.pictures terminal docs/pictures/build.svg ./inv build-all --recipe NAME
    python -m tests.pictures page docs/pictures/release.png artifacts/NAME/release/index.html

The first runs the command in a terminal of tmux(1) and draws what is on its screen at the end,
with the command line above it. The second has chromium draw a page.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from html import escape
from pathlib import Path

_COLUMNS, _ROWS = 90, 200
_LONGEST = 4 * 3600  # seconds for a command
_WIDTH, _HEIGHT, _MARGIN = 8.4, 18, 14  # pixels of a character, a line, and around all
_PROMPT = "$ "
_SGR = re.compile(r"\x1b\[([0-9;]*)m")
# The colours of a terminal by number, on a dark ground.
_COLOURS = ("#8b949e", "#ff7b72", "#3fb950", "#d29922", "#79c0ff", "#d2a8ff", "#56d4dd", "#e6edf3")
_TEXT, _GROUND = "#e6edf3", "#0d1117"


def run(command: Sequence[str]) -> list[str]:
    """The lines on the screen when the command has ended, with the sequences of colours."""
    name = f"picture-{uuid.uuid4().hex}"
    tmux = ["tmux", "-L", name]
    shell = f"{shlex.join(command)}; tmux -L {name} wait-for -S done; sleep {_LONGEST}"
    start = ["new-session", "-d", "-x", str(_COLUMNS), "-y", str(_ROWS), shell]
    subprocess.run([*tmux, *start], check=True)
    try:
        subprocess.run([*tmux, "wait-for", "done"], check=True, timeout=_LONGEST)
        time.sleep(0.5)  # tmux reads what the command wrote last
        said = subprocess.run(
            [*tmux, "capture-pane", "-e", "-p"], check=True, capture_output=True, text=True
        )
    finally:
        subprocess.run([*tmux, "kill-server"], check=False)
    return said.stdout.rstrip().split("\n")


def svg(lines: Sequence[str]) -> str:
    """A drawing of these lines."""
    rows = []
    for number, line in enumerate(lines):
        y = _MARGIN + (number + 0.8) * _HEIGHT
        spans = "".join(_spans(line))
        rows.append(f'<text x="{_MARGIN}" y="{y:.0f}" xml:space="preserve">{spans}</text>')
    longest = max(len(_SGR.sub("", line)) for line in lines)
    width, height = longest * _WIDTH + 2 * _MARGIN, len(lines) * _HEIGHT + 2 * _MARGIN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}"'
        f' font-family="monospace" font-size="14" fill="{_TEXT}">\n'
        f'<rect width="100%" height="100%" rx="8" fill="{_GROUND}"/>\n'
        + "\n".join(rows)
        + "\n</svg>\n"
    )


def _spans(line: str) -> list[str]:
    """The parts of a line, each in its colour and weight."""
    spans, style = [], ""
    parts = _SGR.split(line)
    codes: set[int] = set()
    for number, part in enumerate(parts):
        if number % 2:
            new = {int(code or 0) for code in part.split(";")}
            codes = set() if 0 in new else codes | new
            colours = [code % 10 for code in codes if 30 <= code <= 37 or 90 <= code <= 97]
            style = f' fill="{_COLOURS[colours[-1]]}"' if colours else ""
            style += ' font-weight="bold"' if 1 in codes else ""
            style += ' opacity="0.7"' if 2 in codes else ""
        elif part:
            spans.append(f"<tspan{style}>{escape(part)}</tspan>" if style else escape(part))
    return spans


def main(words: Sequence[str]) -> None:
    kind, path, *rest = words
    out = Path(path)
    out.parent.mkdir(parents=True, exist_ok=True)
    if kind == "terminal":
        lines = [f"\x1b[1m{_PROMPT}{shlex.join(rest)}\x1b[0m", *run(rest)]
        out.write_text(svg(lines), encoding="utf-8")
    else:
        browser = shutil.which("chromium") or "google-chrome"
        page = Path(rest[0]).resolve().as_uri()
        size = "--window-size=1000,1060"
        shown = f"--screenshot={out.resolve()}"
        flags = ["--headless", "--no-sandbox", "--hide-scrollbars"]
        subprocess.run([browser, *flags, size, shown, page], check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
