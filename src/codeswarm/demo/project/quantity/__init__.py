"""Quantities as people write them."""

from quantity.sizes import parse_bytes

__all__ = ["parse_bytes"]
