from __future__ import annotations

import gc

from codeswarm.garbage import nothing_collected


class Kept:
    """Something that stays."""


def test_what_is_made_where_nothing_is_collected_counts_as_old_so_that_no_soon_look_begins_with_it() -> None:
    gc.collect()
    with nothing_collected():
        assert not gc.isenabled()
        made = [Kept() for _ in range(10_000)]
    assert gc.isenabled()
    old = {id(each) for each in gc.get_objects(generation=2)}
    assert all(id(each) in old for each in made)
    assert gc.get_freeze_count() == 0
