"""The layout of the tables is what the annotations of the records say, for numpy and for all others."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import get_type_hints

import numpy as np
import pytest

import kvmlab as kl
from kvmlab.engine import execute, setup
from kvmlab.engine.layout import GIVEN, PLANNED, TABLES, WORDS_AT, description, dtype_of, words
from kvmlab.model import records
from kvmlab.model.records import Machine


def test_every_table_of_the_machine_has_its_place():
    assert list(TABLES) == list(Machine._fields)
    assert {*GIVEN} | {*PLANNED} == {*TABLES}
    assert not {*GIVEN} & {*PLANNED}


@pytest.mark.parametrize("table", [table for table in TABLES.values() if table.record], ids=lambda table: table.name)
def test_each_field_is_as_wide_as_it_says(table):
    hints = get_type_hints(table.record, include_extras=True)
    assert list(table.dtype.names) == [field.name for field in fields(table.record)]
    for name in table.dtype.names:
        dtype = table.dtype[name]
        wanted = {float: "f8", int: "i8", records.Flag: "i1", records.Word: "u4"}[hints[name]]
        assert dtype == np.dtype(wanted), name


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_fields_lie_where_a_reader_of_bytes_finds_them(table):
    """Each at a multiple of its own width, in order, and an entry a multiple of the widest: as C lays them out."""
    ends = 0
    for name in table.dtype.names or ():
        dtype, offset = table.dtype.fields[name][:2]
        assert offset == -(-ends // dtype.itemsize) * dtype.itemsize
        ends = offset + dtype.itemsize
    assert table.dtype.itemsize % table.dtype.alignment == 0


def test_the_description_says_all_of_it_as_json():
    told = json.loads(json.dumps(description()))
    assert told["words_at"] == WORDS_AT
    assert told["given"] == list(GIVEN)
    assert told["planned"] == list(PLANNED)
    for name, table in TABLES.items():
        assert told["tables"][name]["size"] == table.dtype.itemsize
        assert list(told["tables"][name]["fields"]) == list(table.dtype.names or ())
    assert told["tables"]["vcpus"]["fields"]["state"][1] == "i1"
    assert told["tables"]["streams"]["fields"] == {"key": [0, "u4"], "drawn": [4, "u4"]}


def test_tables_are_laid_one_behind_the_other():
    places = words({"pools": 3, "streams": 1, "vcpus": 2}, 640)
    assert places == {"pools": 640, "streams": 664, "vcpus": 672, "": 672 + 2 * TABLES["vcpus"].dtype.itemsize}
    assert dtype_of(None) == np.int64


def test_what_is_given_is_small():
    """Beside the tables of quantiles, a scenario hands over some records: the rules work out the rest."""
    scenario = kl.Scenario(kl.Host(pcpus=64, isolated=range(2, 64)), kl.Guest(vcpus=62))
    given = setup.given(scenario)
    assert list(given) == list(GIVEN)
    small = [name for name in GIVEN if name not in ("costs", "exponential")]
    machine = execute.machine(scenario)
    assert sum(given[name].nbytes for name in small) < sum(getattr(machine.tables(), n).nbytes for n in PLANNED) / 50
