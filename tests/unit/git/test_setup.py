"""The environment and configuration of git processes."""

from __future__ import annotations

import ast
import subprocess
from pathlib import Path

import pytest

import kubocd_gen
from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.git.setup import Setup, for_fetch, for_own_store, for_questions, git_binary
from tests.support.registry import program

LOCAL = subprocess.run(
    [program("git", "git"), "rev-parse", "--local-env-vars"], check=True, capture_output=True, text=True
).stdout.split()
HOSTILE = {
    **dict.fromkeys(LOCAL, "1"),
    "GIT_CONFIG_KEY_0": "core.fsmonitor",
    "GIT_CONFIG_VALUE_0": "touch /tmp/x",
    "GIT_EXTERNAL_DIFF": "x",
    "GIT_PAGER": "x",
    "GIT_ATTR_SOURCE": "x",
    "GIT_ASKPASS": "x",
    "GIT_ALLOW_PROTOCOL": "ext",
    "GIT_PROTOCOL_FROM_USER": "1",
    "GIT_TEMPLATE_DIR": "/x",
    "GIT_DISCOVERY_ACROSS_FILESYSTEM": "1",
    "GITHUB_TOKEN": "secret",
    "KCD_OCI_QUAY_IO_SECRET": "secret",
    "LD_PRELOAD": "x",
    "PATH": ".:/usr/bin:sub/bin:",
    "HOME": "/home/a",
    "https_proxy": "http://proxy",
}


def setups(environment: dict[str, str]) -> list[Setup]:
    return [for_questions(environment), for_own_store(environment), for_fetch(("https",), environment)]


@pytest.mark.parametrize("index", [0, 1, 2])
def test_variables_that_relocate_the_repository_or_run_programs_are_dropped(index: int) -> None:
    given = setups(HOSTILE)[index].variables
    assert not set(LOCAL) & set(given) - {"GIT_NO_REPLACE_OBJECTS"}
    assert not {name for name, value in given.items() if value in ("x", "/x", "secret", "ext", "touch /tmp/x")}
    assert given["PATH"] == "/usr/bin"  # no directory in the checkout
    assert (given["GIT_TERMINAL_PROMPT"], given["GIT_NO_LAZY_FETCH"]) == ("0", "1")


def test_queries_fetch_nothing_and_fetches_use_only_their_protocol() -> None:
    questions, own, fetch = setups(HOSTILE)
    assert [one.variables["GIT_ALLOW_PROTOCOL"] for one in (questions, own, fetch)] == ["", "", "https"]
    assert questions.settings["protocol.allow"] == "never"
    assert "https_proxy" in fetch.variables
    assert "https_proxy" not in questions.variables
    for one in (questions, own, fetch):
        wanted = {"safe.bareRepository": "explicit", "core.fsmonitor": "false", "core.hooksPath": "/dev/null"}
        assert wanted.items() <= one.settings.items()
        assert wanted.keys() <= {part.partition("=")[0] for part in one.command("git", ["x"])[2::2]}


def test_only_needed_configuration_passes_from_the_environment() -> None:
    entries = [
        ("safe.directory", "/work"),
        ("core.sshCommand", "ssh -i key"),
        ("URL.https://a/.insteadOf", "https://b/"),
        ("http.extraHeader", "X: y"),
        ("core.worktree", "/elsewhere"),
        ("core.hooksPath", "/hooks"),
        ("protocol.ext.allow", "always"),
        ("alias.rev-parse", "!x"),
    ]
    environment = {"GIT_CONFIG_COUNT": str(len(entries)), "PATH": "/usr/bin"}
    for number, (key, value) in enumerate(entries):
        environment |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}

    def passed(setup: Setup) -> list[str]:
        count = int(setup.variables["GIT_CONFIG_COUNT"])
        return [setup.variables[f"GIT_CONFIG_KEY_{number}"] for number in range(count)]

    assert passed(for_questions(environment)) == ["safe.directory", "URL.https://a/.insteadOf"]
    assert passed(for_fetch((), environment, secrets={"a.b": "c"})) == [one for one, _ in entries[:4]] + ["a.b"]
    assert "GIT_CONFIG_COUNT" not in for_own_store(environment).variables
    for count in ("", "-1", "x", "\u0661", "99999999"):
        assert for_questions({**environment, "GIT_CONFIG_COUNT": count})


def test_a_secret_is_passed_in_the_environment_and_never_shown() -> None:
    setup = for_fetch(("https",), {"PATH": "/usr/bin"}, secrets={"http.https://a/.extraHeader": "s3cret"})
    assert "s3cret" not in " ".join(setup.command("git", ["fetch"])) + repr(setup)
    assert "s3cret" in setup.variables.values()


def test_a_git_binary_in_the_checkout_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "git").write_text("#!/bin/sh\n")
    (tmp_path / "git").chmod(0o755)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ProblemsError) as caught:
        git_binary("a test is run", "install it", {"PATH": f".::{tmp_path.name}"})
    assert caught.value.problem.code == "git-missing"
    assert git_binary("", "", {"PATH": str(tmp_path)}) == str(tmp_path / "git")


def test_git_is_started_only_in_one_module() -> None:
    root = Path(kubocd_gen.__file__).parent
    starters = {"run", "Popen", "running", "check_output", "check_call", "call", "which", "system", "execvp"}
    found = set()
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            first = node.args[0] if node.args else None
            first = first.elts[0] if isinstance(first, ast.List | ast.Tuple) and first.elts else first
            if name in starters and isinstance(first, ast.Constant) and str(first.value).split(" ")[0] == "git":
                found.add(path.relative_to(root).as_posix())
    assert found == {"git/setup.py"}  # the module that finds the binary
