# SPDX-License-Identifier: GPL-2.0-or-later
"""What a systemd unit says of its start (systemd.unit(5))."""

from __future__ import annotations

import pytest

from builders.debkit.deb.units import has_install, starts_at_boot


@pytest.mark.parametrize(
    ("text", "install", "boot"),
    [
        ("[Unit]\n[Install]\nWantedBy=multi-user.target\n", True, True),
        ("[Install]\n\n# a comment\nAlias=x.service\n RequiredBy = a.target\n", True, True),
        ("[Install]\nAlias=x.service\n", True, False),
        ("[Install]\nWantedBy=\n", True, False),
        ("[Install]\n[Service]\nWantedBy=multi-user.target\n", True, False),
        ("[Service]\nWantedBy=multi-user.target\n", False, False),
        ("# [Install]\nWantedBy=a.target\n", False, False),
        ("[Install]\r\nWantedBy=a.target\r\n", True, True),
        ("[Install]\nWantedBy\n=\na.target", True, False),
        ("", False, False),
    ],
)
def test_how_a_unit_is_started(text: str, install: bool, boot: bool) -> None:
    assert has_install(text) is install
    assert starts_at_boot(text) is boot
