"""The user guide as a site: it builds without a warning, a broken link fails it, and it fetches nothing."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("furo", reason="the group docs is not installed: make venv")

DOCS = Path(__file__).parents[2] / "docs"


def build(docs: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """What `make docs` runs."""
    command = [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "--keep-going", str(docs), str(site)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("site")
    done = build(DOCS, made)
    assert done.returncode == 0, done.stderr
    return made


def test_every_page_is_built_and_can_be_reached_from_the_first(site: Path) -> None:
    pages = {page.relative_to(DOCS).with_suffix(".html") for page in DOCS.rglob("*.md")}
    assert all((site / page).is_file() for page in pages)
    linked = set(re.findall(r'href="([^"#:]+\.html)"', (site / "index.html").read_text(encoding="utf-8")))
    assert {str(page) for page in pages} - {"index.html"} <= linked


def test_the_site_loads_nothing_from_elsewhere(site: Path) -> None:
    loaded = re.compile(r"""(?:<script[^>]*src|<link[^>]*href|<img[^>]*src|@import\s*|url\()=?\s*["']?(?:https?:)?//""")
    assert [
        file for file in site.rglob("*") if file.suffix in (".html", ".css") and loaded.search(file.read_text())
    ] == []


def test_every_page_can_be_searched_for(site: Path) -> None:
    index = (site / "searchindex.js").read_text(encoding="utf-8")
    assert all(f'"{page.relative_to(DOCS).with_suffix("")}"' in index for page in DOCS.rglob("*.md"))


@pytest.mark.parametrize(
    ("harm", "named"),
    [
        ("[nowhere](nowhere.md)", "nowhere.md"),
        ("[no such part](index.md#no-such-part)", "no-such-part"),
    ],
)
def test_a_link_that_leads_nowhere_fails_the_build(tmp_path: Path, harm: str, named: str) -> None:
    docs = tmp_path / "docs"
    (docs / "_static").mkdir(parents=True)
    shutil.copy(DOCS / "conf.py", docs)
    shutil.copy(DOCS / "_static/codeswarm.css", docs / "_static")
    (docs / "index.md").write_text(f"# A page\n\n{harm}\n", encoding="utf-8")
    done = build(docs, tmp_path / "site")
    assert done.returncode != 0
    assert named in done.stderr


def test_a_page_that_no_index_lists_fails_the_build(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    (docs / "_static").mkdir(parents=True)
    shutil.copy(DOCS / "conf.py", docs)
    shutil.copy(DOCS / "_static/codeswarm.css", docs / "_static")
    (docs / "index.md").write_text("# A page\n\n* [Listed](listed.md)\n", encoding="utf-8")
    (docs / "listed.md").write_text("# Listed\n", encoding="utf-8")
    assert build(docs, tmp_path / "site").returncode == 0
    (docs / "lost.md").write_text("# Lost\n", encoding="utf-8")
    done = build(docs, tmp_path / "site")
    assert done.returncode != 0
    assert "lost.md" in done.stderr
