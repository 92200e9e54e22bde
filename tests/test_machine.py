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
    monkeypatch.setattr(machine.os, "getloadavg", lambda: (0.1, 0.1, 0.1))
    monkeypatch.setattr(psutil, "cpu_count", lambda logical=True: 4)
    monkeypatch.setattr(psutil, "swap_memory", lambda: namedtuple("Swap", "used")(0))
    monkeypatch.setattr(psutil, "sensors_battery", lambda: None, raising=False)
    monkeypatch.setattr(psutil, "cpu_times_percent", lambda interval: namedtuple("Times", "steal")(0.0))


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
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    facts = machine.facts(tmp_path)
    assert (facts["cpu"], facts["governor"], facts["os"]) == ("Imaginary 9", "powersave", "Debian 12")
    assert facts["virtual"] == "virtual machine (QEMU)" and facts["usable_cores"] == 0.5
    assert facts["variables"]["OMP_NUM_THREADS"] == "3"


def test_a_machine_that_says_nothing_is_no_error(tmp_path, quiet):
    facts = machine.facts(tmp_path)
    assert facts["governor"] is None and facts["virtual"] is None and facts["usable_cores"] >= 1
    assert machine.fitness(tmp_path) == []


def test_each_finding(tmp_path, quiet, monkeypatch):
    governor = tmp_path / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"
    governor.parent.mkdir(parents=True)
    governor.write_text("powersave")
    monkeypatch.setattr(machine.os, "getloadavg", lambda: (2.1, 0.0, 0.0))
    monkeypatch.setattr(psutil, "swap_memory", lambda: namedtuple("Swap", "used")(2**45))
    monkeypatch.setattr(psutil, "sensors_battery", lambda: namedtuple("B", "power_plugged")(False), raising=False)
    monkeypatch.setattr(psutil, "cpu_times_percent", lambda interval: namedtuple("Times", "steal")(7.0))
    words = ("load average is 2.1 on 4 cores", "powersave", "swap", "battery", "7 %")
    findings = machine.fitness(tmp_path)
    assert len(findings) == 5 and all(word in text for word, text in zip(words, findings, strict=True))
