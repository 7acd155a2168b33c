# SPDX-License-Identifier: GPL-2.0-or-later
"""A registry of OCI artifacts, as a client sees it (OCI Distribution Specification 1.1).

`address` says where one is, `client` reads and writes it, `credentials` are docker's own.
"""
