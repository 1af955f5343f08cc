"""The version of this program. Its package's metadata are made with it."""

from __future__ import annotations

VERSION = "0.1.0"
