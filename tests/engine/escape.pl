# SPDX-License-Identifier: GPL-2.0-or-later
# A maintainer script that tries each known way out of a trial, and says how each ended:
# "way NAME: shut" or "way NAME: OPEN". It changes nothing where a way is open.
use strict;
use warnings;
use Fcntl;
use IO::Socket::UNIX;

$| = 1;
my $judge = "/srv/root.tar.gz";    # lies beside the tried roots, and in none of them

sub way { my ($name, $open) = @_; print "way $name: ", $open ? "OPEN" : "shut", "\n" }
# Strings have to be variables there.
sub call { my ($number, @values) = @_; syscall $number, @values }
# What is covered by /dev/null can be written, and nothing happens.
sub writable { my $file; sysopen($file, $_[0], O_WRONLY | O_NONBLOCK) && (stat $file)[6] != 0x103 }

sub mounted {
    my ($source, $kind, $flags, $data) = @_;
    mkdir "/tmp/at";
    my $ok = call(165, $source, "/tmp/at", $kind, $flags, $data || 0) == 0;
    call(166, "/tmp/at", 2) if $ok;
    $ok;
}
# In a child: what it does there stays there.
sub child {
    my $code = shift;
    my $pid = fork // die;
    exit($code->() ? 1 : 0) if !$pid;
    waitpid $pid, 0;
    $? == 256;
}


way "capabilities", do { open my $f, "<", "/proc/self/status"; my ($b) = map { /^CapBnd:\s*(\w+)/ } <$f>;
    hex(substr $b, -8) & 1 << 21 || hex(substr $b, -8) & 1 << 19 || hex(substr $b, -8) & 1 << 16 };
way "chroot twice", child(sub {
    mkdir "/tmp/c"; chdir "/"; chroot "/tmp/c" or return 0; chdir ".." for 1 .. 64; chroot ".";
    -e $judge || -e "/usr/local/lib/jail.py" || -e "/usr/sbin/piuparts" });
way "chroot by a kept folder", child(sub {
    opendir my $root, "/" or return 0; mkdir "/tmp/c"; chroot "/tmp/c" or return 0;
    call(81, fileno $root); chdir ".." for 1 .. 64; chroot "."; -e $judge });
for my $control (qw(memory pids cpu rdma misc devices freezer)) {
    way "release_agent of $control", mounted("cgroup", "cgroup", 0, $control);
}
way "release_agent of a named hierarchy", mounted("cgroup", "cgroup", 0, "none,name=x");
way "cgroup version 2", mounted("cgroup2", "cgroup2", 0, 0);
way "release_agent that is there", scalar grep { writable($_) } glob "/sys/fs/cgroup/*/release_agent";
way "cgroup.procs", scalar grep { writable($_) } glob "/sys/fs/cgroup/{,*/}cgroup.procs";
way "mount of $_", mounted($_, $_, 0, 0) for qw(proc sysfs tmpfs devpts mqueue ramfs securityfs debugfs);
way "bind mount", mounted("/etc", "", 4096, 0);
way "the new mount calls", call(430, "tmpfs", 0) >= 0 || call(428, -100, "/", 1) >= 0;
way "pivot_root", call(155, "/tmp", "/tmp") == 0;
way "umount of what covers", scalar grep { call(166, $_, 2) == 0 } qw(/proc/kcore /proc/sys /trial /proc);
way "remount of what is for reading", call(165, "", "/trial", "", 4096 | 32, 0) == 0;
for my $node (["b", 0060600, 254, 0], ["mem", 0020600, 1, 1], ["kmsg", 0020600, 1, 11]) {
    my ($name, $mode, $major, $minor) = @$node;
    unlink "/tmp/node";
    way "mknod $name", call(133, "/tmp/node", $mode, $major << 8 | $minor) == 0
        && sysopen(my $device, "/tmp/node", O_RDONLY);
    unlink "/tmp/node";
}
way "writing $_", writable("/proc/$_") for qw(sysrq-trigger sys/kernel/core_pattern
    sys/kernel/modprobe sys/kernel/panic sys/vm/drop_caches sys/fs/binfmt_misc/register irq/0 kcore
    sys/kernel/hostname timer_list keys acpi/wakeup);
way "reading kcore", do { my $f; open($f, "<", "/proc/kcore") && read $f, my $x, 16 };
way "sysfs", -e "/sys/kernel";
way "a namespace by unshare $_", do { my $flag = $_; child(sub { call(272, $flag) == 0 }) }
    for 0x10000000, 0x20000, 0x2000000, 0x20000000;
way "a namespace by clone", do { my $pid = call(56, 0x10000000 | 17, 0, 0, 0, 0); exit 0 if $pid == 0;
    waitpid $pid, 0 if $pid > 0; $pid > 0 };
way "a namespace by clone3", do { my $size = pack "Q8", 0x10000000, 0, 0, 0, 17, 0, 0, 0;
    my $pid = call(435, $size, 64); exit 0 if $pid == 0; $pid > 0 };
way "setns $_", do { my $name = $_; child(sub { open(my $f, "<", "/proc/1/ns/$name") or return 0;
    call(308, fileno($f), 0) == 0 }) } for qw(user mnt pid net cgroup);
my @others = grep { $_ != $$ } map { m{/proc/(\d+)$} } glob "/proc/[0-9]*";
way "outer processes", scalar grep { open(my $f, "<", "/proc/$_/cmdline"); my $line = <$f> // "";
    $line =~ m{jail\.py|piuparts|cat >/dev/null} && $_ != 1 } @others;
way "the root of process 1", -e "/proc/1/root$judge";
way "the folder of process 1", do { readlink("/proc/1/cwd") && -e "/proc/1/cwd$judge" };
way "descriptors of process 1", scalar grep { sysopen my $file, $_, O_RDONLY | O_NONBLOCK } glob "/proc/1/fd/*";
way "memory of process 1", writable("/proc/1/mem");
way "the program of process 1", defined readlink "/proc/1/exe";
way "ptrace of $_", call(101, 0x4206, $_, 0, 0) == 0 for 1, getppid;
way "memory by process_vm_writev", do { my $x = "\0" x 8; my $v = pack "pQ", $x, 8;
    call(311, getppid, $v, 1, $v, 1, 0) > 0 };
way "signals to process 1", do { kill 9, 1; sleep 1; !-e "/proc/1/status" };
way "abstract sockets", do { open(my $f, "<", "/proc/net/unix"); scalar grep { /@/ } <$f> };
way "the judge's abstract socket", do { socket(my $s, AF_UNIX, SOCK_STREAM, 0);
    connect $s, pack "Sa*", AF_UNIX, "\0trial-judge" };
way "a network", do { open(my $f, "<", "/proc/net/dev"); my @l = <$f>; @l != 3 };
way "packet sockets", do { socket(my $s, 17, SOCK_RAW, 0) };
way "vsock", do { socket(my $s, 40, SOCK_STREAM, 0) };
way "the kernel's AF_ALG", do { socket(my $s, 38, SOCK_SEQPACKET, 0) };
way "keyrings", call(250, 0, -3, 0) >= 0;
way "bpf", call(321, 0, 0, 0) != -1 || $!{EINVAL} || $!{E2BIG} || $!{EFAULT};
way "perf", do { my $a = "\0" x 128; call(298, $a, 0, -1, -1, 0) >= 0 };
way "userfaultfd", call(323, 1) >= 0;
way "io_uring", do { my $p = "\0" x 120; call(425, 1, $p) >= 0 };
way "handles", do { my $h = pack "LLa8", 8, 1, ""; call(304, 3, $h, 0) >= 0 || !$!{EPERM} };
way "a module", do { my $x = ""; call(175, $x, 0, $x) == 0 };
way "kexec", do { call(246, 0, 0, 0, 0) == 0 };
way "reboot", call(169, 0xfee1dead, 672274793, 0, 0) == 0;  # Ctrl-Alt-Del off
way "the clock", do { my $t = pack "QQ", 0, 0; call(227, 1, $t) == 0 };
way "the host's name", call(170, "hostile", 7) == 0;
way "the kernel's log", do { my $x = " " x 64; call(103, 3, $x, 64) >= 0 };
way "a higher claim on memory", do { open(my $f, ">", "/proc/self/oom_score_adj"); print $f "-1000"; close $f };
way "writing $_", do { my $ok = open my $f, ">", "$_/hostile"; unlink "$_/hostile" if $ok; $ok } for qw(/trial /downloads);
way "writing a package on trial", scalar grep { writable($_) } glob "/trial/*.deb";
