"""The machine: what is said about it, and what speaks against measuring on it."""

import json
import platform
from collections import namedtuple

import psutil
import pytest

from harness.measure import machine


@pytest.fixture
def quiet(monkeypatch):
    """A machine that nothing speaks against."""
    for name in machine.HOLDING_BACK:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda pid: {0, 1, 2, 3}, raising=False)
    monkeypatch.setattr(machine.os, "getloadavg", lambda: (0.1, 0.1, 0.1))
    monkeypatch.setattr(psutil, "cpu_count", lambda logical=True: 4)
    monkeypatch.setattr(psutil, "swap_memory", lambda: namedtuple("Swap", "used")(0))
    monkeypatch.setattr(psutil, "sensors_battery", lambda: None, raising=False)
    monkeypatch.setattr(psutil, "cpu_times_percent", lambda interval: namedtuple("Times", "steal")(0.0))


def plant(root, files):
    """Write files of a kernel: {path below root: content}."""
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)


CPU = "sys/devices/system/cpu"


def test_facts_can_be_journalled_and_do_not_name_the_machine():
    facts = machine.facts()
    text = json.dumps(facts)
    assert facts["logical_cores"] >= 1 and facts["memory_bytes"] > 2**20 and facts["cpu"]
    assert len(platform.node()) < 4 or platform.node() not in text


def test_facts_come_from_the_files_of_the_kernel(tmp_path, monkeypatch):
    files = {
        "proc/cpuinfo": "processor\t: 0\nmodel name\t: Imaginary 9\nflags\t: fpu hypervisor\n",
        "sys/class/dmi/id/sys_vendor": "QEMU\n",
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "powersave\n",
        "sys/fs/cgroup/cpu.max": "50000 100000\n",
        "etc/os-release": 'NAME=Debian\nPRETTY_NAME="Debian 12"\n',
    }
    plant(tmp_path, files)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    facts = machine.facts(tmp_path)
    assert (facts["cpu"], facts["governor"], facts["os"]) == ("Imaginary 9", "powersave", "Debian 12")
    assert facts["virtual"] == "virtual machine (QEMU)" and facts["usable_cores"] == 0.5
    assert facts["variables"]["OMP_NUM_THREADS"] == "3"


def test_facts_tell_how_cores_and_memory_are_laid_out(tmp_path, quiet, monkeypatch):
    plant(
        tmp_path,
        {
            f"{CPU}/cpu0/topology/thread_siblings_list": "0,2\n",
            f"{CPU}/cpu1/topology/thread_siblings_list": "1,3\n",
            f"{CPU}/intel_pstate/no_turbo": "0\n",
            "sys/devices/system/node/node0/cpulist": "0,2\n",
            "sys/devices/system/node/node1/cpulist": "1,3\n",
            "sys/devices/system/node/node2/cpulist": "\n",  # memory without cores
            "sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never\n",
            "sys/class/powercap/intel-rapl:0/name": "package-0\n",
            "sys/class/powercap/intel-rapl:0/energy_uj": "123\n",
            "sys/class/powercap/intel-rapl:0/max_energy_range_uj": "1000000\n",
        },
    )
    monkeypatch.setenv("MKL_ROOT", "/home/somebody/mkl")
    facts = machine.facts(tmp_path)
    assert (facts["smt"], facts["numa_nodes"], facts["turbo"]) == (True, 2, True)
    assert facts["transparent_hugepages"] == "madvise" and facts["energy"]["package-0"] == ""
    assert facts["variables"]["MKL_ROOT"] == "(a path)"


@pytest.mark.parametrize(
    ("files", "state"),
    [
        ({f"{CPU}/intel_pstate/no_turbo": "1"}, False),
        ({f"{CPU}/cpufreq/boost": "1"}, True),
        ({f"{CPU}/cpufreq/policy0/boost": "0", f"{CPU}/cpufreq/policy1/boost": "0"}, False),
        ({}, None),
    ],
)
def test_turbo_is_known_by_several_files(tmp_path, quiet, files, state):
    plant(tmp_path, files)
    assert machine.facts(tmp_path)["turbo"] is state


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"sys/fs/cgroup/cpu.max": "max 100000"}, 4),
        ({"sys/fs/cgroup/cpu.max": "150000 100000"}, 1.5),
        ({"proc/self/cgroup": "0::/a/b", "sys/fs/cgroup/a/cpu.max": "200000 100000"}, 2),
        ({"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "50000", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"}, 0.5),
        ({"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"}, 4),
        (
            {
                "proc/self/cgroup": "4:cpu,cpuacct:/jobs/7\n3:memory:/x",
                "sys/fs/cgroup/cpu,cpuacct/jobs/cpu.cfs_quota_us": "300000",
                "sys/fs/cgroup/cpu,cpuacct/jobs/cpu.cfs_period_us": "100000",
            },
            3,
        ),
    ],
)
def test_the_narrowest_quota_of_all_control_groups_counts(tmp_path, quiet, files, cores):
    plant(tmp_path, files)
    assert machine.usable_cores(tmp_path) == cores
    assert any("quota" in finding for finding in machine.fitness(tmp_path)) == (cores < 4)


def test_a_machine_that_says_nothing_is_no_error(tmp_path, quiet):
    facts = machine.facts(tmp_path)
    assert facts["governor"] is None and facts["virtual"] is None and facts["usable_cores"] >= 1
    assert machine.fitness(tmp_path) == []


def test_each_finding(tmp_path, quiet, monkeypatch):
    plant(
        tmp_path,
        {
            f"{CPU}/cpu0/cpufreq/scaling_governor": "powersave",
            f"{CPU}/cpufreq/boost": "1",
            "sys/fs/cgroup/cpu.max": "350000 100000",
            f"{CPU}/cpu0/topology/thread_siblings_list": "0-1",
            f"{CPU}/cpu2/topology/thread_siblings_list": "2-3",
            "sys/devices/system/node/node0/cpulist": "0-1",
            "sys/devices/system/node/node1/cpulist": "2-3",
        },
    )
    monkeypatch.setattr(machine.os, "getloadavg", lambda: (2.1, 0.0, 0.0))
    monkeypatch.setattr(psutil, "swap_memory", lambda: namedtuple("Swap", "used")(2**45))
    monkeypatch.setattr(psutil, "sensors_battery", lambda: namedtuple("B", "power_plugged")(False), raising=False)
    monkeypatch.setattr(psutil, "cpu_times_percent", lambda interval: namedtuple("Times", "steal")(7.0))
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    words = (
        "load average is 2.1 on 4 cores", "powersave", "Turbo", "swap", "battery", "7 %", "allows 3.5 of 4 CPUs",
        "4 logical cores share 2 physical ones", "2 parts (NUMA nodes)", "OPENBLAS_CORETYPE is set to 'Haswell'",
    )  # fmt: skip
    findings = machine.fitness(tmp_path)
    assert len(findings) == len(words) and all(word in text for word, text in zip(words, findings, strict=True))


def test_cores_and_nodes_that_this_process_cannot_reach_do_not_matter(tmp_path, quiet, monkeypatch):
    plant(
        tmp_path,
        {
            f"{CPU}/cpu0/topology/thread_siblings_list": "0,2",
            f"{CPU}/cpu1/topology/thread_siblings_list": "1,3",
            "sys/devices/system/node/node0/cpulist": "0-1",
            "sys/devices/system/node/node1/cpulist": "2-3",
        },
    )
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda pid: {0, 1})
    assert machine.fitness(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("MKL_ENABLE_INSTRUCTIONS", "SSE4_2", "'SSE4_2': MKL"),
        ("ONEDNN_MAX_CPU_ISA", "AVX2", "'AVX2': oneDNN"),
        ("DNNL_MAX_CPU_ISA", "default", None),
        ("ATEN_CPU_CAPABILITY", "/opt/secret", "'(a path)': PyTorch"),
        ("CUDA_LAUNCH_BLOCKING", "0", None),
        ("CUDA_LAUNCH_BLOCKING", "1", "'1': CUDA"),
    ],
)
def test_variables_that_hold_a_library_back(tmp_path, quiet, monkeypatch, name, value, said):
    monkeypatch.setenv(name, value)
    findings = machine.fitness(tmp_path)
    assert len(findings) == (said is not None)
    assert said is None or (name in findings[0] and said in findings[0])


BEFORE = {
    f"{CPU}/cpu0/thermal_throttle/core_throttle_count": "5",
    f"{CPU}/cpu0/thermal_throttle/package_throttle_count": "7",
    f"{CPU}/cpu1/thermal_throttle/package_throttle_count": "7",
    f"{CPU}/cpu0/cpufreq/scaling_cur_freq": "3000000",
    f"{CPU}/cpu1/cpufreq/scaling_cur_freq": "800000",
    "sys/fs/cgroup/cpu.stat": "usage_usec 9\nnr_throttled 10\nthrottled_usec 2000000\n",
    "proc/stat": "cpu 100 0 100 800 0 0 0 50 30 0\ncpu0 1 2\n",
}


@pytest.mark.parametrize(
    ("after", "said"),
    [
        ({}, None),
        (
            {f"{CPU}/cpu0/thermal_throttle/core_throttle_count": "8"},
            "throttled 3 times during the run because it was too",
        ),
        (
            {
                f"{CPU}/cpu0/thermal_throttle/package_throttle_count": "9",
                f"{CPU}/cpu1/thermal_throttle/package_throttle_count": "9",
            },
            "throttled 2 times",  # the same two events, counted by both cores
        ),
        (
            {"sys/fs/cgroup/cpu.stat": "nr_throttled 14\nthrottled_usec 3500000\n"},
            "throttled 4 times during the run by a control group's quota, for 1.5 s",
        ),
        ({"proc/stat": "cpu 150 0 150 890 0 0 0 60 80 0\n"}, "5 % of the CPU time was stolen"),
        ({"proc/stat": "cpu 150 0 150 1799 0 0 0 51 80 0\n"}, None),
        ({f"{CPU}/cpu0/cpufreq/scaling_cur_freq": "2500000"}, "between 2.50 and 3.00 GHz"),
        ({f"{CPU}/cpu1/cpufreq/scaling_cur_freq": "2900000"}, None),  # an idle core that is idle no more
    ],
)
def test_a_watch_tells_what_befell_the_machine(tmp_path, after, said):
    plant(tmp_path, BEFORE)
    watch = machine.Watch(tmp_path)
    watch.begin()
    plant(tmp_path, after)
    findings = watch.findings()
    assert len(findings) == (said is not None) and (said is None or said in findings[0])


def test_a_watch_sees_a_clock_that_was_slow_only_for_a_while(tmp_path):
    plant(tmp_path, {"proc/cpuinfo": "processor : 0\ncpu MHz\t\t: 2600.5\n"})
    watch = machine.Watch(tmp_path)
    watch.begin()
    plant(tmp_path, {"proc/cpuinfo": "processor : 0\ncpu MHz\t\t: 1300.0\n"})
    watch.look()
    plant(tmp_path, {"proc/cpuinfo": "processor : 0\ncpu MHz\t\t: 2600.5\n"})
    assert "between 1.30 and 2.60 GHz" in watch.findings()[0]


def test_a_watch_knows_both_versions_of_control_groups(tmp_path):
    plant(tmp_path, {"sys/fs/cgroup/cpu/cpu.stat": "nr_periods 4\nnr_throttled 1\nthrottled_time 1000000000\n"})
    watch = machine.Watch(tmp_path)
    watch.begin()
    plant(tmp_path, {"sys/fs/cgroup/cpu/cpu.stat": "nr_periods 9\nnr_throttled 6\nthrottled_time 1250000000\n"})
    assert "throttled 5 times" in watch.findings()[0] and "0.2 s" in watch.findings()[0]


def test_a_watch_of_a_machine_that_says_nothing_says_nothing(tmp_path):
    watch = machine.Watch(tmp_path)
    watch.begin()
    watch.look()
    assert watch.findings() == []
