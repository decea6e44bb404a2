"""Columns of a recorded run, as csv gives them or as pandas does."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from kvmlab.host.rows import bit, column, whole_text


@pytest.mark.parametrize(
    ("value", "found"), [("0", False), ("1", True), (" 1 ", True), ("1.0", True), (0, False), (1, True), (True, True)]
)
def test_a_bit_is_0_or_1(value: Any, found: bool) -> None:
    assert bit({"apicv": value}, "apicv") is found


@pytest.mark.parametrize("value", ["2", 2, -1, "-1", "", "yes", None, 0.5])
def test_any_other_value_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="apicv"):
        bit({"apicv": value}, "apicv")


@pytest.mark.parametrize(
    ("value", "whole"),
    [("7", 7), ("7.00", 7), ("7.5", "7.5"), ("-7", "-7"), ("seven", "seven"), (7, 7), (7.5, 7.5), (None, None)],
)
def test_a_whole_number_is_one_and_anything_else_stays(value: Any, whole: Any) -> None:
    assert whole_text(value) == whole


def test_a_bool_is_a_number() -> None:
    assert type(whole_text(True)) is int
    assert type(whole_text(7.0)) is float


def test_a_column_that_is_missing_is_named() -> None:
    row = {"a": 1, "b": 2}
    assert column(row, "b") == 2
    assert column(pd.Series(row), "b") == 2
    with pytest.raises(ValueError, match=r"^c: the row has no such column; there are: a, b$"):
        column(row, "c")
    with pytest.raises(ValueError, match=r"^row: .* is not allowed; it must be a mapping of columns to values"):
        column([1, 2], "a")
