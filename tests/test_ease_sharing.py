"""Which frameworks can share an environment: asked of a real uv that finds tiny wheels, and read from its answers."""

import pytest
from packaging.specifiers import SpecifierSet
from wheels import build_wheel, only_wheels, write_adapter

from harness.ease import index, sharing
from harness.ease.sharing import conflict, disjoint, of_pairs
from harness.environments import uv

TABLE = """
[environments.cpu]
device = "cpu"
python = [{pythons}]
install = [{install}]
locks = ["cpu.lock"]
{more}
"""


def table(install, pythons=("3.12", "3.11"), more=""):
    quoted = (", ".join(f'"{value}"' for value in values) for values in (pythons, install))
    return TABLE.format(pythons=next(quoted), install=next(quoted), more=more)


@pytest.fixture
def write(tmp_path, home, monkeypatch):
    """Writes an adapter whose framework is called as it, and builds what it may ask for."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    build_wheel(folder, "old-net", "1.0", "Requires-Dist: numpy\n")
    build_wheel(folder, "old-net", "2.0", "Requires-Dist: numpy\n")
    build_wheel(folder, "new-net", "1.0", "Requires-Dist: numpy>=2\n")
    build_wheel(folder, "free-net", "1.0")
    for version in ("1.2", "2.1", "2.2"):
        build_wheel(folder, "numpy", version)
    only_wheels(monkeypatch, folder)

    def write(name, *arguments, package=None, scenarios='["infer"]', **keywords):
        return write_adapter(tmp_path / name, package or f'"{name}"', table(*arguments, **keywords), scenarios)

    return write


def answers(adapters):
    return {(row["adapter"], row["task"]): (row["value"], row["source"]) for row in of_pairs(adapters)}


def test_what_fits_together_shares_the_newest_python_in_both_directions(write):
    found = answers([write("old-net", ["old-net==1.0"], ("3.11", "3.12")), write("free-net", ["free-net==1.0"])])
    assert found == dict.fromkeys([("old-net", "free-net"), ("free-net", "old-net")], (1, "Python 3.12"))


def test_a_need_that_no_package_declares_decides(write):
    old = write("old-net", ["old-net==1.0", "numpy==1.2"], more='needs = ["numpy<2"]')
    found = answers([old, write("new-net", ["new-net==1.0"])])
    assert set(found) == {("old-net", "new-net"), ("new-net", "old-net")}
    for value, source in found.values():
        assert value == 0 and set(source.split(", ")) == {"new-net needs numpy>=2", "old-net==1.0 needs numpy<2"}


def test_an_exact_pin_of_another_package_is_only_a_choice(write):
    old = write("old-net", ["old-net==1.0", "numpy==1.2"])
    new = write("new-net", ["new-net==1.0", "numpy==2.1"])
    assert answers([old, new])["old-net", "new-net"] == (1, "Python 3.12")


def test_two_releases_of_one_package_conflict(write):
    one = write("old-net", ["old-net==1.0"])
    other = write("heir", ["old-net==2.0"], package='"old-net"')
    assert answers([one, other])["heir", "old-net"] == (0, "old-net==1.0 and old-net==2.0 conflict")


def test_no_common_python_is_a_reason(write):
    found = answers(
        [write("old-net", ["old-net==1.0"], ("3.9", "3.8")), write("free-net", ["free-net==1.0"], ("3.12",))]
    )
    assert found["old-net", "free-net"] == (
        0,
        "no common Python: old-net==1.0 on 3.8 to 3.9, free-net==1.0 on 3.12",
    )


def test_a_package_that_is_not_offered_is_a_reason(write):
    found = answers([write("lost-net", ["lost-net==1.0"]), write("free-net", ["free-net==1.0"])])
    assert found["free-net", "lost-net"] == (0, "lost-net is not offered here")


def test_two_environments_of_one_adapter_cannot_be_one_where_they_hold_one_module(write):
    training = '[environments.cpu-train]\ndevice = "cpu"\npython = ["3.11"]\ninstall = ["free-net-training==1.0"]\n'
    training += 'locks = ["cpu.lock"]\nscenarios = ["train"]'
    adapter = write(
        "free-net",
        ["free-net==1.0"],
        more=f'scenarios = ["infer"]\n{training}',
        package='["free-net", "free-net-training"]',
        scenarios='["infer", "train"]',
    )
    told = "free-net and free-net-training both install the module free_net"
    assert answers([adapter]) == {("free-net", "free-net"): (0, told)}


def test_without_a_network_there_is_no_value(write, monkeypatch):
    adapters = [write("old-net", ["old-net==1.0"]), write("free-net", ["free-net==1.0"])]
    monkeypatch.delenv("UV_DEFAULT_INDEX")
    monkeypatch.setenv("UV_FIND_LINKS", "")
    monkeypatch.setenv("UV_OFFLINE", "1")
    for value, source in answers(adapters).values():
        assert value is None and source.startswith("no network: ")


def test_an_adapter_without_an_environment_for_the_device_is_left_out(write):
    assert list(of_pairs([write("old-net", ["old-net==1.0"]), write("free-net", ["free-net==1.0"])], "cuda")) == []


@pytest.mark.parametrize(
    ("output", "says"),
    [
        (
            "cause: Because a-cpu==2.21.0 depends on numpy>=1.26.0 and you require numpy<1.24, we can conclude that\n"
            "  your requirements and a-cpu==2.21.0 are incompatible.",
            "a-cpu==2.21.0 needs numpy>=1.26.0, mx==1 needs numpy<1.24",
        ),
        (
            "Because b==1.9.1 depends on numpy>=1.26.0,<2.0.0 and you require b==1.9.1, we can conclude that you "
            "require numpy>=1.26.0,<2.0.0.\n And because you require numpy<1.24, we can conclude that your "
            "requirements are unsatisfiable.",
            "b==1.9.1 needs numpy>=1.26.0,<2.0.0, mx==1 needs numpy<1.24",
        ),
        (
            "Because b==1 depends on c[x]{sys_platform == 'linux'}<4 and all versions of d depend on c>=6.1,<8 and you",
            "b==1 needs c<4, d needs c>=6.1,<8",
        ),
        ("Because b==1 depends on numpy>1 and you require numpy<1.24, we can conclude that", ""),
        ("Because b==1 has no wheels with a matching Python ABI tag and you require b==1, we can conclude that", ""),
    ],
)
def test_what_excludes_each_other_is_read_from_the_resolver(output, says):
    assert conflict(output, {"numpy<1.24": "mx==1"}) == says


def test_what_we_have_no_words_for_is_told_in_the_resolvers_own():
    output = "cause: Because all versions of a are\n  strange and you require a, we can conclude that x"
    said = index.Resolution(problem=uv.meaning(output), output=output)
    assert sharing._shortened(said) == "all versions of a are strange and you require a"
    assert (
        sharing._shortened(index.Resolution(problem="a is not offered here", output=output)) == "a is not offered here"
    )


@pytest.mark.parametrize(
    ("one", "other", "apart"),
    [
        ("==1.10.2", "==2.13.0", True),
        ("==2.13.0", "==2.13.0", False),
        ("<1.24", ">=1.26", True),
        (">1.16,<2", "<1.24", False),
        (">1.0", "<1.1", False),
        ("", "<1", False),
        ("==1.*", ">=2", True),
        ("==1.*", "!=1.0", False),
        ("<=1", ">=1", False),
    ],
)
def test_versions_that_exclude_each_other(one, other, apart):
    assert disjoint(SpecifierSet(one), SpecifierSet(other)) is apart
    assert disjoint(SpecifierSet(other), SpecifierSet(one)) is apart
