"""What stands above a ticket in a prompt, and what of it needs a person's trust."""

from __future__ import annotations

import pytest

from codeswarm.context.instructions import MAX_GUIDE, MAX_RULES, Instructions, read_instructions, shipped
from codeswarm.context.trust import digest_of, of_trust

SKILL = "---\nname: release\ndescription: How a release\n  is made\nroles: [implementer]\n---\nStep one."


def told(files: dict[str, str], role: str = "implementer", *, trusted: bool = False, **modes: str) -> Instructions:
    """The instructions that a repository of these files gives."""
    listing = {path: (modes.get(path, "100644"), f"blob of {text}") for path, text in files.items()}
    return read_instructions(role, listing, lambda path: files[path].encode(), trusted=trusted)


def test_without_a_word_of_the_repository_a_role_is_told_what_we_ship() -> None:
    assert told({}) == Instructions(shipped("implementer"))
    assert "implementer" in shipped("implementer")
    assert shipped("verifier") == ""


def test_the_usual_files_and_rules_for_a_role_are_always_read_in_a_fixed_order() -> None:
    files = {
        ".codeswarm/rules/reviewer/strict.md": "Be strict.",
        ".codeswarm/rules/implementer/style.md": "Mind the style.",
        ".codeswarm/rules/b.md": "Second.",
        ".codeswarm/rules/a.md": "First.",
        ".codeswarm/rules/a.txt": "no rule",
        "CLAUDE.md": "For Claude.",
        "AGENTS.md": "For all.",
        "docs/AGENTS.md": "deeper down",
    }
    assert [rule.text for rule in told(files).rules] == [
        "For all.",
        "For Claude.",
        "First.",
        "Second.",
        "Mind the style.",
    ]
    assert [rule.text for rule in told(files, "reviewer").rules][-1] == "Be strict."


@pytest.mark.parametrize("same", ["For all.", "@AGENTS.md", "  For all.\n"])
def test_what_says_the_same_again_is_told_once(same: str) -> None:
    assert [rule.path for rule in told({"AGENTS.md": "For all.", "CLAUDE.md": same}).rules] == ["AGENTS.md"]


def test_a_symbolic_link_is_no_text() -> None:
    listing = {"AGENTS.md": ("120000", "x")}
    assert read_instructions("implementer", listing, lambda _: b"/etc/passwd", trusted=True).rules == ()


def test_rules_without_end_are_cut_and_those_without_room_are_named() -> None:
    files = {f".codeswarm/rules/{number}.md": f"{number} " + "x" * MAX_GUIDE for number in range(6)}
    found = told(files)
    assert sum(len(rule.text) for rule in found.rules) <= MAX_RULES
    assert len(found.rules) + len(found.left_out) == 6
    assert found.rules[0].text.endswith("[… cut]")


def test_what_no_text_is_is_read_as_far_as_it_can_be() -> None:
    listing = {"AGENTS.md": ("100644", "x")}
    found = read_instructions("implementer", listing, lambda _: b"caf\xe9 \xff", trusted=False)
    assert found.rules[0].text == "caf\ufffd \ufffd"


def test_roles_and_skills_of_the_repository_count_once_they_are_trusted() -> None:
    files = {".codeswarm/roles/implementer.md": "You are ours.", ".claude/skills/release/SKILL.md": SKILL}
    assert (told(files).role, told(files).skills) == (shipped("implementer"), ())
    trusted = told(files, trusted=True)
    assert (trusted.role, trusted.source) == ("You are ours.", ".codeswarm/roles/implementer.md")
    assert [(skill.name, skill.description) for skill in trusted.skills] == [("release", "How a release is made")]
    assert told(files, "reviewer", trusted=True).skills == (), "its head limits it to implementers"


@pytest.mark.parametrize(
    "head", ["", "---\n: : :\n---\n", "---\n- a list\n---\n", "---\nname: [1]\n", "---\n" + "[" * 9000]
)
def test_a_skill_with_a_broken_head_bears_the_name_of_its_folder(head: str) -> None:
    skills = told({".codeswarm/skills/deploy/SKILL.md": f"{head}text"}, trusted=True).skills
    assert len(skills) == 1
    assert skills[0].name in ("deploy", "[1]")


def test_trust_is_in_names_modes_and_contents_of_what_needs_it_and_in_nothing_else() -> None:
    base = {".mcp.json": ("100644", "a"), ".claude/hooks/x.sh": ("100755", "b"), "src/a.py": ("100644", "c")}
    assert list(of_trust(base)) == [".claude/hooks/x.sh", ".mcp.json"]
    assert digest_of(base) == digest_of({**base, "src/a.py": ("100644", "other"), ".mcp.json.bak": ("100644", "d")})
    changed = ({".mcp.json": ("100644", "z")}, {".mcp.json": ("100755", "a")}, {".claude/new": ("100644", "n")})
    assert len({digest_of({**base, **change}) for change in changed} | {digest_of(base)}) == 4
    assert digest_of({"src/a.py": ("100644", "c")}) == ""
