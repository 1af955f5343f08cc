"""Other processes of the machine: what they hold, what they hear, what they can be made to do."""

from __future__ import annotations

from tests.probes.probe import Probe

PROC = "'/proc/%d/' % prey['pid']"

PROBES = [
    Probe("environment of a process of the host", f"cat({PROC} + 'environ')"),
    Probe("command line of a process of the host", f"cat({PROC} + 'cmdline')"),
    Probe("root of a process of the host", f"cat({PROC} + 'root' + prey['home'] + '/.netrc')"),
    Probe("folder of a process of the host", f"cat({PROC} + 'cwd/.netrc')"),
    Probe("open files of a process of the host", f"cat({PROC} + 'fd/%d' % prey['fd'])"),
    Probe("memory of a process of the host", f"m = open({PROC} + 'mem', 'rb'); m.seek(prey['address']); print(m.read(80))"),
    Probe("what any process's environment holds", "cat_all(Path('/proc').glob('[0-9]*/environ'))"),
    Probe("what any process's command line holds", "cat_all(Path('/proc').glob('[0-9]*/cmdline'))"),
    Probe("mounts of a process of the host", f"print(prey['pid'] and Path({PROC} + 'mountinfo').read_text() and 'REACHED')"),
    Probe("a signal", "os.kill(prey['pid'], signal.SIGUSR1)", "heard/SIGUSR1"),
    Probe("a signal to a group", "os.killpg(prey['pid'], signal.SIGUSR2)", "heard/SIGUSR2"),
    Probe("a signal by descriptor", "signal.pidfd_send_signal(os.pidfd_open(prey['pid']), signal.SIGHUP)", "heard/SIGHUP"),
    Probe("a signal to a thread", "call(234, prey['pid'], prey['pid'], 15)", "heard/SIGTERM"),
    Probe("a file by a process's descriptor",
          "fd = call(438, os.pidfd_open(prey['pid']), prey['fd'], 0); print(os.pread(fd, 100, 0))"),
    Probe("ptrace", "call(101, 16, prey['pid'], 0, 0); os.waitpid(prey['pid'], 0x40000000)\n"
          "word = ctypes.c_long(); call(101, 2, prey['pid'], prey['address'], ctypes.addressof(word))\n"
          "print('REACHED'); call(101, 17, prey['pid'], 0, 0)"),
    Probe("memory by process_vm_readv",
          "class V(ctypes.Structure): _fields_ = [('base', ctypes.c_void_p), ('len', ctypes.c_size_t)]\n"
          "b = ctypes.create_string_buffer(80); here, there = V(ctypes.addressof(b), 80), V(prey['address'], 80)\n"
          "call(310, prey['pid'], ctypes.addressof(here), 1, ctypes.addressof(there), 1, 0); print(b.raw)"),
    Probe("limits of a process of the host", "resource.prlimit(prey['pid'], resource.RLIMIT_NOFILE) and reached()"),
    Probe("priority of a process of the host", "os.setpriority(os.PRIO_PROCESS, prey['pid'], 1); reached()"),
    Probe("processors of a process of the host",
          "os.sched_setaffinity(prey['pid'], os.sched_getaffinity(prey['pid'])); reached()"),
    Probe("namespaces of a process of the host",
          f"fd = os.open({PROC} + 'ns/mnt', os.O_RDONLY); call(308, fd, 0x20000); cat(prey['home'] + '/.netrc')", root=True),
    Probe("what is shared by System V memory",
          "i = libc.shmget(prey['key'], 0, 0); libc.shmat.restype = ctypes.c_void_p\n"
          "print(ctypes.string_at(libc.shmat(i, None, 0o10000), 80))"),
    Probe("what waits in a System V queue",
          "b = ctypes.create_string_buffer(200); i = libc.msgget(prey['key'], 0)\n"
          "libc.msgrcv(i, b, 150, 0, 0o4000 | 0o40000) > 0 and print(b.raw)"),
    Probe("what is told of System V memory", "print(str(prey['key']) in Path('/proc/sysvipc/shm').read_text() and 'REACHED')"),
    Probe("a router's socket", "hear(socket.AF_UNIX, prey['data'] + '/router.sock')"),
    Probe("a daemon that is as good as root", "hear(socket.AF_UNIX, prey['home'] + '/.docker/run/docker.sock')"),
    Probe("a session bus", "hear(socket.AF_UNIX, prey['runtime'] + '/bus')"),
    Probe("a display", "hear(socket.AF_UNIX, prey['machine'] + '/X11-unix')"),
    Probe("an agent of ssh", "hear(socket.AF_UNIX, prey['machine'] + '/ssh-agent')"),
    Probe("an agent of gpg", "hear(socket.AF_UNIX, prey['home'] + '/.gnupg/S.gpg-agent')"),
    Probe("a socket that is a link", "os.symlink(prey['data'] + '/router.sock', 's'); hear(socket.AF_UNIX, 's')"),
    Probe("an abstract socket", "hear(socket.AF_UNIX, '\\0' + prey['abstract'])"),
    Probe("names of abstract sockets", "print(prey['abstract'] in Path('/proc/net/unix').read_text() and 'REACHED')"),
    Probe("a service on loopback", "hear(socket.AF_INET, ('127.0.0.1', prey['port']))"),
    Probe("a service on another loopback address", "hear(socket.AF_INET, ('127.1.2.3', prey['port']))"),
    Probe("a service on no address", "hear(socket.AF_INET, ('0.0.0.0', prey['port']))"),
    Probe("a service by an address of IPv6 for IPv4",
          "hear(socket.AF_INET6, ('::ffff:127.0.0.1', prey['port']))", needs="/proc/net/if_inet6"),
    Probe("a service without connections",
          "hear(socket.AF_INET, ('127.0.0.1', prey['udp']), socket.SOCK_DGRAM)"),
    Probe("a list of open ports", "print(':%04X' % prey['port'] in Path('/proc/net/tcp').read_text() and 'REACHED')"),
    Probe("its own address taken", "s = socket.socket(); s.bind(('127.0.0.1', prey['free'])); s.listen()\n"
          "import time; write(prey['machine'] + '/bound')", "machine/bound"),
    Probe("a pipe that a process of the host reads", "write(prey['machine'] + '/fifo')", "heard/fifo"),
    Probe("words on a terminal of the host", "write(prey['tty'], 'PROBED')", "heard/terminal"),
    Probe("words typed into a terminal of the host",
          "import fcntl; t = os.open(prey['tty'], os.O_RDWR | os.O_NOCTTY); fcntl.ioctl(t, 0x5412, b'T')", "heard/typed",
          root=True),
    Probe("what the starter's environment holds", "print(os.environ['PROBE_SECRET'])", careless=True),
    Probe("what the starter's open files hold",
          "[print(os.pread(int(fd), 100, 0)) for fd in os.listdir('/proc/self/fd') if int(fd) > 2 and "
          "os.path.isfile('/proc/self/fd/' + fd)]", careless=True),
    Probe("what the starter's parents hold", "cat('/proc/%d/environ' % os.getppid())\n"
          "cat('/proc/%s/environ' % Path('/proc/%d/stat' % os.getppid()).read_text().split()[3])", careless=True),
]  # fmt: skip
