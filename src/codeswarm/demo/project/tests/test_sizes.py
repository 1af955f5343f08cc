from quantity import parse_bytes


def test_a_number_alone_is_bytes():
    assert parse_bytes("512") == 512


def test_units_are_powers_of_1024():
    assert parse_bytes("1.5 MiB") == 1_572_864
