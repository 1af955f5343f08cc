"""The kernel: namespaces, mounts, devices, set-user-id files, keyrings, and calls that nothing inside needs."""

from __future__ import annotations

import platform

from tests.probes.probe import Probe

NEW_USER, NEW_NET, NEW_MOUNT = 0x10000000, 0x40000000, 0x20000
ATTR = "ctypes.create_string_buffer"
NUMBERS = platform.machine() == "x86_64"
"""The scripts call by the numbers of x86-64. What is denied elsewhere is held in tests/unit/sandbox/test_seccomp.py."""

_PROBES = [
    Probe("a user namespace", f"call(272, {NEW_USER}); reached()"),
    Probe("a user namespace by a new process", f"pid = call(56, {NEW_USER} | 17, 0, 0, 0, 0)\npid or os._exit(0)\nreached()"),
    Probe("a user namespace by the newest call",
          f"a = {ATTR}((({NEW_USER}).to_bytes(8, 'little') + bytes(24) + (17).to_bytes(8, 'little') + bytes(24)), 64)\n"
          "pid = call(435, ctypes.addressof(a), 64)\npid or os._exit(0)\nreached()"),
    Probe("a network namespace", f"call(272, {NEW_USER} | {NEW_NET}); reached()"),
    Probe("mounts of its own", f"call(272, {NEW_USER} | {NEW_MOUNT}); call(165, b'none', b'/mnt', b'tmpfs', 0, 0); reached()"),
    Probe("a mount", "os.mkdir('m'); call(272, 0x20000); call(165, b'none', b'm', b'tmpfs', 0, 0); reached()", root=True),
    Probe("a bind mount", "os.mkdir('m'); call(272, 0x20000); call(165, b'/', b'm', 0, 4096, 0); reached()", root=True),
    Probe("a mount by the new calls", "call(430, b'tmpfs', 0); reached()", root=True),
    Probe("a copy of a mount", "call(428, -100, b'/', 1); reached()", root=True),
    Probe("a mount taken away", "os.mkdir('m'); call(272, 0x20000); call(165, b'none', b'm', b'tmpfs', 0, 0)\n"
          "call(166, b'm', 0); reached()", root=True),
    Probe("a root of its own, and out of it",
          "os.mkdir('r'); fd = os.open('/', os.O_RDONLY); os.chroot('r'); os.fchdir(fd)\n"
          "print(os.read(os.open(prey['home'][1:] + '/.netrc', os.O_RDONLY, dir_fd=fd), 100))", root=True),
    Probe("a file by its handle",
          "class H(ctypes.Structure): _fields_ = [('bytes', ctypes.c_uint), ('type', ctypes.c_int), ('data', ctypes.c_char * 128)]\n"
          "h, m = H(128, 0, b''), ctypes.c_int()\n"
          "call(303, -100, (prey['home'] + '/.netrc').encode(), ctypes.addressof(h), ctypes.addressof(m), 0)\n"
          "at = os.open(prey['home'], os.O_RDONLY); print(os.read(call(304, at, ctypes.addressof(h), 0), 100))", root=True),
    Probe("a set-user-id file", "write('x'); os.chmod('x', 0o4755); os.rename('x', '../set-user-id-1')", "files/set-user-id-1"),
    Probe("a set-user-id file by its descriptor", "write('x'); os.chmod(os.open('x', 2), 0o4755); os.rename('x', '../set-user-id-2')",
          "files/set-user-id-2"),
    Probe("a set-user-id file from the start", "os.umask(0); os.open('../set-user-id-3', 0o102, 0o4755)", "files/set-user-id-3"),
    Probe("a set-user-id file by mknod", "os.umask(0); os.mknod('../set-user-id-4', 0o104755)", "files/set-user-id-4"),
    Probe("a set-user-id file by openat2",
          "a = (0o102).to_bytes(8, 'little') + (0o4755).to_bytes(8, 'little') + bytes(8)\n"
          "os.umask(0); call(437, -100, b'../set-user-id-5', a, 24)", "files/set-user-id-5"),
    Probe("rights of root", "os.setuid(0); Path('/proc/self/status').read_text().index('CapEff:\\t000001') and reached()",
          root=True),
    Probe("a device that is made", "os.mknod('d', 0o20666, os.makedev(1, 3)); os.open('d', 0); reached()", root=True),
    Probe("the kernel's messages", "os.open('/dev/kmsg', os.O_RDONLY | os.O_NONBLOCK); reached()", root=True, needs="/dev/kmsg"),
    Probe("the kernel's log by its call", "call(103, 10, 0, 0) >= 0 and reached()", root=True),
    Probe("memory of the machine", "os.open('/dev/mem', 0); reached()", root=True, needs="/dev/mem"),
    Probe("memory of the kernel", "open('/proc/kcore', 'rb').read(4) == b'\\x7fELF' and reached()", root=True, needs="/proc/kcore"),
    Probe("file systems in user space", "os.open('/dev/fuse', 2); reached()", needs="/dev/fuse", root=True),
    Probe("tunnels", "os.open('/dev/net/tun', 2); reached()", needs="/dev/net/tun", root=True),
    Probe("virtual machines", "os.open('/dev/kvm', 2); reached()", needs="/dev/kvm", root=True),
    Probe("settings of the kernel", "p = Path('/proc/sys/kernel/core_pattern'); p.write_text(p.read_text()); reached()", root=True),
    Probe("settings of memory", "os.open('/proc/sys/vm/swappiness', 1); reached()", root=True),
    Probe("keys that act on the machine", "os.open('/proc/sysrq-trigger', 1); reached()", root=True, needs="/proc/sysrq-trigger"),
    Probe("settings in /sys", "os.open('/sys/kernel/mm/transparent_hugepage/enabled', 1); reached()", root=True,
          needs="/sys/kernel/mm/transparent_hugepage/enabled"),
    Probe("control groups", "os.listdir('/sys/fs/cgroup') and reached()", needs="/sys/fs/cgroup"),
    Probe("the name of the machine", "socket.sethostname(prey['host']); reached()", root=True),
    Probe("the clock of the machine", "a = ctypes.create_string_buffer(256); call(159, ctypes.addressof(a)) >= 0 and reached()"),
    Probe("a key of the session's", "i = call(250, 10, -3, b'user', b'codeswarm-probe', 0)\n"
          "b = ctypes.create_string_buffer(100); call(250, 11, i, ctypes.addressof(b), 100); print(b.value)", needs="/proc/keys"),
    Probe("a key that is left behind", "call(248, b'user', b'codeswarm-left', b'x', 1, -3); reached()", needs="/proc/keys"),
    Probe("programs in the kernel", "a = bytes([2, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0]) + bytes(112)\n"
          "call(321, 0, a, 128); reached()", root=True),
    Probe("counters of the kernel", "a = (1).to_bytes(4, 'little') + (128).to_bytes(4, 'little') + bytes(120)\n"
          "call(298, a, 0, -1, -1, 0); reached()", root=True),
    Probe("faults that it handles itself", "call(323, 0); reached()", root=True),
    Probe("rings of calls", "a = ctypes.create_string_buffer(256); call(425, 4, ctypes.addressof(a)); reached()"),
    Probe("a watch over all files", "call(300, 0, 0); reached()", root=True),
    Probe("the host of the virtual machine", "socket.socket(40, socket.SOCK_STREAM); reached()", needs="/dev/vsock"),
    Probe("packets as they are", "socket.socket(17, socket.SOCK_RAW); reached()", root=True),
    Probe("events of devices", "socket.socket(16, socket.SOCK_DGRAM, 15); reached()"),
    Probe("tables of segments", "b = ctypes.create_string_buffer(64); call(154, 0, ctypes.addressof(b), 64) >= 0 and reached()"),
]  # fmt: skip
PROBES = _PROBES if NUMBERS else []
