# SPDX-License-Identifier: GPL-2.0-or-later
"""The corrections: a raw package becomes one that Debian's tools can rely on.

`package` applies them in order; each other module has the corrections of one kind.
"""

from builders.debkit.finish.names import file_name
from builders.debkit.finish.package import Finished, finish
from builders.debkit.finish.work import Beside

__all__ = ["Beside", "Finished", "file_name", "finish"]
