# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=sh # run by /proof/run, which has `ask`
# The suite's apt installs the packages; what they need of the suite is there already.
export DEBIAN_FRONTEND=noninteractive
# An initramfs of what this machine needs (initramfs.conf(5)): an emulated processor makes one of
# every module in minutes.
echo MODULES=dep >/etc/initramfs-tools/conf.d/modules
mv /etc/apt/sources.list /var/tmp/sources.list
ask install apt-get --quiet=2 --yes --no-install-recommends install ./*.deb
mv /var/tmp/sources.list /etc/apt/sources.list
