"""What an agent leaves for whoever comes after it: a gate that is to judge its work, and the host that reads its answer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Trap:
    """`script` is what an agent does. Succeeded has a trap for the gate once `gate` prints PLANTED."""

    name: str
    script: str
    gate: str


_PYTHON = "$(python3 -c 'import site; print(site.getusersitepackages())')"

FOR_GATES = [
    Trap("a login script", "echo 'echo PLANTED' > ~/.profile", "sh -lc true"),
    Trap("a start of each shell", "echo 'echo PLANTED' > ~/.bashrc", "bash -ic true"),
    Trap("settings of git", "git config --global core.fsmonitor 'echo PLANTED >&2; false'", "git status"),
    Trap("hooks for all repositories", "mkdir ~/h; printf '#!/bin/sh\\necho PLANTED\\n' > ~/h/pre-commit; chmod +x ~/h/*; "
         "git config --global core.hooksPath ~/h", "git commit -q --allow-empty -m x"),
    Trap("a line for each Python", f"mkdir -p {_PYTHON}; echo 'import sys; print(\"PLANTED\")' > {_PYTHON}/x.pth", "python3 -c ''"),
    Trap("a module for each Python", f"mkdir -p {_PYTHON}; echo 'print(\"PLANTED\")' > {_PYTHON}/usercustomize.py", "python3 -c ''"),
    Trap("a program of the HOME's", "mkdir -p ~/.local/bin; printf '#!/bin/sh\\necho PLANTED\\n' > ~/.local/bin/tool; "
         "chmod +x ~/.local/bin/tool", "PATH=~/.local/bin:$PATH tool"),
    Trap("a registry of its own", "echo 'registry=http://PLANTED' > ~/.npmrc", "cat ~/.npmrc"),
    Trap("a file for temporary ones", "echo PLANTED > $TMPDIR/planted", "cat $TMPDIR/planted"),
    Trap("a file beside the answer", "echo PLANTED > /codeswarm/run/planted", "cat /codeswarm/run/planted"),
    Trap("a hook", "mkdir -p .git/hooks; printf '#!/bin/sh\\necho PLANTED\\n' > .git/hooks/pre-commit; chmod +x .git/hooks/*",
         "git commit -q --allow-empty -m x"),
    Trap("settings of the repository", "git config core.fsmonitor 'echo PLANTED >&2; false'", "git status"),
    Trap("a file that git ignores", "echo ignored >> .git/info/exclude; echo PLANTED > ignored", "cat ignored"),
    Trap("a compiled module beside its source", "echo __pycache__ >> .git/info/exclude; echo 'print(\"PLANTED\")' > m.py; "
         "python3 -c 'import py_compile as p; p.compile(\"m.py\", invalidation_mode=p.PycInvalidationMode.UNCHECKED_HASH)'; "
         "echo > m.py", "python3 -c 'import m'"),
    Trap("a link out of the workspace", "echo PLANTED > $TMPDIR/t; ln -s $TMPDIR/t link", "cat link"),
    Trap("what a link of the system would lead to", "ln -s /codeswarm/home/x link; echo PLANTED > ~/x", "cat link"),
]  # fmt: skip

ANSWERS = {
    "a link to a secret": "ln -sf {secret} result.json",
    "a folder that is a link": "rm -rf d; ln -s {folder} d; ln -sf d/secret.json result.json",
    "a pipe that nobody writes to": "rm -f result.json; mkfifo result.json",
    "a file without end": "ln -sf /dev/zero result.json",
    "a terminal": "ln -sf /dev/tty result.json",
    "this very process's environment": "ln -sf /proc/self/environ result.json",
    "a folder": "rm -f result.json; mkdir result.json",
    "gigabytes of nothing": "truncate -s 20G result.json",
}
"""What it puts in the place of its answer; a host that knows no better reads the secret, or does not come back."""
