"""Sizes in bytes, as people write them."""

UNITS = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3, "TiB": 1024**4}


def parse_bytes(text):
    """The number of bytes in a text such as `1.5 MiB`."""
    number, _, unit = text.strip().partition(" ")
    return int(float(number) * UNITS[unit or "B"])
