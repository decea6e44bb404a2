"""What every reader of kvmlab.host.formats does alike: names of files, binary files, and text of any kind."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, strategies as st

from kvmlab.host.formats import read_kvm_trace, read_perf_kvm_stat
from tests.host.recorded import REPORTS, TRACES
from tests.places import RECORDED
from tests.strategies import few

Reader = Callable[..., pd.DataFrame]


def test_the_recordings_are_there() -> None:
    assert len(REPORTS) == 3
    assert len(TRACES) == 7


def test_importing_the_module_does_not_import_pandas() -> None:
    script = "import sys, kvmlab.host.formats; print('pandas' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("read", [read_perf_kvm_stat, read_kvm_trace])
@pytest.mark.parametrize("name", ["recorded_runs.csv", "recorded_latencies.json", "README.md"])
def test_the_wrong_file_is_refused_with_its_name(read: Reader, name: str) -> None:
    with pytest.raises(ValueError, match=rf"{re.escape(name)}, line \d+: found .*; expected "):
        read(RECORDED / name)


@pytest.mark.parametrize("read", [read_perf_kvm_stat, read_kvm_trace])
def test_what_is_no_text_file_is_refused(read: Reader, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"absent\.txt"):
        read(tmp_path / "absent.txt")
    with pytest.raises(ValueError, match=r"line 1: found '.*absent\.txt'"):
        read("absent.txt")
    for folder in (tmp_path, str(tmp_path)):
        with pytest.raises(ValueError, match="found a folder; expected a file"):
            read(folder)
    with pytest.raises(ValueError, match="found a device or pipe; expected a file"):
        read("/dev/null")
    for binary in (b"PERFILE2\x68\x00\x00", b"\x17\x08Dtracing6\x00", "VM".encode("utf-16-le"), b"\xff\xfd\n"):
        path = tmp_path / "binary"
        path.write_bytes(binary)
        with pytest.raises(ValueError, match=r"binary, line 1: found .*not a binary file"):
            read(path)
    with pytest.raises(TypeError, match="expected text as a str, or a path, not bytes"):
        read(b"VM-EXIT")


@pytest.mark.parametrize("read", [read_perf_kvm_stat, read_kvm_trace])
@few(100)
@given(text=st.text() | st.text(alphabet="VM-EXITSamples%Time 0123456789.us(+-)\n:[]#=>_ktvcpu"))
def test_any_text_is_a_table_or_a_value_error(read: Reader, text: str) -> None:
    complaint = ""
    try:
        read(text + "\n")
    except ValueError as error:
        complaint = str(error)
    assert not complaint or re.search(r"line \d+: found .*; expected ", complaint)
