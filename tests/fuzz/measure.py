# SPDX-License-Identifier: GPL-2.0-or-later
"""What the targets need for a package: run as a process of its own, as memory is measured.

    python -m tests.fuzz.measure PACKAGE.deb...

One line of JSON for each package and target: name, target, seconds of processor time, peak KiB of
memory, and what was said.
"""

from __future__ import annotations

import json
import re
import sys
import time
import traceback
from pathlib import Path

from tests.fuzz.targets import TARGETS, survive


def peak() -> int:
    """KiB of resident memory at its highest since `reset`."""
    status = Path("/proc/self/status").read_text()
    match = re.search(r"VmHWM:\s+(\d+)", status)
    assert match
    return int(match[1])


def reset() -> None:
    """Let the kernel count the peak anew (proc(5), clear_refs)."""
    Path("/proc/self/clear_refs").write_text("5")


def main() -> None:
    for name in sys.argv[1:]:
        for target in ("audit", "compare", "rewrite", "finish"):
            reset()
            begun = time.process_time()
            try:
                said = survive(TARGETS[target], Path(name))
            except Exception:
                said = f"CRASH {traceback.format_exc(limit=-3)}"
            print(
                json.dumps(
                    {
                        "name": Path(name).stem,
                        "target": target,
                        "seconds": round(time.process_time() - begun, 2),
                        "peak": peak(),
                        "said": said,
                    }
                ),
                flush=True,
            )


if __name__ == "__main__":
    main()
