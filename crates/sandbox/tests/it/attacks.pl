# Everything a hostile step might try as root inside: one line for each thing that was not refused.
# Run as `perl attacks.pl HOST_PID HOST_FILE` in a sandbox; a job, which may mount, adds a word and is spared that.
use strict;
use warnings;
use Socket;

my ($host_pid, $host_file, $mounts) = @ARGV;

# A system call; perl wants its arguments in variables.
sub made { my ($number, @arguments) = @_; return syscall($number, @arguments) != -1; }
sub call { my ($name, @what) = @_; print "$name\n" if made(@what); }
# What stands there already, so that a setting of the machine stays what it is even where this is not refused.
sub writes {
    my ($file) = @_;
    my $value = "1\n";
    if (open(my $in, '<', $file)) { $value = <$in> // $value; }
    $value = "$1\n" if $value =~ /\[(\w+)\]/;
    if (open(my $out, '>', $file)) { print "writes $file\n" if syswrite($out, $value); }
}
sub reads { my ($file) = @_; if (open(my $in, '<', $file)) { print "reads $file\n" if sysread($in, my $byte, 1); } }
sub socket_of { my ($name, @what) = @_; print "$name\n" if socket(my $socket, $what[0], $what[1], $what[2]); }

my $buffer = "\0" x 256;
my ($tmpfs, $tmp, $root, $none) = ("tmpfs\0", "/tmp\0", "/\0", "\0");
open(my $own_namespace, '<', '/proc/self/ns/user') or die $!;
open(my $null, '<', '/dev/null') or die $!;

# Mounts, old and new interface.
if (!$mounts) {
    call('mount', 165, $tmpfs, $tmp, $tmpfs, 0, 0);
    call('remount', 165, $none, $root, $none, 32 | 4096, 0);
    call('umount', 166, "/proc/sys\0", 2);
    call('pivot_root', 155, $tmp, $tmp);
    call('open_tree', 428, -100, $root, 1);
    call('fsopen', 430, $tmpfs, 0);
    call('mount_setattr', 442, -100, $root, 0, $buffer, 32);
    call('unshare mount', 272, 0x20000);
}

# Namespaces, which would bring every capability back.
call('unshare user', 272, 0x10000000);
call('unshare network', 272, 0x40000000);
call('clone user', 56, 0x10000000 | 17, 0, 0, 0, 0);
call('clone3', 435, $buffer, 88);
call('setns own', 308, fileno($own_namespace), 0);
for my $kind (qw(mnt pid net user)) {
    if (open(my $namespace, '<', "/proc/1/ns/$kind")) { print "opens $kind of pid 1\n"; call("setns $kind", 308, fileno($namespace), 0); }
}

# Processes: pid 1 holds the channel to the outside; others of the host are not there.
call('ptrace pid 1', 101, 16, 1, 0, 0);
my $pid_1 = syscall(434, 1, 0);
call('pidfd_getfd', 438, $pid_1, $_, 0) for 0 .. 9;
reads("/proc/1/$_") for qw(mem environ maps);
print "sees the host's process\n" if kill(0, $host_pid) || -e "/proc/$host_pid/stat";
print "sees the host's file\n" if -e $host_file || -e "/proc/1/root$host_file" || -e "/proc/1/cwd$host_file";
print "follows descriptors of pid 1\n" if grep { defined readlink } glob('/proc/1/fd/*');

# Devices.
for my $device ([0060000, 254, 0], [0060000, 8, 0], [0020000, 1, 1], [0020000, 10, 232], [0020000, 0, 0]) {
    my ($type, $major, $minor) = @$device;
    call("mknod $major:$minor", 133, "/tmp/device\0", $type | 0666, $major << 8 | $minor);
}

# Settings, memory and secrets of the kernel.
writes("/proc/sys/$_") for qw(kernel/core_pattern kernel/modprobe kernel/hostname vm/drop_caches net/ipv4/ip_forward fs/file-max);
writes($_) for qw(/proc/sysrq-trigger /sys/kernel/uevent_helper /sys/kernel/mm/transparent_hugepage/enabled);
reads($_) for qw(/proc/kcore /proc/keys /proc/key-users /proc/kmsg /proc/timer_list /proc/kallsyms /dev/mem /dev/kmsg);
print "sees firmware\n" if glob('/sys/firmware/*');

# Sockets below IP, and to the kernel's own services.
socket_of('packet socket', 17, SOCK_RAW, 0x300);
socket_of('raw socket', AF_INET, SOCK_RAW, 1);
socket_of('crypto socket', 38, 5, 0);
socket_of('vsock', 40, SOCK_STREAM, 0);
socket_of('key socket', 15, SOCK_RAW, 2);
print "adds an interface\n" if system('ip link add a type bridge 2>/dev/null') == 0;
print "changes the rules\n" if system('nft flush ruleset 2>/dev/null') == 0;

# Keys, tracing, asynchronous calls, modules, reboot.
call('add_key', 248, "user\0", "name\0", "x", 1, -3);
call('keyctl', 250, 0, -3, 1);
call('request_key', 249, "user\0", "name\0", $none, 0);
call('bpf', 321, 0, $buffer, 72);
call('perf_event_open', 298, $buffer, 0, -1, -1, 0);
call('userfaultfd', 323, 0);
call('userfaultfd for user mode', 323, 1);
call('io_uring', 425, 8, $buffer);
call('kexec', 246, 0, 0, 0, 0);
call('init_module', 175, $buffer, 1, $none);
call('finit_module', 313, fileno($null), $none, 0);
call('open_by_handle_at', 304, 3, $buffer, 0);
call('reboot', 169, 0xfee1dead, 672274793, 0);
call('syslog', 103, 3, $buffer, 1);
call('swapon', 167, "/etc/base\0", 0);
call('settimeofday', 164, $buffer, 0);
call('no randomised addresses', 135, 0x40000);
call('types into the terminal', 16, 0, 0x5412, "x");
call('x32', 0x40000000 + 39);

# Marks of the overlay: a step must not forge what its layer shows or hides.
for my $mark (qw(opaque redirect metacopy whiteout origin)) {
    my $value = $mark eq 'redirect' ? '/etc' : 'y';
    mkdir("/tmp/$mark"); open(my $file, '>', "/tmp/$mark/file");
    made(188, "$_\0", "user.overlay.$mark\0", $value, length($value), 0) for '/etc', "/tmp/$mark", "/tmp/$mark/file";
    call("trusted.overlay.$mark", 188, "/etc\0", "trusted.overlay.$mark\0", $value, length($value), 0);
}
mkdir('/tmp/moved'); made(188, "/tmp/moved\0", "user.overlay.redirect\0", '/etc', 4, 0);

# The old way out of a chroot ends at the sandbox's own root.
my @own_root = (stat('/'))[0, 1];
mkdir('/tmp/cell'); opendir(my $up, '/'); chroot('/tmp/cell'); chdir('../' x 64); chroot('.');
print "leaves its root\n" if -e $host_file || "@own_root" ne join(' ', (stat('/'))[0, 1]);
