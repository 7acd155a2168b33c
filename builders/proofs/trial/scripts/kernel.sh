# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=sh
for image in $(files | grep '^/boot/vmlinu[xz]-'); do
    version=${image#/boot/vmlinu?-}
    test -s "/boot/config-$version" || echo "! there is no /boot/config-$version"
    if test -s "/boot/initrd.img-$version"; then
        lsinitramfs "/boot/initrd.img-$version" | grep -q 'init$' ||
            echo "! /boot/initrd.img-$version has no init"
    else
        echo "! no /boot/initrd.img-$version was made"
    fi
    if find "/lib/modules/$version" -name '*.ko*' 2>&- | grep -q .; then
        test -s "/lib/modules/$version/modules.dep" || echo "! depmod was not run for $version"
    fi
    echo "= Linux $version"
done
