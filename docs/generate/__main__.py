"""Writes the pages. Run by `make docs-reference`."""

from __future__ import annotations

import sys
from pathlib import Path

from generate import PAGES
from generate.sources import Undocumented

FOLDER = Path(__file__).parents[1] / "reference"

try:
    made = {name: make() for name, make in PAGES.items()}
except Undocumented as missing:
    sys.exit(f"error: {missing}")
for name, text in made.items():
    (FOLDER / name).write_text(text, encoding="utf-8")
