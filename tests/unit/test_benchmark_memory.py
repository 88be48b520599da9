from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks import memory
from benchmarks.memory import CannotLimit, Row, as_text, limited
from benchmarks.speed import PRICE_PER_GB_SECOND, PRICE_PER_REQUEST


def test_a_photo_costs_memory_times_time() -> None:
    row = Row(2048, 1.16, 768, 1024, 3.0)

    assert row.gb_seconds == 6.0
    assert row.price == pytest.approx(6.0 * PRICE_PER_GB_SECOND + PRICE_PER_REQUEST)


def test_the_table_says_what_was_killed() -> None:
    rows = [Row(1024, 0.58, 768, 1024, None), Row(3008, 1.7, 768, 1024, 7.25)]

    head, rule, killed, served = as_text(rows).splitlines()

    assert killed == "| 1024 | 0.58 | 768 x 1024 | killed | |  |"
    assert served == "| 3008 | 1.70 | 768 x 1024 | 7.25 | 21.3 | 0.000355 |"
    assert {line.count("|") for line in (head, rule, killed, served)} == {7}


def test_a_machine_without_control_groups_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "GROUPS", tmp_path / "nothing")

    with pytest.raises(CannotLimit), limited(1024, 0.5):
        pass
    assert list(tmp_path.iterdir()) == []
