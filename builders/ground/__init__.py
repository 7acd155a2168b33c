# SPDX-License-Identifier: GPL-2.0-or-later
"""What a build stands on.

`engine`: the container engine, found or brought up, and a step of work in a container. `sources`:
every input by its pin, fetched, verified and cached. `suite`: where a Debian suite is served, how
it is verified, its clean root and the builder image. `session`: what one run holds of these.
"""
