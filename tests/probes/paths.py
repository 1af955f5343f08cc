"""Reading and writing what is not the attempt's own: a person's HOME, their checkout, our data, others' attempts."""

from __future__ import annotations

from tests.probes.probe import Probe

READ = {
    "HOME": (
        "home", ".ssh/id_ed25519", ".aws/credentials", ".netrc", ".git-credentials", ".npmrc", ".docker/config.json",
        ".kube/config", ".config/gh/hosts.yml", ".gnupg/secring.gpg", ".local/share/keyrings/login.keyring",
        ".claude/.credentials.json", ".codex/auth.json", ".bash_history", ".mozilla/cookies.sqlite", "Documents/notes",
    ),
    "the checkout": ("project", ".env", "uncommitted.py", ".git/config", ".git/index", ".git/stash-of-mine"),
    "our data": ("data", "keys/receipts.key", "ledger.sqlite3", "artifacts/transcript", "logs/worker.log",
                 "store.git/config", "store.git/refs/heads/main", "outbox/letter.json"),
    "another attempt": ("other", "files/secret", "run/bundle.json", "tmp/scratch", "meta/facts.json"),
}  # fmt: skip
MACHINE = ("tmp", "shm", "vartmp")
"""Where everybody may write on this machine: /tmp, /dev/shm, /var/tmp."""
WRITTEN = {
    "HOME": ("home", ".bashrc", ".ssh/authorized_keys", ".gitconfig", ".config/autostart/x.desktop", ".local/bin/git",
             ".config/systemd/user/x.service", ".config/codeswarm/config.toml"),
    "the checkout": ("project", "main.py", ".git/hooks/post-checkout", ".git/config", "codeswarm.toml", "conftest.py"),
    "our data": ("data", "ledger.sqlite3", "keys/receipts.key", "store.git/refs/heads/main", "store.git/config",
                 "store.git/hooks/post-update", "store.git/info/attributes", "store.git/objects/info/alternates",
                 "store.git/objects/pack/pack-x.idx", "outbox/letter.json", "workers/w1.json"),
    "another attempt": ("other", "files/mod.py", "run/result.json", "meta/manifest", "tmp/scratch"),
    "a toolchain that is shown": ("tools", "bin/tool", "bin/git"),
}  # fmt: skip

PROBES = [
    *(
        Probe(f"read of {where}: {name}", f"cat(prey[{key!r}] + '/{name}')")
        for where, (key, *names) in READ.items()
        for name in names
    ),
    *(
        Probe(f"write to {where}: {name}", f"write(prey[{key!r}] + '/{name}')", f"{key}/{name}")
        for where, (key, *names) in WRITTEN.items()
        for name in names
    ),
    *(Probe(f"read of this machine: {name}", f"cat(prey[{name!r}])") for name in MACHINE),
    *(Probe(f"write to this machine: {name}", f"write(prey[{name!r}])", name) for name in MACHINE),
    Probe("a link to a secret, read", "os.symlink(prey['home'] + '/.netrc', 'x'); cat('x')"),
    Probe("a link to a folder, read through", "os.symlink(prey['home'], 'x'); cat('x/.netrc')"),
    Probe(
        "a link to a folder, written through",
        "os.symlink(prey['home'], 'x'); write('x/.profile')",
        "home/.profile",
    ),
    Probe("a link to links, read", "os.symlink('/proc/self/root', 'a'); cat('a/' + prey['home'] + '/.netrc')"),
    Probe("a hard link to a secret, read", "os.link(prey['home'] + '/.netrc', 'x'); cat('x')"),
    Probe(
        "a hard link to a secret, written",
        "os.link(prey['home'] + '/.zshrc', 'x'); write('x')",
        "home/.zshrc",
    ),
    Probe("upwards from the workspace", "cat('../' * 40 + prey['home'] + '/.netrc')"),
    Probe(
        "upwards by descriptors, from folder to folder",
        "fd = os.open('.', os.O_RDONLY)\n"
        "for _ in range(40): fd = os.open('..', os.O_RDONLY, dir_fd=fd)\n"
        "print(os.read(os.open(prey['home'][1:] + '/.netrc', os.O_RDONLY, dir_fd=fd), 100))",
    ),
    Probe("by the folder that it stands in", "cat('/proc/self/cwd/' + '../' * 40 + prey['home'] + '/.netrc')"),
    Probe("a secret moved into the workspace", "os.rename(prey['home'] + '/.moved', 'x'); cat('x')", "home/.moved"),
    Probe("a secret removed", "os.unlink(prey['home'] + '/.removed')", "home/.removed"),
    Probe("a folder of the person's replaced", "os.rename(prey['home'] + '/dir', prey['home'] + '/gone')", "home/gone"),
    Probe("the times of a file of the person's", "os.utime(prey['home'] + '/.touched', (1, 1))", "home/.touched"),
    Probe("rights of a file of the person's", "os.chmod(prey['home'] + '/.rights', 0o777)", "home/.rights"),
    Probe(
        "the object store, by its own name in the workspace",
        "w = Path(prey['objects'], 'info', 'alternates'); write(w)",
        "data/store.git/objects/info/alternates",
    ),
    Probe("a write to the system", "write('/etc/codeswarm-probe'); os.unlink('/etc/codeswarm-probe'); reached()", root=True),
    Probe("a program of the system's", "write('/usr/local/bin/codeswarm-probe'); "
          "os.unlink('/usr/local/bin/codeswarm-probe'); reached()", root=True),
    Probe("what only root may read", "Path('/etc/shadow').read_text().index(':') and reached()", root=True),
]  # fmt: skip
