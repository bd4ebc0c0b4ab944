"""The helm binary and its runs: their environment, time limits and concurrency."""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from kubocd_gen.budget.limits import LIMITS, moved
from kubocd_gen.budget.spending import Budget, BudgetExceededError
from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.helm import process
from kubocd_gen.helm.engine import Helm
from kubocd_gen.helm.process import HelmPool, Run, find_helm, helm_version, old_helm, run_helm
from kubocd_gen.helm.template import Functions, Template, TemplateFailure, Unit
from tests.support.templates import LOOP


def test_the_helm_next_to_the_python_executable_precedes_the_path(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for directory in ("venv", "elsewhere"):
        binary = tmp_path / directory / "helm"
        binary.parent.mkdir()
        binary.write_text("#!/bin/sh\n")
        binary.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "venv" / "python"))
    monkeypatch.setenv("PATH", str(tmp_path / "elsewhere"))
    assert find_helm() == tmp_path / "venv" / "helm"
    assert find_helm(str(tmp_path / "elsewhere" / "helm")) == tmp_path / "elsewhere" / "helm"


def test_a_relative_path_is_a_file_and_not_looked_up_on_the_path(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for directory in ("here", "here/sub", "elsewhere"):
        binary = tmp_path / directory / "helm"
        binary.parent.mkdir(exist_ok=True)
        binary.write_text("#!/bin/sh\n")
        binary.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("HOME", str(tmp_path / "here"))
    monkeypatch.chdir(tmp_path / "here")
    assert find_helm("./helm") == tmp_path / "here" / "helm"
    assert find_helm("sub/helm") == tmp_path / "here" / "sub" / "helm"
    assert find_helm("~/helm") == tmp_path / "here" / "helm"
    assert find_helm("helm") == tmp_path / "elsewhere" / "helm"
    (tmp_path / "here" / "helm").unlink()
    with pytest.raises(ProblemsError, match=r"'\./helm' is not an executable helm binary"):
        find_helm("./helm")


def test_a_missing_helm_is_an_error_that_links_to_the_installation() -> None:
    with pytest.raises(ProblemsError, match="'/nowhere/helm' is not an executable helm binary") as caught:
        find_helm("/nowhere/helm")
    assert caught.value.problem.code == "helm-missing"
    assert "https://helm.sh" in (caught.value.problem.hint or "")


def test_a_file_that_is_not_executable_and_a_directory_have_their_own_hints(tmp_path: Path) -> None:
    (tmp_path / "my helm").write_text("#!/bin/sh\n")
    with pytest.raises(ProblemsError) as caught:
        find_helm(str(tmp_path / "my helm"))
    assert caught.value.problem.code == "helm-missing"
    assert f"chmod +x '{tmp_path}/my helm'" in str(caught.value.problem.hint)
    with pytest.raises(ProblemsError, match="is a directory") as caught:
        find_helm(str(tmp_path))
    assert caught.value.problem.code == "helm-missing"


def foreign(helm: Path) -> Path:
    """Write the start of an ELF file for a processor that no machine with these tests has."""
    header = bytearray(find_helm().read_bytes()[:4096])
    header[18:20] = (0x8217).to_bytes(2, sys.byteorder)  # e_machine: one that no kernel runs
    helm.write_bytes(header)
    return helm


def script(helm: Path, text: str) -> Path:
    helm.write_text(text)
    return helm


@pytest.mark.parametrize(
    ("make", "hint"),
    [
        (foreign, "use the helm binary for "),
        (lambda helm: script(helm, "helm-4 $@\n"), "a line such as #!/bin/sh"),
        (lambda helm: script(helm, "#!/nowhere/sh\n"), "check the interpreter in the first line"),
    ],
    ids=["another processor", "a script without a first line", "a script without its interpreter"],
)
def test_a_file_that_the_system_cannot_run_has_a_hint_why(
    make: Callable[[Path], Path], hint: str, tmp_path: Path
) -> None:
    helm = make(tmp_path / "helm")
    helm.chmod(0o755)
    with pytest.raises(ProblemsError) as caught:
        helm_version(helm)
    assert caught.value.problem.code == "helm-missing"
    assert hint in str(caught.value.problem.hint)
    with pytest.raises(ProblemsError) as caught:
        Helm(helm).render([Unit({}, {}, (Template("", "{{ 1 }}"),))], Functions())
    assert caught.value.problem.code == "helm-failed"
    assert hint in str(caught.value.problem.hint)


def test_a_helm_that_vanishes_has_the_general_hint(tmp_path: Path) -> None:
    with pytest.raises(ProblemsError) as caught:
        run_helm(tmp_path / "helm", [], tmp_path, 1.0)
    assert (caught.value.problem.code, caught.value.problem.hint) == ("helm-failed", process.HELM_HINT)


@pytest.mark.parametrize("version", ["3.14.0", "3.17.3", "3.22.0", "4.0.0-rc.1", "10.1.0", "unknown"])
def test_a_supported_version_is_no_problem(version: str) -> None:
    assert old_helm(version) is None


@pytest.mark.parametrize("version", ["2.17.0", "3.9.4", "3.13.3"])
def test_an_old_version_is_a_problem(version: str) -> None:
    problem = old_helm(version)
    assert problem is not None
    assert problem.code == "old-helm"


def test_the_version_of_helm_is_the_error_if_an_old_helm_fails_without_naming_a_template(tmp_path: Path) -> None:
    # What helm 3.9 does with kcd-gen's charts: it renders the test chart, but parses no `break`.
    helm = script(
        tmp_path / "helm",
        f"""#!/bin/sh
        case "$1" in version) echo v3.9.4; exit;; esac
        if grep -rq break "$3/templates"; then echo 'W1130 loader.go:221] Config not found' >&2; exit 1; fi
        exec '{find_helm()}' "$@"
        """,
    )
    helm.chmod(0o755)
    with pytest.raises(ProblemsError) as caught:
        Helm(helm).render([Unit({}, {}, (Template("", "{{ 1 }}"),))], Functions())
    assert caught.value.problem.code == "old-helm"


def test_a_crash_of_the_runtime_for_lack_of_memory_is_recognized() -> None:
    messages = "SIGSEGV: segmentation violation\nPC=0x439a3c m=3 sigcode=1 addr=0x0\n"
    assert Run(2, b"", messages, None).out_of_memory
    assert not Run(2, b"", "panic: runtime error: invalid memory address\n[signal SIGSEGV: …]", None).out_of_memory


def test_the_version_has_no_v_prefix() -> None:
    assert re.fullmatch(r"\d+\.\d+.*", helm_version(find_helm()))


def test_the_version_of_a_binary_that_is_not_helm_is_an_error() -> None:
    with pytest.raises(ProblemsError) as caught:
        helm_version(Path("/bin/false"))
    assert caught.value.problem.message == "'/bin/false' did not report its version: exit code 1"


def test_the_version_of_a_binary_that_cannot_run_is_an_error(tmp_path: Path) -> None:
    binary = tmp_path / "helm"
    binary.write_bytes(b"\x00\x01")
    binary.chmod(0o755)
    with pytest.raises(ProblemsError) as caught:
        helm_version(binary)
    assert caught.value.problem.code == "helm-missing"
    assert "Exec format error" in caught.value.problem.message


def test_the_version_does_not_depend_on_the_configuration_of_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.json").write_text('{"auths":')
    (tmp_path / "registry.json").write_text("{")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("HELM_REGISTRY_CONFIG", str(tmp_path / "registry.json"))
    monkeypatch.setenv("HOME", "/nowhere")
    assert re.fullmatch(r"\d+\.\d+.*", helm_version(find_helm()))


@pytest.mark.parametrize(
    ("printed", "version"),
    [
        ("v3.17.3", "3.17.3"),
        ("updating the wrapper to 9 …\nv3.17.3\n", "3.17.3"),
        ("3.18.0-rc.1\nWARNING: a newer version is available\n", "3.18.0-rc.1"),
    ],
)
def test_a_notice_of_a_wrapper_is_not_the_version(printed: str, version: str, tmp_path: Path) -> None:
    helm = tmp_path / "helm"
    helm.write_text(f"#!/bin/sh\nprintf '{printed}'\n")
    helm.chmod(0o755)
    assert helm_version(helm) == version


def test_output_without_a_version_is_an_error(tmp_path: Path) -> None:
    helm = tmp_path / "helm"
    helm.write_text("#!/bin/sh\necho hello\n")
    helm.chmod(0o755)
    with pytest.raises(ProblemsError, match="printed no version"):
        helm_version(helm)


def test_helm_has_a_cpu_limit_of_the_system(tmp_path: Path) -> None:
    helm = tmp_path / "helm"
    helm.write_text("#!/bin/sh\nwhile [ $(ulimit -t) = unlimited ]; do :; done\nulimit -t\n")
    helm.chmod(0o755)
    assert int(run_helm(helm, [], tmp_path, 5.0).stdout) == 15


class Runs:
    """A replacement for helm that records concurrent runs and their memory limits."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.now: list[int] = []
        self.most = self.most_memory = 0

    def __call__(self, binary: Path, arguments: Sequence[str], home: Path, timeout: float, **given: Any) -> Run:
        with self.lock:
            self.now.append(given["memory"])
            self.most, self.most_memory = max(self.most, len(self.now)), max(self.most_memory, sum(self.now))
        time.sleep(0.005)
        with self.lock:
            self.now.remove(given["memory"])
        return Run(0, b"", "", None)


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Runs:
    found = Runs()
    monkeypatch.setattr(process, "run_helm", found)
    return found


def in_threads(helm: HelmPool, **how: Any) -> None:
    with ThreadPoolExecutor(12) as threads:
        list(threads.map(lambda _: helm.run([], Path(), 1, **how), range(24)))


def test_a_shared_pool_limits_the_number_of_processes(runs: Runs, tmp_path: Path) -> None:
    in_threads(HelmPool(tmp_path, jobs=2))
    assert runs.most <= 2


@pytest.mark.parametrize("size", [0, 1 << 20, 100 << 20])
def test_concurrent_runs_fit_into_memory(runs: Runs, tmp_path: Path, size: int) -> None:
    helm = HelmPool(tmp_path, jobs=12)
    in_threads(helm, size=size)
    assert 0 < runs.most_memory <= helm.memory < LIMITS.memory


def test_a_run_with_the_whole_memory_runs_alone(runs: Runs, tmp_path: Path) -> None:
    in_threads(HelmPool(tmp_path, jobs=12), whole=True)
    assert runs.most == 1


def test_no_process_is_started_once_the_budget_is_used_up(runs: Runs, tmp_path: Path) -> None:
    budget = Budget()
    budget.exhaust("memory")
    with pytest.raises(BudgetExceededError):
        HelmPool(tmp_path, budget=budget).run([], tmp_path, 1)
    assert runs.most == 0


def test_all_runs_share_one_time_budget() -> None:
    budget = Budget(moved(LIMITS, {"helm-time": 1}))
    texts = [f"{LOOP}{number}" for number in range(30)]
    units = [Unit({}, {}, (Template("", text),)) for text in texts]
    outcomes = [outcome for (outcome,) in Helm(find_helm(), budget=budget).render(units, Functions())]
    errors = [outcome for outcome in outcomes if isinstance(outcome, TemplateFailure)]
    assert len(errors) == 30
    assert {error.code for error in errors} == {"run-limit"}
    assert {error.hint for error in errors} == {"if you trust the input, raise the limit: --limit helm-time=2"}


def test_all_rendered_output_counts_toward_one_budget() -> None:
    budget = Budget(moved(LIMITS, {"rendered": 1000}))
    units = [Unit({}, {}, (Template("", f"{{{{ repeat 90 `x` }}}}{number}"),)) for number in range(20)]
    outcomes = [outcome for (outcome,) in Helm(find_helm(), budget=budget).render(units, Functions())]
    assert {outcome.code for outcome in outcomes if isinstance(outcome, TemplateFailure)} == {"run-limit"}
