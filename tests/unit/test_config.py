from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from codeswarm.config import FILE, Config, Loaded, Source, check, from_variables, load
from codeswarm.environment import Environment
from codeswarm.errors import ConfigError
from codeswarm.tightening import tighten

ALL_OF_SURFACE = """
[project]
base = "main"

[gates]
fast = "pytest -q -x"
full = "pytest -q"
contract = "pytest {files} --junitxml {report}"
timeout_s = 900

[workspace]
setup = "uv sync --frozen"
setup_inputs = ["uv.lock"]
setup_network = ["@registries"]
copy = [".env.test"]
ports = ["PORT"]

[swarm]
workers = 4
test_writers = 4
implementers = 4
reviewers = 4
planner = true
continuous = false

[roles]
planner = ["claude:opus", "gemini:2.5-pro"]
implementer = ["claude:sonnet", "codex:gpt-5.5"]

[pipeline]
default = "contract-first"

[[pipelines.single]]
name = "implementation"
role = "implementer"
gate = "fast"

[policy]
approve = ["plan"]
approvals = { landing = 1 }
sensitive = [".github/**", "**/migrations/**"]
approval_timeout_s = 86400
auto_resolve = ["whitespace", "adjacent", "union:CHANGELOG.md"]
max_attempts = 3
save_to = "ff"

[budget]
usd = 20.0
tokens = 5_000_000
per_ticket_usd = 2.0
count_subscription = false
quota_reserve = 0.3

[sandbox]
kind = "auto"
network = ["@agent", "@registries"]
memory_mib = 4096
cpus = 2

[ledger]
url = ""

[engine]
driver = "embedded"

[cluster]
provider = "local"

[cluster.slurm]
partition = "cpu"

[[launch_providers]]
id = "slurm-a100"
backend = "slurm"

[forge]
kind = "github"
repo = "owner/name"
token = "env:GITHUB_TOKEN"
pull_requests = "session"
write_back = false

[notify]
urls = ["mailto://x"]
on = ["approval", "suspended", "finalized"]

[telemetry]
otlp_endpoint = ""
log_format = "json"
"""
"""The whole file as the surface document shows it."""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / ".config" / "codeswarm").mkdir(parents=True)
    return tmp_path


def loaded(
    home: Path,
    *,
    repository: str | None = None,
    user: str | None = None,
    flags: dict[str, Any] | None = None,
    **variables: str,
) -> Loaded:
    if user is not None:
        (home / ".config" / "codeswarm" / "config.toml").write_text(user)
    environment = Environment({"HOME": str(home), **variables})
    return load(environment, None if repository is None else repository.encode(), flags)


# ── where a value comes from ──


def test_the_file_of_the_surface_document_can_be_used_as_it_stands(home: Path) -> None:
    found = loaded(home, user=ALL_OF_SURFACE)
    assert (found.config.swarm.workers, found.config.budget.tokens) == (4, 5_000_000)
    assert found.config.workspace.copy_ == [".env.test"]
    assert found.config.pipelines["single"][0].gate == "fast"
    assert found.ignored == ()


def test_without_any_file_every_setting_has_its_default(home: Path) -> None:
    found = loaded(home)
    assert (found.config, found.origins) == (Config(), {})


def test_later_sources_win_and_each_value_names_its_source(home: Path) -> None:
    repository = "[gates]\nfast='r'\nfull='r'\ncontract='r'\n[project]\nbase='r'\n[swarm]\nworkers=9"
    found = loaded(
        home,
        repository=repository,
        user="[gates]\nfull='u'\ncontract='u'\n[project]\nbase='u'",
        CODESWARM_GATES_CONTRACT="v",
        CODESWARM_PROJECT_BASE="v",
        flags={"project": {"base": "f"}},
    )
    gates = found.config.gates
    assert (gates.fast, gates.full, gates.contract, found.config.project.base) == ("r", "u", "v", "f")
    user_file = str(home / ".config" / "codeswarm" / "config.toml")
    assert dict(found.origins) == {
        "gates.fast": FILE,
        "swarm.workers": FILE,
        "gates.full": user_file,
        "gates.contract": "environment",
        "project.base": "flags",
    }


def test_the_users_file_stands_where_xdg_says(home: Path) -> None:
    other = home / "xdg" / "codeswarm"
    other.mkdir(parents=True)
    (other / "config.toml").write_text("[swarm]\nworkers = 2")
    found = loaded(home, XDG_CONFIG_HOME=str(home / "xdg"))
    assert found.config.swarm.workers == 2


# ── variables ──


@pytest.mark.parametrize(
    ("name", "text", "section", "key", "value"),
    [
        ("SWARM_WORKERS", "8", "swarm", "workers", 8),
        ("SWARM_CONTINUOUS", "true", "swarm", "continuous", True),
        ("GATES_FAST", "pytest -q -x", "gates", "fast", "pytest -q -x"),
        ("GATES_FAST", "true", "gates", "fast", "true"),
        ("PROJECT_BASE", "2024", "project", "base", "2024"),
        ("PROJECT_BASE", '"main"', "project", "base", "main"),
        ("BUDGET_USD", "2.5", "budget", "usd", 2.5),
        ("POLICY_SENSITIVE", '["a", "b"]', "policy", "sensitive", ["a", "b"]),
        ("POLICY_MAX_ATTEMPTS", "5", "policy", "max_attempts", 5),
        ("POLICY_SAVE_TO", "branch", "policy", "save_to", "branch"),
        ("WORKSPACE_COPY", '[".env"]', "workspace", "copy", [".env"]),
        ("ROLES_TEST_WRITER", '["claude:opus"]', "roles", "test_writer", ["claude:opus"]),
    ],
)
def test_a_variable_sets_one_key(name: str, text: str, section: str, key: str, value: object, home: Path) -> None:
    assert from_variables({name: text}) == {section: {key: value}}
    loaded(home, **{f"CODESWARM_{name}": text})


def test_variables_that_are_no_settings_are_none_of_ours(home: Path) -> None:
    """Those that name folders, and those that agents and gates are given."""
    names = "DATA WORKSPACES SESSION TICKET PHASE EPOCH WORKSPACE BUNDLE RESULT CHANGED_FILES CHANGED_FILES_PATH HEAD"
    found = loaded(home, **{f"CODESWARM_{name}": "x" for name in names.split()})
    assert found.config == Config()


def test_a_wrong_variable_is_told_as_such(home: Path) -> None:
    with pytest.raises(ConfigError) as error:
        loaded(home, CODESWARM_SWARM_WORKRES="8", CODESWARM_POLICY_MAX_ATTEMPTS="many")
    assert error.value.what == "environment has settings that can't be used"
    assert "swarm.workres: there is no such setting; did you mean 'workers'?" in error.value.why
    assert "policy.max_attempts: Input should be a valid integer" in error.value.why


# ── mistakes ──


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[swrm]\nworkers = 1", "swrm: there is no such setting; did you mean 'swarm'?"),
        ("[swarm]\nworkres = 1", "swarm.workres: there is no such setting; did you mean 'workers'?"),
        ("[workspace]\ncopy_ = []", "workspace.copy_: there is no such setting; did you mean 'copy'?"),
        ("[gates]\nzzz = 1", "gates.zzz: there is no such setting"),
        ("[[pipelines.mine]]\nname='x'\nrole='implementer'\ngat='fast'", "did you mean 'gate'?"),
        ("[[pipelines.mine]]\nname='x'\nrole='implementer'\ngate='fsat'", "'fast', 'full' or 'contract'"),
        ("[[pipelines.mine]]\nname='x'\nrole='implementor'", "pipelines.mine.0.role: Input should be"),
        ("[swarm]\nworkers = 'many'", "swarm.workers: Input should be a valid integer"),
        ("[swarm]\nworkers = 0", "swarm.workers: Input should be greater than or equal to 1 (got 0)"),
        ("[roles]\nimplementer = 'claude'", "roles.implementer: Input should be a valid list"),
        ("[policy]\napprove = ['everything']", "policy.approve.0: Input should be 'plan', 'landing', 'all' or 'none'"),
        ("[policy]\napprovals = { plan = 1 }", "policy.approvals.plan"),
        ("[policy]\napprovals = { landing = 0 }", "greater than or equal to 1"),
        ("[policy]\nsave_to = 'push'", "policy.save_to: Input should be 'ff', 'branch' or 'pr'"),
        ("[policy]\napproval_timeout_s = 1e300", "less than or equal to"),
        ("[budget]\nusd = inf", "budget.usd: Input should be a finite number"),
        ("[budget]\nusd = nan", "budget.usd: Input should be"),
        ("[budget]\nusd = -1", "budget.usd: Input should be greater than 0"),
        ("[engine]\ndriver = 'magic'", "engine.driver"),
        ("swarm = 3", "swarm: Input should be"),
    ],
)
@pytest.mark.parametrize("where", ["repository", "user"])
def test_a_mistake_names_its_key_and_what_would_be_right(home: Path, where: str, text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as error:
        loaded(home, **{where: text})  # type: ignore[arg-type]
    assert problem in error.value.why


def test_all_mistakes_of_a_source_are_told_at_once(home: Path) -> None:
    with pytest.raises(ConfigError) as error:
        loaded(home, user="[swarm]\nworkers = 0\nx = 1\n[gaets]\nfast = 1\n[budget]\ntokens = 'a'")
    assert len(error.value.why.splitlines()) == 4
    assert error.value.exit_code == 2


@pytest.mark.parametrize("text", [b"[swarm", b"\xff\xfe", b"a = 1\na = 2", b"\0"])
def test_a_file_that_is_no_toml_is_an_error_with_its_name(home: Path, text: bytes) -> None:
    with pytest.raises(ConfigError) as error:
        load(Environment({"HOME": str(home)}), text)
    assert error.value.what == f"{FILE} can't be read"


def test_flags_are_checked_as_well() -> None:
    from codeswarm.config import Source

    with pytest.raises(ConfigError, match="flags"):
        check(Source("flags", {"swarm": {"workers": -1}}))


# ── a repository may tighten, and not loosen ──


def from_repository(text: str, home: Path, user: str = "") -> Loaded:
    return loaded(home, repository=text, user=user)


@pytest.mark.parametrize(
    "section",
    [
        "[sandbox]\nkind = 'none'",
        "[sandbox]\nread = ['/']",
        "[ledger]\nurl = 'postgresql://x'",
        "[engine]\ndriver = 'temporal'",
        "[cluster]\nprovider = 'slurm'",
        "[[launch_providers]]\nid = 'x'",
        "[forge]\ntoken = 'env:GITHUB_TOKEN'",
        "[notify]\nurls = ['http://evil']",
        "[telemetry]\notlp_endpoint = 'http://evil'",
    ],
)
def test_what_loosens_walls_or_reaches_outside_is_ignored_and_named(section: str, home: Path) -> None:
    found = from_repository(section, home)
    assert found.config == Config()
    (ignored,) = found.ignored
    name = section.split("]", maxsplit=1)[0].strip("[")
    assert ignored.startswith(name)
    assert "your own file" in ignored


@pytest.mark.parametrize(
    "text",
    [
        "[project]\nbase = 'develop'",
        "[gates]\nfast = 'make test'",
        "[workspace]\nsetup = 'npm ci'\nports = ['PORT']\nsetup_network = ['@registries']",
        "[swarm]\nworkers = 12\ncontinuous = false",
        "[pipeline]\ndefault = 'single'",
        "[[pipelines.mine]]\nname = 'x'\nrole = 'implementer'",
        "[roles]\nreviewer = ['claude:opus', 'codex:gpt-5.5', 'gemini']",
    ],
)
def test_what_describes_the_project_applies_freely(text: str, home: Path) -> None:
    found = from_repository(text, home)
    assert found.ignored == ()
    assert found.config == loaded(home, user=text).config


@pytest.mark.parametrize(
    "spec",
    [
        "command:./agent",
        " command:./agent",
        "\tcommand:./agent",
        "acp:./agent",
        "api:model",
        "replay:dir",
        "Command:x",
        "",
        "unheard-of",
    ],
)
def test_a_repository_names_coding_clis_and_models_but_no_program(spec: str, home: Path) -> None:
    found = from_repository(f"[roles]\nimplementer = ['claude', {spec!r}]\nreviewer = ['claude']", home)
    assert found.config.roles == {"reviewer": ["claude"]}
    assert [what.partition(":")[0] for what in found.ignored] == ["roles.implementer"]


def test_a_repository_asks_for_no_network_beyond_the_registries(home: Path) -> None:
    found = from_repository("[workspace]\nsetup = 'x'\nsetup_network = ['@registries', 'evil.example']", home)
    assert (found.config.workspace.setup, found.config.workspace.setup_network) == ("x", [])
    assert "setup_network" in found.ignored[0]


def test_a_repository_does_not_have_the_persons_branch_moved(home: Path) -> None:
    found = from_repository("[swarm]\ncontinuous = true\nworkers = 2", home)
    assert (found.config.swarm.continuous, found.config.swarm.workers) == (False, 2)
    assert "swarm.continuous" in found.ignored[0]
    assert from_repository("", home, "[swarm]\ncontinuous = true").config.swarm.continuous


NUMBERS = {
    # key: (the person's, stricter, looser)
    "policy.max_attempts": (3, 1, 9),
    "policy.max_interruptions": (20, 5, 99),
    "policy.max_restarts": (20, 5, 99),
    "policy.restart_window_s": (60, 600, 1),
    "policy.max_bursts": (3, 1, 9),
    "policy.burst_window_s": (600, 6000, 1),
    "policy.park_base_s": (300, 600, 1),
    "policy.park_max_s": (7200, 9000, 1),
    "policy.backoff_base_s": (2, 20, 0),
    "policy.backoff_max_s": (300, 600, 1),
    "policy.approval_timeout_s": (1000, 10, 99_999),
    "policy.attempt_timeout_s": (1000, 10, 99_999),
    "policy.silence_timeout_s": (1000, 10, 99_999),
    "policy.command_timeout_s": (1000, 10, 99_999),
    "policy.busy_timeout_s": (1000, 10, 99_999),
    "policy.spawning_timeout_s": (1000, 10, 99_999),
    "policy.stopped_timeout_s": (1000, 10, 99_999),
    "budget.usd": (20, 5, 50),
    "budget.tokens": (1000, 10, 9999),
    "budget.per_ticket_usd": (2, 1, 5),
    "budget.per_ticket_tokens": (1000, 10, 9999),
    "budget.hand_back_s": (60, 30, 90),
    "budget.hand_back_tokens": (1000, 10, 9999),
    "budget.quota_reserve": (0.3, 0.5, 0.1),
    "budget.reserve_usd": (0.5, 1.0, 0.1),
    "budget.reserve_tokens": (1000, 2000, 10),
}


@pytest.mark.parametrize("path", list(NUMBERS))
def test_each_bound_may_be_made_stricter_and_never_looser(path: str, home: Path) -> None:
    section, _, key = path.partition(".")
    now, stricter, looser = NUMBERS[path]
    user = f"[{section}]\n{key} = {now}"
    tight = from_repository(f"[{section}]\n{key} = {stricter}", home, user)
    assert (getattr(getattr(tight.config, section), key), tight.ignored) == (stricter, ())
    assert tight.origins[path] == FILE
    loose = from_repository(f"[{section}]\n{key} = {looser}", home, user)
    assert getattr(getattr(loose.config, section), key) == now
    assert loose.ignored == (f"{path}: a repository may only make this stricter",)


def test_every_number_of_policy_and_budget_has_its_rule() -> None:
    """A new bound must say which way is stricter."""
    numbers = {
        f"{name}.{key}"
        for name in ("policy", "budget")
        for key, value in getattr(Config(), name)
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    assert numbers <= set(NUMBERS)


def test_a_first_cap_is_stricter_than_none(home: Path) -> None:
    found = from_repository("[budget]\nusd = 5\ntokens = 100\nper_ticket_usd = 1", home)
    budget = found.config.budget
    assert (budget.usd, budget.tokens, budget.per_ticket_usd, found.ignored) == (5, 100, 1, ())


def test_a_repository_may_lower_caps_of_roles_and_never_raise_them(home: Path) -> None:
    user = "[budget.roles]\nreviewer = { usd = 3.0 }"
    tight = from_repository("[budget.roles]\nreviewer = { usd = 1.0 }\nplanner = { tokens = 9 }", home, user)
    found = {role: caps.model_dump() for role, caps in tight.config.budget.roles.items()}
    assert found == {"reviewer": {"usd": 1.0, "tokens": None}, "planner": {"usd": None, "tokens": 9}}
    loose = from_repository("[budget.roles]\nreviewer = { usd = 4.0 }", home, user)
    assert loose.config.budget.roles["reviewer"].usd == 3.0
    assert loose.ignored == ("budget.roles: a repository may only make this stricter",)


def test_prices_are_the_persons_own(home: Path) -> None:
    found = from_repository('[prices.models]\n"gpt-5" = { input = 0.0, output = 0.0 }', home)
    assert found.config.prices.models == {}
    assert found.ignored


def test_counting_a_subscription_is_stricter_than_not(home: Path) -> None:
    assert from_repository("[budget]\ncount_subscription = true", home).config.budget.count_subscription
    user = "[budget]\ncount_subscription = true"
    loose = from_repository("[budget]\ncount_subscription = false", home, user)
    assert loose.config.budget.count_subscription
    assert loose.ignored


def test_approvals_add_up_and_are_never_done_away_with(home: Path) -> None:
    user = "[policy]\napprove = ['plan']\napprovals = { landing = 2 }"
    more = from_repository("[policy]\napprove = ['landing']\napprovals = { landing = 3 }", home, user)
    assert (more.config.policy.approve, more.config.policy.approvals) == (["landing", "plan"], {"landing": 3})
    for none in ("[]", "['none']"):
        fewer = from_repository(f"[policy]\napprove = {none}\napprovals = {{ landing = 1 }}", home, user)
        assert (fewer.config.policy.approve, fewer.config.policy.approvals) == (["plan"], {"landing": 2})
        assert fewer.ignored == ("policy.approve: a repository may only make this stricter",)
        default = from_repository(f"[policy]\napprove = {none}", home, "")
        assert default.config.policy.approve is None, "on a terminal a person is still asked for the plan"


def test_sensitive_files_of_both_are_sensitive(home: Path) -> None:
    found = from_repository("[policy]\nsensitive = ['b', 'a']", home, "[policy]\nsensitive = ['a', 'c']")
    assert found.config.policy.sensitive == ["a", "c", "b"]


def test_where_to_save_may_only_become_more_careful(home: Path) -> None:
    order = ("ff", "branch", "pr")
    for place, ours in enumerate(order):
        for other, theirs in enumerate(order):
            found = from_repository(f"[policy]\nsave_to = {theirs!r}", home, f"[policy]\nsave_to = {ours!r}")
            assert found.config.policy.save_to == order[max(place, other)]
            assert bool(found.ignored) == (other < place)


def test_resolving_by_itself_is_not_for_a_repository_to_allow(home: Path) -> None:
    found = from_repository("[policy]\nauto_resolve = ['union:x']", home)
    assert found.config.policy.auto_resolve == []
    assert found.ignored


def test_a_flag_is_the_persons_word_for_this_run_and_holds_against_everything(home: Path) -> None:
    found = loaded(
        home,
        repository="[policy]\napprove = ['landing']\n[budget]\nusd = 5",
        user="[budget]\nusd = 20",
        flags={"policy": {"approve": ["none"]}, "budget": {"usd": 50.0}},
    )
    assert (found.config.policy.approve, found.config.budget.usd) == (["none"], 50.0)


def test_nothing_of_an_empty_repository_file_counts() -> None:
    assert tighten({}, Config()) == ({}, [])


# ── what the environment tells ──


def test_folders_come_from_variables_or_from_where_xdg_puts_them() -> None:
    plain = Environment({"HOME": "/home/ada"})
    assert plain.workspaces == Path("/home/ada/.cache/codeswarm")
    assert plain.user_config == Path("/home/ada/.config/codeswarm/config.toml")
    assert plain.data is None
    told = Environment(
        {"HOME": "/home/ada", "CODESWARM_DATA": "/d", "CODESWARM_WORKSPACES": "/w", "XDG_CACHE_HOME": "/c"}
    )
    assert (told.data, told.workspaces) == (Path("/d"), Path("/w"))
    assert Environment({"HOME": "/h", "XDG_CACHE_HOME": "/c"}).workspaces == Path("/c/codeswarm")


def test_an_agent_is_handed_its_login_and_an_endpoint_only_with_one() -> None:
    variables = {"ANTHROPIC_BASE_URL": "http://x", "AWS_SECRET": "s", "PATH": "/bin"}
    assert Environment(variables).login.claude == {}
    login = Environment({**variables, "ANTHROPIC_API_KEY": "k", "CLAUDE_CODE_OAUTH_TOKEN": ""}).login
    assert (login.path, dict(login.claude)) == ("/bin", {"ANTHROPIC_API_KEY": "k", "ANTHROPIC_BASE_URL": "http://x"})


def test_colour_is_for_terminals_that_want_it() -> None:
    assert Environment({}).colour
    assert not Environment({"NO_COLOR": "1"}).colour
    assert not Environment({"TERM": "dumb"}).colour


@pytest.mark.parametrize(
    ("theirs", "ours", "counts", "ignored"),
    [
        ('["@agent"]', None, ["@agent"], ()),
        ("[]", None, [], ()),
        ('["@agent", "evil.example"]', None, ["@agent", "@registries"], ("evil.example",)),
        ('["*"]', None, ["@agent", "@registries"], ("*",)),
        ('["a.corp.example"]', '["@agent", "*.corp.example"]', ["a.corp.example"], ()),
        ('["*.corp.example:22"]', '["*.corp.example"]', ["*.corp.example"], ("*.corp.example:22",)),
    ],
)
def test_a_repository_only_takes_hosts_away(
    home: Path, theirs: str, ours: str | None, counts: list[str], ignored: tuple[str, ...]
) -> None:
    """Also from those that the person's own file has."""
    own = "" if ours is None else f"[sandbox]\nnetwork = {ours}\n"
    loaded = from_repository(f"[sandbox]\nnetwork = {theirs}\n", home, own)
    assert loaded.config.sandbox.network == counts
    assert [entry for entry in ignored if not any(entry in what for what in loaded.ignored)] == []
    assert len(loaded.ignored) == len(ignored)


def test_an_entry_that_is_no_host_says_what_is_wrong_with_it() -> None:
    with pytest.raises(ConfigError, match="settings that can't be used") as found:
        check(Source("flags", {"sandbox": {"network": ["https://example.com"]}}))
    assert "sandbox.network.0" in found.value.why
    with pytest.raises(ConfigError) as found:
        check(Source("flags", {"sandbox": {"network": ["@everything"]}}))
    assert "@agent and @registries" in found.value.why
