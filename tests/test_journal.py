"""The journal: what was appended is there, whatever happened after."""

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy
import pytest

from harness import journal
from harness.errors import HarnessError
from harness.journal import FILE_NAME, Journal


def test_what_is_appended_is_read_back_in_order(tmp_path):
    with Journal.create(tmp_path / "run") as book:
        book.append("run", name="x", seed=3)
        book.append("samples", cell="a", ns=numpy.array([1.5, 2.0]), repetitions=numpy.int64(4), log=Path("a/b"))
    run, samples = journal.read(tmp_path / "run")
    assert (run["kind"], run["name"], run["seed"]) == ("run", "x", 3)
    assert samples["ns"] == [1.5, 2.0] and samples["repetitions"] == 4 and samples["log"] == "a/b"
    assert run["at"] <= samples["at"]


def test_every_line_is_strict_json_even_where_a_figure_is_not_finite(tmp_path):
    with Journal.create(tmp_path) as book:
        book.append("cell", max_relative_error=numpy.float64("inf"), facts={"losses": [float("nan"), 1.0]})

    def refuse(constant):
        raise AssertionError(constant)

    fact = json.loads((tmp_path / FILE_NAME).read_text(), parse_constant=refuse)
    assert fact["max_relative_error"] is None and fact["facts"] == {"losses": [None, 1.0]}


def test_a_torn_last_line_is_left_out_and_cut_off_on_resume(tmp_path):
    with Journal.create(tmp_path) as book:
        book.append("run", name="x")
    with (tmp_path / FILE_NAME).open("ab") as file:
        file.write(b'{"kind": "cell", "ce')
    assert [fact["kind"] for fact in journal.read(tmp_path)] == ["run"]
    with Journal.open(tmp_path) as book:
        book.append("resume")
    assert [fact["kind"] for fact in journal.read(tmp_path)] == ["run", "resume"]


def test_a_whole_last_line_that_only_lacks_its_end_is_kept(tmp_path):
    (tmp_path / FILE_NAME).write_bytes(b'{"kind": "run"}\n{"kind": "warning", "text": "t"}')
    assert len(journal.read(tmp_path)) == 2
    with Journal.open(tmp_path) as book:
        book.append("resume")
    assert [fact["kind"] for fact in journal.read(tmp_path)] == ["run", "warning", "resume"]


@pytest.mark.parametrize("rubbish", [b"\x00\x00\x00", b"[1, 2]", b'{"no": "kind"}', b"[" * 100_000, b""])
def test_rubbish_in_the_middle_is_named_by_its_line(tmp_path, rubbish):
    (tmp_path / FILE_NAME).write_bytes(b'{"kind": "run"}\n' + rubbish + b'\n{"kind": "run_end"}\n')
    with pytest.raises(HarnessError, match="line 2"):
        journal.read(tmp_path)


def test_a_full_disk_says_what_is_kept_and_leaves_whole_lines(tmp_path, monkeypatch):
    book = Journal.create(tmp_path)
    book.append("run", name="x")
    really_write = os.write

    def write_a_little(descriptor, data):
        if len(data) > 8:
            return really_write(descriptor, data[:8])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", write_a_little)
    with pytest.raises(HarnessError) as caught:
        book.append("samples", cell="a", ns=[1] * 100)
    assert "disk is full" in str(caught.value) and "line before it is kept" in str(caught.value)
    monkeypatch.undo()
    book.append("warning", text="room again")
    book.close()
    book.close()
    assert [fact["kind"] for fact in journal.read(tmp_path)] == ["run", "warning"]


def test_only_one_process_writes_a_journal(tmp_path):
    with Journal.create(tmp_path):
        with pytest.raises(HarnessError, match="exists already"):
            Journal.create(tmp_path)
        with pytest.raises(HarnessError, match="another process"):
            Journal.open(tmp_path)


def test_places_that_cannot_hold_a_journal(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(HarnessError, match="file"):
        Journal.create(tmp_path / "file")
    with pytest.raises(HarnessError, match="cannot be made"):
        Journal.create(tmp_path / "file" / "below")
    with pytest.raises(HarnessError, match="cannot be read"):
        Journal.open(tmp_path / "nothing")


def test_kill_9_loses_nothing_that_was_appended(tmp_path):
    program = (
        "import sys\n"
        "from harness.journal import Journal\n"
        "book = Journal.create(sys.argv[1])\n"
        "for number in range(10_000_000):\n"
        "    book.append('samples', cell='a', round=number, ns=[1.0] * 50)\n"
        "    print(number, flush=True)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        said = int(line)
        if said >= 20:
            process.send_signal(signal.SIGKILL)
            break
    said = max([said, *(int(line) for line in process.stdout if line.endswith("\n"))])
    process.wait()
    process.stdout.close()
    rounds = [fact["round"] for fact in journal.read(tmp_path)]
    assert rounds == list(range(len(rounds))) and len(rounds) > said
