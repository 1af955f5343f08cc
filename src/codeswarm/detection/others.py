"""Kinds of projects that are known by name only: what their tests usually are is said, and the person decides."""

from __future__ import annotations

import re

from codeswarm.detection.base import FILE, Files

_USUAL: tuple[tuple[str, str, str], ...] = (
    (r"gradlew", "Gradle", "./gradlew test"),
    (r"(?:build|settings)\.gradle(?:\.kts)?", "Gradle", "gradle test"),
    (r".+\.(?:sln|slnx|csproj|fsproj)", ".NET", "dotnet test"),
    (r"\.rspec", "Ruby", "bundle exec rspec"),
    (r"Rakefile", "Ruby", "bundle exec rake test"),
    (r"composer\.json", "PHP", "composer test"),
    (r"mix\.exs", "Elixir", "mix test"),
    (r"Package\.swift", "Swift", "swift test"),
    (r"build\.sbt", "Scala", "sbt test"),
    (r"deno\.jsonc?", "Deno", "deno test"),
    (r"pubspec\.yaml", "Dart", "dart test"),
    (r"build\.zig", "Zig", "zig build test"),
    (r"stack\.yaml", "Haskell", "stack test"),
    (r".+\.cabal", "Haskell", "cabal test"),
    (r"dune-project", "OCaml", "dune test"),
    (r"meson\.build", "Meson", "meson setup build && meson test -C build"),
    (r"(?:MODULE|WORKSPACE)(?:\.bazel)?", "Bazel", "bazel test //..."),
    (r"SConstruct", "SCons", "scons test"),
)
"""What lies at the top, the kind that it tells of, and how its tests are usually run."""


_TEXTS = re.compile(
    r"(?:.*/)?(?:LICEN[CS]E|COPYING|NOTICE|README|AUTHORS|CHANGELOG|\.git\w+|.+\.(?:md|markdown|rst|adoc|txt|tex|bib|html|css|csv|png|jpe?g|gif|svg|webp|pdf))"
)
_UNTOUCHED = '! git grep -nE "^(<<<<<<<|>>>>>>>) "'
"""The least that can be asked of texts: that nobody left the marks of a conflict in them."""


def usual_gate(files: Files) -> tuple[str, str, str] | None:
    """(the kind, the file that tells so, the usual command); None where nothing is known."""
    names = sorted(files.names())
    for pattern, kind, command in _USUAL:
        if found := next((name for name in names if re.fullmatch(pattern, name)), None):
            return kind, found, command
    return None


def only_texts(files: Files) -> tuple[str, str, str] | None:
    """The same, of a repository that holds nothing else."""
    texts = sorted(path for path in files.paths() if path != FILE)
    if not texts or not all(_TEXTS.fullmatch(path) for path in texts):
        return None
    return "Documents", texts[0], _UNTOUCHED
