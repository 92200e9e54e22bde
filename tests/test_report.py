"""Reports: everything is said, nothing is fetched, and what is wrong shows no time."""

import html.parser
import re
from collections import Counter

import journals
import pytest
from rich.console import Console

import harness
from harness import report
from harness.commands.report import report as report_command
from harness.errors import HarnessError
from harness.journal import Journal
from harness.report import charts, colours, humanise, limits, markdown, page, ran, settling, sweeps, terminal, verdicts
from harness.report.view import view

VOID = {"meta", "br", "hr", "img", "input", "link"}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "full"
    return harness.load(journals.write(folder, models=("lenet5", "resnet_cifar"), interrupted=True, torn=True))


@pytest.fixture(scope="module")
def text(run):
    return page.html(run)


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    return harness.load(journals.write_measured(tmp_path_factory.mktemp("runs") / "measured"))


@pytest.fixture(scope="module")
def measured_text(measured):
    return page.html(measured)


def small(folder, rows):
    """A run with six rounds of 10 ns per given cell; each row holds facts of its cell."""
    with Journal.create(folder) as book:
        book.append("run", name="small", seed=1)
        for number, row in enumerate(rows):
            facts = {"comparison": "c", "device": "cpu", "model": "m", "scenario": "infer", "batch": 1, "status": "ok"}
            facts |= {"clock_scope": "device", "mode": "eager", "precision": "fp32", "threads": 2, **row}
            for turn in range(6):
                book.append("samples", cell=str(number), round=turn, repetitions=1, ns=[10.0], phase="timed")
            book.append("cell", cell=str(number), **facts)
        book.append("run_end", seconds=1)
    return harness.load(folder)


def printed(run, width=120):
    console = Console(width=width, force_terminal=False, color_system=None, legacy_windows=False)
    with console.capture() as capture:
        console.print(terminal.summary(run))
    return capture.get()


#: Pages that lie beside a page and that it may lead to.
NEIGHBOURS = ("report.html", "ease.html")


class Outline(html.parser.HTMLParser):
    """Checks that tags are closed in order; collects ids and what could be fetched."""

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.fetched, self.tags = [], [], [], Counter()

    def handle_starttag(self, tag, attrs):
        self.tags[tag] += 1
        if tag not in VOID:
            self.open.append(tag)
        self._note(dict(attrs))

    def handle_startendtag(self, tag, attrs):
        self.tags[tag] += 1
        self._note(dict(attrs))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def _note(self, attributes):
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.fetched += [v for k, v in attributes.items() if k in ("src", "srcset", "data", "action", "poster")]
        links = [v for k, v in attributes.items() if k.endswith("href") and not v.startswith("#")]
        self.fetched += [link for link in links if link not in NEIGHBOURS]


def section(text, name):
    """The part of the page under one heading."""
    return re.split(r"<h2 id=", text.split(f'<h2 id="{name}"')[1])[0]


def test_the_page_is_well_formed_and_fetches_nothing(text):
    outline = Outline()
    outline.feed(text)
    assert outline.open == []
    assert outline.fetched == [] and "script" not in outline.tags and "link" not in outline.tags
    assert "@import" not in text and not re.search(r"url\((?!#)", text)
    assert len(outline.ids) == len(set(outline.ids))
    assert outline.tags["svg"] >= 8


def test_wrong_cells_are_prominent_and_show_no_time(text):
    status = section(text, "status")
    assert "2 cells" not in status and "1 cell computed something else" in status
    assert "loss of step 2 is 2.3179" in status
    rows = [row for row in re.findall(r"<tr.*?</tr>", text, re.S) if re.search(r'tag (wrong|unsupported)">', row)]
    assert rows and not any(re.search(r"\d (ns|µs|ms|s)<", row) for row in rows)


def test_every_reason_is_on_the_page(text):
    for fate in ("no answer to &#39;load&#39; within 120 s", "interrupted", "no Python 3.14 on this machine"):
        assert fate in text


def test_clock_scopes_have_sections_of_their_own(text):
    assert re.findall(r'<h2 id="scope-(\w+)"', text) == ["device", "call", "cold"]
    assert "first result" not in section(text, "scope-device") and "phases" in section(text, "scope-cold")
    assert "infer · batch 32" not in section(text, "scope-call")
    assert "What the harness itself costs" in section(text, "scope-device")


def test_the_page_says_where_and_how(text):
    for fact in (
        "threads=2",
        "uv: no interpreter",
        "numpy=2.4.6",
        "An Imaginary CPU",
        "17.2 GB",
        "OMP_NUM_THREADS=2",
        "BCa bootstrap",
        "cannot tell",
        "quick",
        "2.13.0",
    ):
        assert fact in text


def test_what_a_worker_says_cannot_become_markup(tmp_path):
    evil = "<script>alert(1)</script> | a*b"
    run = small(
        tmp_path, [{"adapter": "torch"}, {"adapter": "mxnet", "status": "failed", "reason": evil, "model": evil}]
    )
    assert "<script" not in page.html(run) and "&lt;script&gt;" in page.html(run)
    text = markdown.markdown(run)
    assert "<script" not in text.replace("\\<", "") and "\\| a\\*b" in text


def test_markdown_tables_have_as_many_cells_as_headings(run):
    tables = re.findall(r"(?:^\|.*\n)+", markdown.markdown(run), re.M)
    assert len(tables) == 5
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1
    assert "**wrong**" in markdown.markdown(run) and "(≈" in markdown.markdown(run)


def test_the_terminal_summary_fits_120_columns(run):
    text = printed(run)
    assert max(map(len, text.splitlines())) <= 120
    for line in text.splitlines():
        if "train x32" in line:
            assert line.count("ms ±") + line.count("wrong") + line.count("timeout") == 5
    for words in ("Time on the device", "Time of a call", "Cold start", "loss of step 2", "jax (cpu)", "! The load"):
        assert words in text
    assert "null" not in text.split("Median of one step")[0]


def test_a_figure_in_brief():
    row = {"median_ns": 12.3e6, "ci_low_ns": 12e6, "ci_high_ns": 12.6e6, "ratio": 1.05, "verdict": "cannot tell"}
    assert markdown.figure(row).replace(humanise.TIMES, "x") == "12.3 ms ±2% (≈1.05x)"
    assert markdown.figure({**row, "verdict": "baseline"}) == "12.3 ms ±2%"
    assert markdown.figure({**row, "ci_low_ns": None, "ratio": None}) == "12.3 ms"


def test_modes_and_precisions_of_one_adapter_are_told_apart(tmp_path):
    run = small(
        tmp_path,
        [
            {"adapter": "torch"},
            {"adapter": "torch", "mode": "compiled"},
            {"adapter": "mxnet", "mode": "graph"},
        ],
    )
    assert view(run).contestants == ["torch eager", "torch compiled", "mxnet"]
    run = small(tmp_path / "2", [{"adapter": "torch"}, {"adapter": "torch", "precision": "bf16"}])
    assert view(run).contestants == ["torch fp32", "torch bf16"]
    rows = [{"adapter": "torch", "precision": name, "comparison": name} for name in ("fp32", "bf16")]
    seen = view(small(tmp_path / "3", rows))
    assert seen.contestants == ["torch"]
    assert [task.what for task in seen.tasks] == ["infer · batch 1 · fp32", "infer · batch 1 · bf16"]
    page.html(run)


def test_devices_are_tasks_of_their_own_with_a_baseline_each(tmp_path):
    rows = [{"adapter": a, "device": d} for d in ("cpu", "cuda") for a in ("torch", "mxnet")]
    run = small(tmp_path, rows)
    assert [task.what for task in view(run).tasks] == ["infer · batch 1 · cpu", "infer · batch 1 · cuda"]
    assert run.cells["verdict"].tolist() == ["baseline", "cannot tell"] * 2


def test_two_comparisons_that_differ_in_nothing_else_are_both_shown(tmp_path):
    run = small(tmp_path, [{"adapter": "torch"}, {"adapter": "torch", "comparison": "d"}])
    assert len(view(run).tasks) == 2


@pytest.mark.parametrize("rows", [[], [{"adapter": "null"}], [{"adapter": "torch", "status": "wrong", "reason": "r"}]])
def test_runs_with_nothing_to_show_can_be_reported(tmp_path, rows):
    run = small(tmp_path, rows)
    assert "small" in page.html(run) and "small" in markdown.markdown(run)
    printed(run)


def test_the_report_is_written_where_it_is_wanted(run, tmp_path):
    paths = report.write(run, tmp_path / "deep" / "out")
    assert [path.name for path in paths] == ["report.html", "report.md", "ease.html"]
    assert {path.name for path in (tmp_path / "deep" / "out").iterdir()} == {path.name for path in paths}
    (tmp_path / "file").write_text("")
    with pytest.raises(HarnessError, match="cannot be written"):
        report.write(run, tmp_path / "file")


def test_the_picture(run, tmp_path):
    assert report.picture(run, tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
    assert "resnet_cifar" in report.picture(run, tmp_path / "p.svg").read_text()
    with pytest.raises(HarnessError, match="neither"):
        report.picture(run, tmp_path / "p.pdf")
    with pytest.raises(HarnessError, match="no cell"):
        report.picture(small(tmp_path / "empty", []), tmp_path / "p.svg")


def test_the_command(tmp_path, capsys):
    folder = journals.write(tmp_path / "run", models=("mlp",), rounds=5)
    report_command(folder, None, None)
    names = ("report.html", "report.md", "ease.html")
    assert capsys.readouterr().out.split() == [str(folder / name) for name in names]
    assert (folder / "cells.parquet").exists()
    with pytest.raises(HarnessError, match="Did you mean 'run'"):
        report_command(tmp_path / "runs", None, None)


def test_one_colour_per_adapter():
    fixed = [colours.colour(name) for name in ("torch", "tensorflow", "mxnet", "caffe2", "onnxruntime", "null")]
    assert len(set(fixed)) == 6
    assert colours.colour("new", ["new", "torch"]) == colours.colour("new", ["torch"])
    assert colours.colour("a", ["a", "b"]) != colours.colour("b", ["a", "b"])


def test_numbers_for_people():
    assert [humanise.duration(ns) for ns in (0.5, 999.6, 12.34e6, 1e9, None, float("nan"))] == [
        "0.500 ns", "1.00 µs", "12.3 ms", "1.00 s", humanise.NOTHING, humanise.NOTHING,
    ]  # fmt: skip
    assert [humanise.size(b) for b in (0, 999, 17_179_869_184)] == ["0 B", "999 B", "17.2 GB"]
    assert humanise.interval(999e3, 1.2e6) == f"0.999 {humanise.NOTHING} 1.20 ms"
    assert [humanise.ratio(r)[:-1] for r in (0.0123, 1.049, 99.9, 123.4)] == ["0.012", "1.05", "99.90", "123"]
    assert [humanise.count(n) for n in (12, 61706, 25_557_032, 1e13)] == ["12", "61.7 k", "25.6 M", "10.0 T"]
    assert humanise.spread(100.0, 99.9, 100.1) == "±0.1%" and humanise.spread(100.0, 90.0, 114.0) == "±12%"
    assert humanise.plain({"a": [1, 2]}) == "a=1, 2"


def test_every_chart_is_valid_by_the_schema_of_vega_lite(run, measured):
    """Reports do not check it: it takes most of their time."""
    seen = view(run)
    drawn = [charts.ratio_chart(seen.tasks, seen, charts.ratio_domain(seen.tasks), title="all")]
    drawn += [charts.cold_chart(task) for task in seen.tasks if task.scenario == "coldstart"]
    drawn += [charts.loss_chart(task, seen) for task in seen.tasks if task.scenario == "train"]
    drawn += [charts.picture(seen.tasks, seen)]
    assert len(drawn) > 5 and None not in drawn
    also = view(measured)
    drawn += [sweeps.chart(sweep, also) for sweep in sweeps.find(also)]
    drawn += [limits.chart(tasks, also, share) for tasks in limits.shown(also).values() for share in limits.SHARES]
    assert None not in drawn
    for chart in drawn:
        charts._styled(chart).to_dict(validate=True)


def test_why_the_data_cannot_tell(measured, measured_text):
    section_text = section(measured_text, "scope-device")
    assert re.search(
        r"cannot tell</span> <span class=\"quiet small\">\(differences below [\d.]+ % could not be seen\)", section_text
    )
    assert "contended</span>" in section_text
    seen = view(measured)
    whys = {one.why for one in verdicts.undecided(seen.tasks)}
    assert "contended: most samples waited for a CPU" in whys and any("could not be seen" in why for why in whys)
    assert "What could not be told" in markdown.markdown(measured)
    assert "Cannot tell: " in printed(measured) and "contended" in printed(measured)


def test_a_verdict_names_the_baseline_that_was_contended(tmp_path):
    run = small(tmp_path, [{"adapter": "torch"}, {"adapter": "mxnet"}])
    task = view(run).tasks[0]
    assert verdicts.why(task.cells["mxnet"], task) == "differences below 0 % could not be seen"
    task.cells["torch"]["contended"] = True
    assert verdicts.why(task.cells["mxnet"], task) == "the baseline was contended"
    task.cells["torch"]["contended"], task.cells["mxnet"]["detectable"] = False, None
    assert verdicts.why(task.cells["mxnet"], task) == "too few rounds"
    assert verdicts.why(task.cells["torch"], task) == ""


def test_how_many_samples_waited(run, measured):
    assert re.fullmatch(
        r"\d+ of [\d,]+ timed samples \([\d.]+ %\) waited for a CPU that others had; \d+ of them were left out of the "
        r"figures(; \d+ are of contended cells, which use all that they have)?\.",
        verdicts.waiting(run),
    )
    assert "60 of 1,320 timed samples" in verdicts.waiting(measured)
    assert "0 of them were left out of the figures; 60 are of contended cells" in verdicts.waiting(measured)


def test_how_long_it_took_to_settle(measured, measured_text):
    lines = {task.name: cells for task, cells in settling.lines(measured, view(measured))}
    cell = lines["net · infer · batch 1 · 2 threads"]["torch"]
    assert cell.settled == "12.3 ms" and cell.slow
    assert re.fullmatch(r"load 45.6 ms, first step .* \(\d+. a settled one\)", cell.costs)
    text = section(measured_text, "settling")
    assert "did not settle within the time" in text and "torch native" in text and "roof" not in text


def test_the_machine_s_limits(measured, measured_text):
    text = section(measured_text, "limits")
    assert "compute peak: <strong>" in text and "GFLOP/s" in text and "GB/s" in text and "More than the" not in text
    assert text.count("<svg") == 2
    assert "gemm" not in section(measured_text, "scope-device")
    assert "compute peak: " in printed(measured)
    row = view(measured).tasks[-1].cells["torch"]
    assert 0.4 < row["compute_share"] < 0.6


def test_more_than_the_machine_can_do_is_flagged(tmp_path):
    facts = {"step_flops": 100, "traffic_bytes": 100, "precision": "fp32"}
    rows = [{"adapter": "torch", "scenario": "roof", "model": "gemm", **facts}]
    rows += [{"adapter": "torch", **facts, "step_flops": 200, "comparison": "d"}]
    run = small(tmp_path, rows)
    assert limits.impossible(view(run)) == ["torch, m · infer · batch 1 (device): 200 % of the compute peak"]
    assert "More than the machine can do" in page.html(run) and "impossible" in page.html(run)
    assert "More than the machine can do" in markdown.markdown(run)
    assert "more than the machine can do" in printed(run)


def test_contradictions_are_sentences_and_nothing_is_averaged(measured, measured_text):
    text = section(measured_text, "memory")
    assert "cannot both be true" in text and "caffe2: The allocator says 1 MB, the floor 4 MB." in text
    assert "What every source says" in text and "resident peak" in text
    assert "The allocator says 1 MB" in markdown.markdown(measured)
    assert "The allocator says 1 MB" in " ".join(printed(measured).split())


def test_energy_is_absent_with_its_reason_or_a_table(measured_text, tmp_path):
    assert "no counter of energy could be read (rapl: the system shows no RAPL counters)" in measured_text
    text = page.html(small(tmp_path, [{"adapter": "torch", "joules_per_step": 0.0123}]))
    assert "12.3 mJ" in text and "no counter" not in text


def test_what_ran(measured, measured_text):
    lines = {(line.contestant, line.mode): line for line in ran.lines(measured, view(measured))}
    assert lines["caffe2", "best"].more_pools and not lines["caffe2", "best"].more
    torch = lines["torch", "best"]
    assert not (torch.more or torch.more_pools) and torch.asked == f"1 {humanise.NOTHING} 2"
    assert (torch.graph, torch.layout, torch.denormals, torch.tf32) == ("eager", "NCHW", "yes", "no")
    assert torch.libraries == "OpenBLAS, GNU OpenMP" and "operators: 12" in torch.details["network"]
    assert ("torch native", "native") in lines
    text = section(measured_text, "ran")
    assert "Not alike in all: whether denormals are flushed." in text and "OMP_NUM_THREADS=2" in text


def test_hand_written_networks_have_a_section_of_their_own(measured, measured_text):
    seen = view(measured)
    assert seen.contestants == ["torch", "mxnet", "caffe2"] and len(seen.native) == 2
    text = section(measured_text, "native")
    assert text.count("native train") == 2 and "adapter / by hand" in text
    for other in ("status", "scope-device", "sweeps"):
        assert "native" not in section(measured_text, other).split("In numbers")[0]
    assert "Against hand-written code" in markdown.markdown(measured)
    assert "Against hand-written code" in printed(measured)


def test_a_hand_written_network_that_is_wrong_is_told(tmp_path):
    facts = {"scenario": "native", "purpose": "train"}
    bad = {"mode": "native", "status": "wrong", "reason": "off by 2"}
    run = small(tmp_path, [{"adapter": "torch", **facts}, {"adapter": "torch", **facts, **bad}])
    text = page.html(run)
    assert "torch native" in section(text, "status") and "off by 2" in section(text, "status")
    assert "no ratio" in section(text, "native")
    assert "off by 2" in markdown.markdown(run) and "off by 2" in printed(run)


def test_sweeps(measured, measured_text):
    found = {(sweep.along, sweep.title): sweep for sweep in sweeps.find(view(measured))}
    assert set(found) == {("batch", "net · infer · 2 threads"), ("threads", "net · infer · batch 1")}
    assert found["batch", "net · infer · 2 threads"].values == [1, 2, 4]
    assert len(found["batch", "net · infer · 2 threads"].rows) == 9
    assert section(measured_text, "sweeps").count("<svg") == 2


def test_new_sections_are_absent_where_nothing_was_measured(text):
    for name in ("native", "limits", "settling", "ran"):
        assert f'<h2 id="{name}"' not in text and f'href="#{name}"' not in text


def test_the_new_page_is_well_formed_and_the_summary_fits(measured, measured_text):
    outline = Outline()
    outline.feed(measured_text)
    assert outline.open == [] and outline.fetched == [] and len(outline.ids) == len(set(outline.ids))
    assert max(map(len, printed(measured).splitlines())) <= 120
    for table in re.findall(r"(?:^\|.*\n)+", markdown.markdown(measured), re.M):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1
