from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

import pytest

from codeswarm.cli.again import again
from codeswarm.cli.until import parse_until, time_left
from codeswarm.errors import UsageError

BERLIN = ZoneInfo("Europe/Berlin")


def ms(text: str, zone: tzinfo = BERLIN) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp() * 1000)


NOW = ms("2026-11-20T22:30")


@pytest.mark.parametrize(
    ("typed", "moment", "said"),
    [
        ("23:15", "2026-11-20T23:15", "23:15"),
        ("07:00", "2026-11-21T07:00", "07:00"),
        ("7:00", "2026-11-21T07:00", "07:00"),
        ("22:30", "2026-11-21T22:30", "2026-11-21 22:30"),
        ("8h", "2026-11-21T06:30", "06:30"),
        ("90m", "2026-11-21T00:00", "00:00"),
        ("90min", "2026-11-21T00:00", "00:00"),
        ("1h 30m", "2026-11-21T00:00", "00:00"),
        ("2d", "2026-11-22T22:30", "2026-11-22 22:30"),
        ("30s", "2026-11-20T22:30:30", "22:30"),
        ("2026-12-01T09:00", "2026-12-01T09:00", "2026-12-01 09:00"),
        ("2026-12-01 09:00:30", "2026-12-01T09:00:30", "2026-12-01 09:00"),
        ("2026-12-01T09:00Z", "2026-12-01T10:00", "2026-12-01 10:00"),
        ("2026-11-20T22:00Z", "2026-11-20T23:00", "23:00"),
        ("2026-12-01T09:00-05:00", "2026-12-01T15:00", "2026-12-01 15:00"),
    ],
)
def test_a_time_of_day_a_length_and_a_date_are_understood(typed: str, moment: str, said: str) -> None:
    until = parse_until(typed, NOW, BERLIN)
    assert (until.at_ms, until.said) == (ms(moment), said)


@pytest.mark.parametrize(
    ("typed", "why"),
    [
        ("25:00", "hour must be"),
        ("07:60", "minute must be"),
        ("7", "neither a time of day"),
        ("", "neither"),
        ("soon", "neither"),
        ("-8h", "neither"),
        ("8 fortnights", "neither"),
        ("2026-13-01T09:00", "month must be"),
        ("2026-12-01", "neither"),
        ("0h", "now"),
        ("2026-11-20T22:29", "now"),
        ("400d", "no end"),
        ("99999999999d", "no end"),
        ("99999999999999999999h", "no end"),
        ("9" * 5000 + "h", "neither"),
        ("2036-12-01T09:00", "no end"),
    ],
)
def test_nonsense_and_what_is_over_are_refused_in_three_lines(typed: str, why: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_until(typed, NOW, BERLIN)
    assert typed in refused.value.what
    assert why in refused.value.why
    assert refused.value.why
    assert again(["resume", "x", "--until", typed], refused.value.hint).startswith(
        "codeswarm resume x --until 07:00   # "
    )
    assert refused.value.exit_code == 2


def test_a_night_in_which_the_clock_is_put_back_has_an_hour_more() -> None:
    evening = ms("2026-10-24T23:00")
    assert parse_until("07:00", evening, BERLIN).at_ms - evening == 9 * 3600_000
    assert parse_until("8h", evening, BERLIN).said == "06:00"


def test_a_time_that_the_clock_jumps_over_is_the_moment_after_the_jump() -> None:
    until = parse_until("02:30", ms("2026-03-28T23:00"), BERLIN)
    assert datetime.fromtimestamp(until.at_ms / 1000, UTC).astimezone(BERLIN).strftime("%H:%M") == "03:30"


def test_what_is_left_is_told_in_hours_and_minutes() -> None:
    assert time_left(ms("2026-11-21T07:00"), NOW, BERLIN) == "until 07:00, 8 h 30 min left"
    assert time_left(ms("2026-11-20T22:31"), NOW, BERLIN) == "until 22:31, 1 min 00 s left"
    assert time_left(ms("2026-12-01T09:00"), NOW, BERLIN).startswith("until 2026-12-01 09:00, 250 h 30 min")
    assert time_left(NOW, NOW, BERLIN) == "until 22:30, which is over"
