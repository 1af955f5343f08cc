"""What a person can bring about by mistake, and the way out: the third line of the error is run, and the fault is gone.

Each fault is brought about, seen (exit code, three lines, words), and then exactly that is typed into a shell which the
line behind `do:` offers. Where it opens an editor, the person at it writes the file as it should be.
"""

from __future__ import annotations

import shlex
import shutil
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from codeswarm.environment import Environment
from codeswarm.home import find_home
from tests.support.runs import SYSTEM_PATH, Place
from tests.support.ways_out import (
    GO,
    KIND,
    SETTINGS,
    TICKET,
    TRY,
    Fault,
    check,
    commit,
    git,
    make_place,
    program,
    shell,
    write,
)


def remove_repository(place: Place) -> None:
    shutil.rmtree(place.repository / ".git")


def without_settings(place: Place) -> None:
    place.git("rm", "-q", "codeswarm.toml")
    place.git("commit", "-qm", "None")


def begun(place: Place) -> None:
    place.data.mkdir()


def empty_repository(place: Place) -> None:
    shutil.rmtree(place.repository)
    place.repository.mkdir()
    place.git("init", "-q", "-b", "main")


def own_settings(text: str) -> Callable[[Place], None]:
    return write("home/.config/codeswarm/config.toml", text)


def link_settings(place: Place) -> None:
    place.git("rm", "-q", "codeswarm.toml")
    (place.repository / "codeswarm.toml").symlink_to(place.root / "t.yaml")


def unset_executable(place: Place) -> None:
    (place.root / "agent.sh").chmod(0o644)


def tickets(text: str) -> Callable[[Place], None]:
    return write("t.yaml", text)


def in_place_of_the_data(place: Place) -> None:
    place.data.write_text("mine")


def without(name: str, package: str) -> Callable[[Place], None]:
    """A PATH on which a program is not installed, and an `apt-get` that installs it there."""

    def make(place: Place) -> None:
        found = place.root / "installed"
        found.mkdir()
        for program_ in (path for folder in SYSTEM_PATH.split(":") for path in Path(folder).iterdir()):
            if program_.name not in (name, "apt-get") and not (found / program_.name).exists():
                (found / program_.name).symlink_to(program_)
        program(
            place.root / "bin" / "apt-get",
            f'[ "$1 $2 $3" = "install -y {package}" ] && ln -s {shutil.which(name)} {found}',
        )
        place.environment["PATH"] = str(found)

    return make


def with_an_old_git(place: Place) -> None:
    """An older git, which no package of the system's brought, stands before the newer one."""
    old = place.root / "bin" / "git"
    program(old, f'[ "$1" = --version ] && echo git version 2.30.2 || exec {shutil.which("git")} "$@"')
    program(place.root / "bin" / "apt-get", '[ "$1 $2 $3" = "install -y git" ]')


def old_copies(place: Place) -> None:
    for number in range(100):
        (place.repository / f"codeswarm.toml.old{number or ''}").write_text("mine")


def endless_beads(place: Place) -> None:
    line = '{"id":"b-%s","title":"T","status":"open","estimated_minutes":%s}\n'
    (place.root / "b.jsonl").write_text(line % (1, 5) + line % (2, "1e999"))


TWO = "tickets:\n- {id: a, title: A%s}\n- {id: b, title: B%s}\n"

BEFORE: dict[str, Fault] = {
    "not a repository": Fault(GO, ("not inside a git repository",), remove_repository, gone="git log -1"),
    "an empty repository": Fault("codeswarm init --yes", ("no commit yet",), empty_repository),
    "a folder that is not there": Fault("codeswarm -C nowhere init", ("is no folder",)),
    "a bare repository": Fault(
        "codeswarm -C bare.git init --yes",
        ("no checkout",),
        git("clone", "-q", "--bare", ".", "bare.git"),
        gone="codeswarm -C work init --yes",
    ),
    "a detached head": Fault(TRY, ("detached",), git("checkout", "-q", "--detach")),
    "a base that is not there": Fault(f"{TRY} --base mian", ("no branch 'mian'",), gone="-"),
    "no gate and no settings": Fault(GO, ("no gate was found",), without_settings, gone=f"{GO} --pipeline single"),
    "settings without a gate": Fault(
        GO, ("no gate is configured",), commit("codeswarm.toml", "[swarm]\nworkers = 2\n"), mended=SETTINGS
    ),
    "a tickets file that is not there": Fault("codeswarm run --tickets ../none.yaml --dry-run", ("can't be read",)),
    "a folder for a tickets file": Fault(
        "codeswarm simulate .", ("can't be read", "Is a directory"), gone="git status"
    ),
    "a tickets file in no folder": Fault("codeswarm simulate new/t.yaml", ("can't be read",)),
    "a tickets file that is not YAML": Fault(TRY, ("not YAML",), tickets("tickets: {"), mended=TICKET),
    "a tickets file without tickets": Fault(TRY, ("at least one ticket",), tickets("tickets: []"), mended=TICKET),
    "an unknown key of a ticket": Fault(
        TRY, ("did you mean 'title'",), tickets("tickets:\n- {id: a, titel: A}\n"), mended=TICKET
    ),
    "a cycle": Fault(TRY, ("a → b → a",), tickets(TWO % (", blocked_by: [b]", ", blocked_by: [a]")), mended=TICKET),
    "an id twice": Fault(TRY, ("used 2 times",), tickets(TICKET + "  - {id: hello, title: B}\n"), mended=TICKET),
    "an unknown blocker": Fault(TRY, ("no ticket here",), tickets(TWO % (", blocked_by: [c]", "")), mended=TICKET),
    "an unknown pipeline of a ticket": Fault(
        TRY, ("which is not known",), tickets("tickets:\n- {id: a, title: A, pipeline: sinlge}\n"), mended=TICKET
    ),
    "an unknown pipeline": Fault(f"{TRY} --pipeline sinlge", ("no pipeline 'sinlge'", "--pipeline single"), gone="-"),
    "an unknown sandbox": Fault(f"{TRY} --sandbox walls", ("no sandbox 'walls'",), gone="-"),
    "a sandbox of later": Fault(f"{TRY} --sandbox microvm", ("not part of this version",), gone="-"),
    "a role that there is not": Fault(
        f"{TRY} --role implementor='command:../agent.sh'", ("no role 'implementor'", "--role implementer="), gone="-"
    ),
    "a role without an agent": Fault(
        f"{TRY} --role implementer", ("not KEY=VALUE",), gone="-", env={"ANTHROPIC_API_KEY": "a key"}
    ),
    "an agent that is not there": Fault(f"{GO} --agent 'command:../mine.sh'", ("there is no program",)),
    "an agent that can't be executed": Fault(GO, ("can't be executed",), unset_executable),
    "a recording that can't be made": Fault(
        f"{GO} --record /proc/nothing", ("nothing can be recorded into /proc/nothing",), gone="-"
    ),
    "an end beyond all years": Fault(f"{GO} --until 99999999999d", ("more than a year away",), gone="-"),
    "half a character in a ticket": Fault(
        TRY, ("title holds half a character",), tickets(r'{"tickets": [{"id": "a", "title": "\ud800"}]}'), mended=TICKET
    ),
    "a name that is none": Fault(f"{GO} --name 'My Name'", ("can't be a session's name",), gone="-"),
    "an unknown key in the settings": Fault(
        "codeswarm config check",
        ("did you mean 'fast'",),
        commit("codeswarm.toml", '[gates]\nfsat = "x"\n'),
        mended=SETTINGS,
    ),
    "a value of a wrong type": Fault(
        "codeswarm config check",
        ("gates.timeout_s",),
        commit("codeswarm.toml", '[gates]\ntimeout_s = "x"\n'),
        mended=SETTINGS,
    ),
    "settings that are no TOML": Fault(
        "codeswarm config check", ("can't be read",), commit("codeswarm.toml", "[gates\n"), mended=SETTINGS
    ),
    "own settings that are no TOML": Fault("codeswarm config check", ("can't be read",), own_settings("x =")),
    "own settings with an unknown section": Fault(
        "codeswarm config check", ("no such setting",), own_settings("[swram]\nworkers = 2\n")
    ),
    "a variable with a wrong value": Fault(
        "codeswarm config check", ("swarm.workers",), env={"CODESWARM_SWARM_WORKERS": "many"}, gone="-"
    ),
    "a variable with a slip in its name": Fault(
        "codeswarm config check",
        ("did you mean CODESWARM_SWARM_WORKERS",),
        env={"CODESWARM_SWRAM_WORKERS": "2"},
        gone="-",
    ),
    "a folder's variable with a slip": Fault(
        "codeswarm config check", ("did you mean CODESWARM_DATA",), env={"CODESWARM_DATAA": "x"}, gone="-"
    ),
    "a driver of later": Fault(
        GO, ("Temporal", "engine.driver is 'temporal'"), env={"CODESWARM_ENGINE_DRIVER": "temporal"}, gone="-"
    ),
    "a ledger of later": Fault(
        GO, ("ledger.url names one",), env={"CODESWARM_LEDGER_URL": "postgresql://x/y"}, gone="-"
    ),
    "a hundred old copies": Fault("codeswarm init --yes --force --gate true", ("a hundred copies",), old_copies),
    "an estimate without end": Fault(
        "codeswarm simulate ../t.yaml",
        ("no number",),
        tickets("tickets:\n- {id: a, title: A, estimate_s: .inf}\n"),
        mended=TICKET,
    ),
    "a beads file with minutes without end": Fault(
        "codeswarm ticket import ../b.jsonl", ("line 2", "no number"), endless_beads, gone="codeswarm ticket show b-1"
    ),
    "settings that are a link": Fault("codeswarm init --yes", ("not a plain file",), link_settings),
    "another router": Fault("codeswarm --router http://example.invalid config check", ("not part of",), gone="-"),
    "a word that is no command": Fault("codeswarm rnu", ("rnu",), gone="-"),
    "an option that is none": Fault("codeswarm status --wat", ("--wat",), gone="-"),
    "a number out of range": Fault(f"{GO} --workers 0", ("--workers",), gone="-"),
    "a sink of no session": Fault("codeswarm status", ("no session here yet",)),
    "nothing to save": Fault("codeswarm save", ("no session here yet",)),
    "nobody says yes to an uninstall": Fault("codeswarm uninstall", ("say yes",), begun, gone="-"),
    "a file where the data belongs": Fault(GO, ("nothing can be written to",), in_place_of_the_data),
    "git is missing": Fault(TRY, ("git is not installed",), without("git", "git")),
    "git is too old": Fault(TRY, ("git 2.30.2 is too old", "2.38"), with_an_old_git),
    "a red base": Fault(
        GO,
        ("the gate is red on the base", "three ways out"),
        commit("codeswarm.toml", SETTINGS.replace("true", "false")),
        gone="-",
    ),
}

if KIND == "bubblewrap":
    BEFORE["bubblewrap is missing"] = Fault(GO, ("bubblewrap is not installed",), without("bwrap", "bubblewrap"))


REFUSED = {
    "pipeline": ["--pipeline", "foo"],
    "sandbox": ["--sandbox", "foo"],
    "agent": ["--agent", "foo"],
    "program": ["--agent", "command:"],
    "recording": ["--agent", "replay:/nonexist"],
    "name": ["--name", "a b"],
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_dry_run_is_refused_with_the_words_that_the_run_is_refused_with(name: str, tmp_path: Path) -> None:
    place = make_place(tmp_path)
    words = ["run", "--tickets", "../t.yaml", *REFUSED[name]]
    dry, real = place.run(*words, "--dry-run"), place.run(*words)
    assert (dry.code, real.code) == (2, 2), (dry.out, real.out)
    assert dry.err.replace(" --dry-run", "") == real.err
    assert not dry.out


def test_a_dry_run_shows_agents_as_they_are_typed(tmp_path: Path) -> None:
    place = make_place(tmp_path)
    agent = f"command:{tmp_path}/agent.sh"
    done = place.run(
        "run", "--tickets", "../t.yaml", "--dry-run", "--agent", agent, "--role", f"reviewer={agent},claude"
    )
    assert f"agents {agent}, reviewer={agent},claude, " in done.out, done.out + done.err


@pytest.mark.parametrize("name", BEFORE)
def test_before_the_first_session(name: str, tmp_path: Path) -> None:
    check(make_place(tmp_path), BEFORE[name])


# ── once there is a session ──────────────────────────────────────────────────────────────────────────────────

PLAN = """
tickets:
- {id: hello, title: Say hello}
- {id: bad, title: Fail}
- {id: later, title: Come later, blocked_by: [bad]}
"""


@pytest.fixture(scope="module")
def after_a_session(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """One ticket landed, one failed, one is on hold; the session is called `harbour` and unsaved."""
    place = make_place(tmp_path_factory.mktemp("after"))
    (place.root / "t.yaml").write_text(PLAN)
    done = shell(place, f"{GO} --name harbour")
    assert "1 of 3 tickets landed" in done.out, done.out + done.err
    assert shell(place, "codeswarm ticket hold later").code == 0
    return place


@pytest.fixture
def place(after_a_session: Place, tmp_path: Path) -> Place:
    """A copy of it: what is in the cache goes along under the name that its new place gives it."""
    root = tmp_path / "copy"
    shutil.copytree(after_a_session.root, root, symlinks=True)
    own = root / "home" / ".config" / "codeswarm" / "config.toml"
    own.write_text(own.read_text().replace(str(after_a_session.root), str(root)))
    program(root / "bin" / "editor", f'cp {root}/mended "$1"')
    (old,) = (root / "cache" / "codeswarm").iterdir()
    copy = Place(root, dict(after_a_session.environment))
    old.rename(find_home(copy.repository, Environment(copy.env())).workspaces)
    return copy


def saved(place: Place) -> None:
    done = shell(place, "codeswarm ticket cancel bad; codeswarm ticket cancel later; codeswarm save")
    assert "saved: main" in done.out, done.out + done.err


def in_the_way(place: Place) -> None:
    shell(place, "codeswarm ticket cancel bad; codeswarm ticket cancel later")
    place.write({"asked-hello.txt": "mine\n"})


def locked_index(place: Place) -> None:
    shell(place, "codeswarm ticket cancel bad; codeswarm ticket cancel later")
    (place.repository / ".git" / "index.lock").touch()


def export_taken(place: Place) -> None:
    place.write({"events.jsonl": "mine\n", "copy.db": "mine\n", "report.txt": "mine\n"})


def asks_for_approval(place: Place) -> None:
    (place.root / "t.yaml").write_text(TICKET)


def stale_router(place: Place) -> None:
    """What a router that was killed leaves behind."""
    (place.data / "router.lock").write_text('{"pid": 999999}')
    (place.data / "router.sock").touch()


def newer_ledger(place: Place) -> None:
    """The tables' version of a later program, and a `pip` that brings that program: one which knows them."""
    with closing(sqlite3.connect(place.data.joinpath("ledger.sqlite3"))) as db:
        (known,) = db.execute("PRAGMA user_version").fetchone()
        db.execute("PRAGMA user_version = 99")
    file = str(place.data / "ledger.sqlite3")
    told = f"import sqlite3; sqlite3.connect({file!r}).execute('PRAGMA user_version = {known}')"
    install = f'[ "$*" = "install --upgrade codeswarm" ] && {shlex.quote(sys.executable)} -c {shlex.quote(told)}'
    program(place.root / "bin" / "pip", install)


def flipped(place: Place) -> None:
    """One bit of a table, not of the log, is another one."""
    ledger = ledger_in_one_file(place)
    content = bytearray(ledger.read_bytes())
    with closing(sqlite3.connect(ledger)) as db:
        (page,) = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'sessions'").fetchone()
        (size,) = db.execute("PRAGMA page_size").fetchone()
    content[content.index(b"harbour", (page - 1) * size)] ^= 1
    ledger.write_bytes(content)


def torn(place: Place) -> None:
    """A page of the log is gone; there is a backup."""
    assert shell(place, "codeswarm ledger backup BACKUP").code == 0
    ledger = ledger_in_one_file(place)
    with closing(sqlite3.connect(ledger)) as db:
        (page,) = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'events'").fetchone()
        (size,) = db.execute("PRAGMA page_size").fetchone()
    content = ledger.read_bytes()
    ledger.write_bytes(content[: (page - 1) * size] + b"\xff" * size + content[page * size :])


def ledger_in_one_file(place: Place) -> Path:
    ledger = place.data / "ledger.sqlite3"
    with closing(sqlite3.connect(ledger)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return ledger


def one_after_the_other(place: Place) -> None:
    (place.root / "t.yaml").write_text(TWO % ("", ", blocked_by: [a]"))


AFTER: dict[str, Fault] = {
    "a ledger that a newer version wrote": Fault(
        "codeswarm ticket retry bad", ("by a newer codeswarm", "schema 99"), newer_ledger
    ),
    "a damaged table": Fault("codeswarm ledger verify --quick", ("differs from the log",), flipped, code=1),
    "a damaged ledger": Fault("codeswarm ledger verify --quick", ("malformed",), torn, code=1),
    "going on with a damaged ledger": Fault(
        "codeswarm resume harbour",
        ("the ledger is damaged",),
        torn,
        code=1,
        fix_code=1,
        gone="codeswarm ledger restore BACKUP && codeswarm ticket retry bad",
    ),
    "a budget that is spent midway": Fault(
        f"{GO} --name dear --budget-usd 0.7",
        ("1 of 2 tickets landed", "0.50 of 0.70 USD spent"),
        one_after_the_other,
        code=4,
        gone="codeswarm status dear",
    ),
    "a session that there is not": Fault(
        "codeswarm status nope", ("no session 'nope'",), gone="codeswarm status harbour"
    ),
    "a ticket that there is not": Fault("codeswarm logs nope", ("no ticket 'nope'",), gone="codeswarm logs hello"),
    "a ticket of another session": Fault(
        "codeswarm ticket show nope/hello", ("no session 'nope'",), gone="codeswarm ticket show hello"
    ),
    "an approval that there is not": Fault("codeswarm approve a9", ("no open approval",), gone="codeswarm approvals"),
    "a rejection without a reason": Fault(
        "codeswarm reject a9", ("needs a reason",), fix_code=2, gone="codeswarm approvals"
    ),
    "holding what has landed": Fault("codeswarm ticket hold hello", ("complete",), gone="codeswarm ticket show hello"),
    "holding what has failed": Fault(
        "codeswarm ticket hold bad", ("failed and rests",), gone="codeswarm ticket hold bad"
    ),
    "retrying what is on hold": Fault(
        "codeswarm ticket retry later", ("not failed",), gone="codeswarm ticket hold later"
    ),
    "retrying what has landed": Fault(
        "codeswarm ticket retry hello", ("not failed", "codeswarm work"), gone="git status"
    ),
    "a cycle by a link": Fault("codeswarm ticket link bad --blocked-by later", ("cycle", "/later --blocked-by bad")),
    "a link to itself": Fault("codeswarm ticket link bad --blocked-by bad", ("cycle", "/bad"), gone="git status"),
    "a link to a ticket that there is not": Fault(
        "codeswarm ticket link later --blocked-by helo", ("no ticket here", "link later --blocked-by hello"), gone="-"
    ),
    "a mistake in a file that a ticket is edited from": Fault(
        "codeswarm ticket edit later --from ../t.yaml",
        ("titel", "../t.yaml"),
        tickets("titel: A"),
        mended="title: A",
    ),
    "changing what is over": Fault(
        "codeswarm ticket hold bad", ("nothing in it can change", "codeswarm report"), saved, gone="git status"
    ),
    "releasing what has failed": Fault(
        "codeswarm ticket release bad", ("not on hold",), gone="codeswarm ticket hold bad"
    ),
    "cancelling what has landed": Fault(
        "codeswarm ticket cancel hello", ("complete",), gone="codeswarm ticket show hello"
    ),
    "a message to nobody": Fault(
        "codeswarm message hello more", ("nobody is left",), gone="codeswarm ticket show hello"
    ),
    "an empty message": Fault("codeswarm message ' '", ("message is empty",), gone="-"),
    "no work to show": Fault("codeswarm diff later", ("no work",), fix_code=2, gone="codeswarm diff hello"),
    "a name that is taken": Fault(f"{GO} --name harbour", ("bears the name",), asks_for_approval, gone="-"),
    "going on with what is over": Fault("codeswarm resume harbour", ("nothing in it can change",), saved, gone="-"),
    "going on with a recording that can't be made": Fault(
        "codeswarm resume harbour --record /proc/nothing", ("nothing can be recorded",), gone="-", fix_code=1
    ),
    "saving what is saved": Fault("codeswarm save harbour", ("finalized",), saved, gone="codeswarm checkpoints"),
    "a file of yours in the way of a save": Fault(
        "codeswarm save", ("not saved", "asked-hello.txt"), in_the_way, code=3
    ),
    "a lock that a dead git left": Fault(
        "codeswarm save", ("not saved", "index.lock", "if none is at work"), locked_index, code=3
    ),
    "an export over a file": Fault(
        "codeswarm ledger export --output events.jsonl", ("can't be written",), export_taken, gone="-"
    ),
    "an export into no folder": Fault("codeswarm ledger export --output new/events.jsonl", ("can't be written",)),
    "a backup over a file": Fault("codeswarm ledger backup copy.db", ("exists already",), export_taken, gone="-"),
    "a backup into no folder": Fault("codeswarm ledger backup new/copy.db", ("no backup can be made",), gone="-"),
    "a bug report over a file": Fault(
        "codeswarm bug-report --output report.txt", ("can't be written",), export_taken, gone="-"
    ),
    "a state that there is not": Fault(
        "codeswarm checkpoints nope", ("no session 'nope'",), gone="codeswarm checkpoints"
    ),
    "an open approval": Fault(
        f"{GO} --approve plan", ("waits for a person",), asks_for_approval, code=3, gone="codeswarm resume"
    ),
    "a budget of nothing": Fault(
        "codeswarm resume harbour --budget-tokens 0", ("greater than or equal to 1",), gone="codeswarm status harbour"
    ),
    "what a killed router left": Fault(
        "codeswarm status nope",
        ("no session 'nope'",),
        stale_router,
        gone="codeswarm ticket hold bad; codeswarm ticket retry bad",
    ),
}


@pytest.mark.parametrize("name", AFTER)
def test_once_there_is_a_session(name: str, place: Place) -> None:
    check(place, AFTER[name])


OLDER: dict[str, Fault] = {
    "holding what has landed": Fault(
        "codeswarm ticket hold harbour/hello", ("complete",), gone="codeswarm ticket show harbour/hello"
    ),
    "holding what has failed": Fault(
        "codeswarm ticket hold harbour/bad", ("failed and rests",), gone="codeswarm ticket hold harbour/bad"
    ),
    "retrying what is on hold": Fault(
        "codeswarm ticket retry harbour/later", ("not failed",), gone="codeswarm ticket hold harbour/later"
    ),
    "a cycle by a link": Fault("codeswarm ticket link harbour/bad --blocked-by later", ("cycle",)),
    "a link to itself": Fault(
        "codeswarm ticket link harbour/bad --blocked-by bad", ("cycle",), gone="codeswarm ticket show harbour/later"
    ),
    "a link to a ticket that there is not": Fault(
        "codeswarm ticket link harbour/later --blocked-by helo", ("no ticket here",), gone="-"
    ),
    "a message to nobody": Fault(
        "codeswarm message harbour/hello more", ("nobody is left",), gone="codeswarm ticket show harbour/hello"
    ),
    "an empty message": Fault("codeswarm message harbour/bad ' '", ("message is empty",), gone="-"),
    "no work to show": Fault(
        "codeswarm diff harbour/later", ("no work",), fix_code=2, gone="codeswarm diff harbour/hello"
    ),
    "a ticket that there is not": Fault(
        "codeswarm logs harbour/nope", ("no ticket 'nope'",), gone="codeswarm logs harbour/hello"
    ),
    "a file of yours in the way of a save": Fault(
        "codeswarm save harbour",
        ("not saved", "asked-hello.txt"),
        lambda place: in_the_way_of(place, "harbour"),
        code=3,
    ),
}
"""Of a session that is not the latest one: a hint that did not name it would act on another one, or on nothing."""


def in_the_way_of(place: Place, session: str) -> None:
    shell(place, f"codeswarm ticket cancel {session}/bad; codeswarm ticket cancel {session}/later")
    place.write({"asked-hello.txt": "mine\n"})


def newer_session(place: Place) -> None:
    """With a ticket of the same name, which is neither failed nor on hold nor saved."""
    (place.root / "draft.yaml").write_text(TICKET.replace("hello", "other"))
    assert shell(place, "codeswarm ticket import ../draft.yaml").code == 0


@pytest.mark.parametrize("name", OLDER)
def test_of_two_sessions_the_one_that_is_meant(name: str, place: Place) -> None:
    """What was typed named the session; so does what is offered, and the other one is as it was."""
    newer_session(place)
    before = shell(place, "codeswarm --json timeline")
    check(place, OLDER[name])
    assert shell(place, "codeswarm --json timeline").out == before.out


def test_there_are_at_least_forty() -> None:
    assert len(BEFORE) + len(AFTER) >= 40
