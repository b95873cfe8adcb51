"""Settings as a user of pytest meets them: flags, variables, ini keys, refusals; pytest-kind's plugin beside ours."""

from __future__ import annotations

import pytest

# A plugin that only resolves the settings and shows them: what it is loaded with, and when, is up to each test.
SHOWS = """
    from __future__ import annotations

    import pytest

    from harness.errors import SettingsError
    from harness.settings import options
    from harness.settings.resolve import Sources, header_lines, resolve

    def pytest_addoption(parser, pluginmanager):
        options.add_to_pytest(parser, pluginmanager)

    def pytest_load_initial_conftests(early_config):
        options.take_out_foreign_defaults(early_config.option)

    def pytest_configure(config):
        try:
            config.settings = resolve(Sources.from_pytest(config), kubernetes_versions=["1.34"])
        except SettingsError as error:
            raise pytest.UsageError(str(error)) from None

    def pytest_report_header(config):
        cluster = config.settings.cluster
        return [
            *header_lines(config.settings),
            f"name={cluster.name} keep={cluster.keep} image={cluster.node_image} given={config.settings.supply.given}",
        ]
"""

# Loads pytest-kind as pytest does for installed plugins.
LOADS = """
    def pytest_addoption(parser, pluginmanager):
        pluginmanager.load_setuptools_entrypoints("pytest11", name="pytest-kind")
"""

# The order in which the two plugins are loaded is the order of directory entries: users get either.
ORDERS = {
    "pytest-kind first": ("-p", "loads", "-p", "shows"),
    "pytest-kind asked for": ("-p", "pytest_kind.plugin", "-p", "shows"),
    "ours first": ("-p", "shows", "-p", "loads"),
    "without pytest-kind": ("-p", "no:pytest-kind", "-p", "shows"),
}


@pytest.fixture(autouse=True)
def surroundings(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that passes, a plugin that shows the settings, and no variable that means something to it."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    for name in ("DOCKER_HOST", "XDG_CACHE_HOME", "PYTEST_ADDOPTS", "KUBECONFIG"):
        monkeypatch.delenv(name, raising=False)
    pytester.syspathinsert()
    pytester.makepyfile(shows=SHOWS, loads=LOADS)
    pytester.makepyfile("def test_nothing(): pass")


@pytest.fixture(params=list(ORDERS.values()), ids=list(ORDERS))
def order(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """The arguments that load the plugins in some order."""
    arguments: tuple[str, ...] = request.param
    return arguments


def test_nothing_given(pytester: pytest.Pytester, order: tuple[str, ...]) -> None:
    """pytest-kind's default name is nobody's choice, whichever plugin was loaded first."""
    result = pytester.runpytest(*order)
    result.stdout.fnmatch_lines(["name=None keep=False image=None given={}"])
    assert result.ret == 0


def test_options_of_pytest_kind(pytester: pytest.Pytester, order: tuple[str, ...]) -> None:
    """Its flags work, and are shown with their origin."""
    kind = pytester.path / "kind"
    kind.write_text("")
    kind.chmod(0o755)
    result = pytester.runpytest(
        *order, "--cluster-name", "mine", "--keep-cluster", "--kind-image=a/b:c", "--kind-bin", "kind"
    )
    result.stdout.fnmatch_lines(
        [
            f"seatrial: kind-bin={kind} (command line)",
            "seatrial: cluster-name=mine (command line)",
            "seatrial: keep-cluster=yes (command line)",
            f"name=mine keep=True image=a/b:c given={{'kind': '{kind}'}}",
        ]
    )


def test_default_of_pytest_kind_given_on_purpose(pytester: pytest.Pytester, order: tuple[str, ...]) -> None:
    """The very name that pytest-kind defaults to is honoured when somebody writes it."""
    result = pytester.runpytest(*order, "--cluster-name=pytest-kind")
    result.stdout.fnmatch_lines(["name=pytest-kind *"])


def test_options_from_addopts(pytester: pytest.Pytester, order: tuple[str, ...]) -> None:
    """What stands in addopts was given, too."""
    pytester.makeini("[pytest]\naddopts = --cluster-name=pytest-kind")
    pytester.runpytest(*order).stdout.fnmatch_lines(["name=pytest-kind *"])


# What pytest-xdist does: the controller's values travel as a mapping, the worker's own command line names only files.
WORKER = """
    import pytest

    controller = pytest.Config.fromdictargs({}, ["--cluster-name=pytest-kind", "--offline"])
    worker = pytest.Config.fromdictargs(dict(vars(controller.option)), [])
    print(worker.option.cluster_name, worker.option.seatrial_offline, worker.option.keep_cluster)
"""


@pytest.mark.parametrize("plugins", ["loads,shows", "shows,loads"], ids=["pytest-kind first", "ours first"])
def test_worker_receives_what_the_controller_was_given(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, plugins: str
) -> None:
    """A parallel worker gets values instead of a command line, and keeps them."""
    monkeypatch.setenv("PYTEST_PLUGINS", plugins)
    monkeypatch.setenv("PYTHONPATH", str(pytester.path))
    result = pytester.runpython(pytester.makepyfile(script=WORKER))
    result.stdout.fnmatch_lines(["pytest-kind True None"])


def test_fixture_of_pytest_kind_is_not_offered(pytester: pytest.Pytester) -> None:
    """Loaded after ours, its plugin is kept out, so that its fixture cannot take the place of ours."""
    result = pytester.runpytest("-p", "shows", "-p", "loads", "--fixtures")
    assert "kind_cluster" not in result.stdout.str()


INI_FILES = {
    "pytest.ini": "[pytest]\nseatrial_keep_cluster = true\nseatrial_evidence_dir = out\n",
    "pyproject.toml": '[tool.pytest.ini_options]\nseatrial_keep_cluster = true\nseatrial_evidence_dir = "out"\n',
}


@pytest.mark.parametrize(("name", "text"), INI_FILES.items(), ids=INI_FILES.keys())
def test_ini_file(pytester: pytest.Pytester, name: str, text: str) -> None:
    """Both forms of pytest's ini file are read, with paths that start from it."""
    (pytester.path / name).write_text(text)
    below = pytester.mkdir("below")
    (below / "test_below.py").write_text("def test_nothing(): pass")
    result = pytester.runpytest("-p", "shows", str(below))
    result.stdout.fnmatch_lines(
        [
            "seatrial: keep-cluster=yes (ini seatrial_keep_cluster)",
            f"seatrial: evidence-dir={pytester.path / 'out'} (ini seatrial_evidence_dir)",
        ]
    )


def test_order_of_sources(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Command line, then environment, then ini file, pytest's own override of ini keys included."""
    pytester.makeini("[pytest]\nseatrial_rollout_timeout = 3s")
    pytester.runpytest("-p", "shows").stdout.fnmatch_lines(["*rollout-timeout=3s (ini *"])
    pytester.runpytest("-p", "shows", "-o", "seatrial_rollout_timeout=4s").stdout.fnmatch_lines(["*=4s (ini *"])
    monkeypatch.setenv("SEATRIAL_ROLLOUT_TIMEOUT", "2s")
    pytester.runpytest("-p", "shows").stdout.fnmatch_lines(["*=2s (environment SEATRIAL_ROLLOUT_TIMEOUT)"])
    result = pytester.runpytest("-p", "shows", "--rollout-timeout=1s")
    result.stdout.fnmatch_lines(["*=1s (command line)"])


def test_all_problems_are_one_usage_error(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that is wrong, wherever it was written, is told at once, and no test is run."""
    monkeypatch.setenv("SEATRIAL_KUBERNETES", "1.99")
    pytester.makeini("[pytest]\nseatrial_offline = perhaps")
    result = pytester.runpytest("-p", "shows", "--rollout-timeout=soon")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        [
            "ERROR: ini seatrial_offline: invalid truth value*",
            "SEATRIAL_KUBERNETES=1.99: unknown Kubernetes version; known: 1.34",
            "--rollout-timeout 'soon': not a length of time*",
        ]
    )
    assert "passed" not in result.stdout.str()


def test_option_nobody_declared(pytester: pytest.Pytester) -> None:
    """A mistyped flag is pytest's to refuse."""
    assert pytester.runpytest("-p", "shows", "--keep-clusters").ret == pytest.ExitCode.USAGE_ERROR


def test_help_names_every_option(pytester: pytest.Pytester, order: tuple[str, ...]) -> None:
    """`pytest --help` has each flag exactly once, and the ini keys."""
    from harness.settings.options import OPTIONS

    text = pytester.runpytest(*order, "--help").stdout.str()
    for option in OPTIONS:
        lines = [line for line in text.splitlines() if line.split("=")[0].split()[:1] == [option.flag]]
        assert len(lines) == 1, option.flag
        assert option.ini_key in text
