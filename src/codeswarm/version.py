"""The version of this program, as its package metadata has it."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

try:
    VERSION = version("codeswarm")
except PackageNotFoundError:
    VERSION = "0+unknown"
