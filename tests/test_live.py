"""Which cells are alive together."""

from __future__ import annotations

from types import SimpleNamespace

from harness.live import side_by_side


def cell(adapter: str, needed: int) -> SimpleNamespace:
    return SimpleNamespace(cell=SimpleNamespace(adapter=adapter), memory_needed=lambda: needed)


def names(groups: list[list[SimpleNamespace]]) -> list[list[str]]:
    return [[one.cell.adapter for one in group] for group in groups]


def test_all_cells_live_together_where_memory_allows_it() -> None:
    cells = [cell(name, 10) for name in "abc"]
    assert names(side_by_side(cells, "a", available=40)) == [["a", "b", "c"]]


def test_else_groups_share_the_baseline() -> None:
    cells = [cell(name, 10) for name in "bacde"]
    assert names(side_by_side(cells, "a", available=40)) == [["a", "b", "c"], ["a", "d", "e"]]


def test_a_cell_that_fits_nowhere_still_gets_its_turn_and_may_fail_alone() -> None:
    cells = [cell("a", 10), cell("b", 100), cell("c", 10)]
    assert names(side_by_side(cells, "a", available=40)) == [["a", "b"], ["a", "c"]]


def test_without_a_baseline_groups_share_nothing() -> None:
    cells = [cell(name, 10) for name in "bcd"]
    assert names(side_by_side(cells, "a", available=25)) == [["b", "c"], ["d"]]
