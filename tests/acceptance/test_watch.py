"""`kcd-gen build --watch` as a process: what it builds and prints, and how it ends."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import gc
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from tests.support.charts import commit_all, git
from tests.support.processes import children, gone
from tests.support.quickstart import QUICKSTART
from tests.support.screen import Screen
from tests.support.sessions import blocks
from tests.support.workspace import WEB_MANIFEST, Workspace, helm_releases

PROGRAM = str(Path(sys.executable).parent / "kcd-gen")
FLAGS = ("--offline", "--source", "sources", "--output", "output", "--vendor", "packages")
LONG = 60.0  # seconds for anything that takes a second
REBUILDS = 100
MIB = 1024 * 1024


def until(condition: Callable[[], object], process: subprocess.Popen[bytes]) -> None:
    """Wait until the condition is met, and fail after a timeout or if the process ends."""
    end = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < end, "the condition was not met in time"
        assert process.poll() is None, "the process has ended"
        time.sleep(0.02)


def clean(directory: Path) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {"PATH": path, "HOME": str(directory), "TERM": "xterm", "LC_ALL": "C.UTF-8"}


@dataclass(frozen=True, slots=True)
class Watching:
    """A running `build --watch` in a directory, with its output in files outside of it."""

    process: subprocess.Popen[bytes]
    out_file: Path
    err_file: Path

    @property
    def out(self) -> str:
        return self.out_file.read_text()

    @property
    def err(self) -> str:
        return self.err_file.read_text()

    @property
    def builds(self) -> int:
        """The number of builds that have ended."""
        return len(re.findall(r"^\d\d:\d\d:\d\d  .* \(\d+\.\d\d s\)$", self.out, re.MULTILINE))

    def until(self, condition: Callable[[], object]) -> None:
        until(condition, self.process)

    def ready(self) -> None:
        """Wait until the first build has ended and the scan after it."""
        self.until(lambda: self.builds == 1)
        time.sleep(0.5)


@contextmanager
def watching(directory: Path, *flags: str, arguments: tuple[str, ...] = FLAGS) -> Iterator[Watching]:
    logs = directory.parent / f"{directory.name}-logs"
    logs.mkdir()
    with (logs / "out").open("wb") as out, (logs / "err").open("wb") as err:
        command = [PROGRAM, "build", "--watch", *arguments, *flags]
        process = subprocess.Popen(command, cwd=directory, env=clean(directory), stdout=out, stderr=err)
    try:
        yield Watching(process, logs / "out", logs / "err")
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "checkout").mkdir()
    made = Workspace(tmp_path / "checkout")
    made.package()
    made.release("web")
    return made


def replicas(workspace: Workspace) -> object:
    found = helm_releases(workspace.output).get("default/web-main", {})
    values = found.get("values")
    return values["replicas"] if isinstance(values, dict) else None


def is_built(workspace: Workspace, number: int) -> bool:
    return replicas(workspace) == number


def has_printed(watch: Watching, text: str, times: int) -> bool:
    return watch.err.count(text) == times


def test_a_saved_file_is_built_and_an_error_is_shown_and_fixed(workspace: Workspace) -> None:
    with watching(workspace.root) as watch:
        watch.ready()
        assert re.search(r"^..:..:..  1 of 1 Release compiled; \d files written \(", watch.out, re.MULTILINE)
        assert "watching for changes (press Ctrl-C to stop)" in watch.out
        workspace.release("web", "parameters: {replicas: 3}\n")
        watch.until(lambda: watch.builds == 2)
        assert replicas(workspace) == 3
        assert watch.out.splitlines()[-2:] == ["default/web", '  Updated HelmRelease "web-main"']
        workspace.release("web", "parameters: {replicaz: 3}\n")
        watch.until(lambda: watch.builds == 3)
        assert (
            watch.out.splitlines()[-1]
            .partition("  ")[2]
            .startswith("0 of 1 Release compiled; nothing was written; 1 error (")
        )
        watch.until(lambda: "error[unknown-parameter]" in watch.err)
        assert replicas(workspace) == 3
        workspace.release("web", "parameters: {replicas: 4}\n")
        watch.until(lambda: replicas(workspace) == 4)
        watch.until(lambda: "\nfixed: sources/default-web.yaml:6:" in watch.err)
        time.sleep(1.5)  # scans: what it has written is not a change
        assert watch.builds == 4
        watch.process.send_signal(signal.SIGINT)
        assert watch.process.wait(5) == 0
        assert watch.err.count("error[unknown-parameter]") == 2  # when it was new and when it was fixed


def test_files_that_appear_move_and_disappear(workspace: Workspace) -> None:
    sources, flux = workspace.root / "sources", workspace.output / "flux/default"
    with watching(workspace.root) as watch:
        watch.ready()
        workspace.source(
            "sub/dir/x.yaml", (sources / "default-web.yaml").read_text().replace("name: web", "name: shop")
        )
        watch.until((flux / "shop.yaml").exists)
        (sources / "sub").rename(sources / "other")
        watch.until(lambda: watch.builds == 3)
        assert (flux / "shop.yaml").exists()
        (sources / "other/dir/x.yaml").unlink()
        watch.until(lambda: not (flux / "shop.yaml").exists())
        shutil.move(sources, workspace.root / "away")
        watch.until(lambda: "error[missing-source]" in watch.err)
        assert (flux / "web.yaml").exists()
        shutil.move(workspace.root / "away", sources)
        watch.until(lambda: "fixed: " in watch.err)


def test_another_branch_is_one_build(workspace: Workspace) -> None:
    root = workspace.root
    git(root, "init", "--quiet", "--initial-branch=main")
    (root / ".gitignore").write_text("output\n.cache\n")
    commit_all(root)
    git(root, "checkout", "--quiet", "-b", "many")
    for number in range(300):
        workspace.release(f"web{number}")
    commit_all(root)
    git(root, "checkout", "--quiet", "main")
    with watching(root) as watch:
        watch.ready()
        git(root, "checkout", "--quiet", "many")
        watch.until(lambda: watch.builds == 2)
        assert "301 of 301 Releases compiled" in watch.out
        time.sleep(0.5)
        assert watch.builds == 2
        git(root, "checkout", "--quiet", "main")  # removing nearly everything needs a flag, as without --watch
        watch.until(lambda: "error[mass-removal]" in watch.err)
        assert (workspace.output / "flux/default/web299.yaml").exists()


def test_changes_during_a_build_are_one_more_build(workspace: Workspace) -> None:
    with watching(workspace.root) as watch:
        watch.ready()
        workspace.release("web", "parameters: {replicas: 2}\n")
        watch.until(lambda: children(watch.process.pid))  # helm is running
        for number in (3, 4, 5):
            workspace.release("web", f"parameters: {{replicas: {number}}}\n")
        watch.until(lambda: replicas(workspace) == 5)
        time.sleep(0.8)
        assert watch.builds == 3


def test_every_input_of_a_project_triggers_a_build(workspace: Workspace) -> None:
    root = workspace.root
    git(root, "init", "--quiet")
    head = "apiVersion: kcd-gen/v1alpha1\nkind: Project\npackages: {vendor: packages}\nclusters:\n"
    (root / "kcd-gen.yaml").write_text(head + "- {name: a, sources: [sources], output: output}\n")
    with watching(root, arguments=("--offline",)) as watch:
        watch.ready()
        workspace.package(WEB_MANIFEST.replace("default: 1", "default: 7"))  # the vendor layout
        watch.until(lambda: replicas(workspace) == 7)
        (root / "kcd-gen.yaml").write_text("kind: [\n")
        watch.until(lambda: "kcd-gen.yaml:" in watch.err)
        assert "nothing was compiled; 1 error" in watch.out
        (root / "kcd-gen.yaml").write_text(head + "- {name: a, sources: [sources], output: other}\n")
        watch.until((root / "other/flux/default/web.yaml").exists)
        watch.until(lambda: "fixed: kcd-gen.yaml:" in watch.err)
        count = watch.builds
        (root / "apps").mkdir()
        (root / "apps/namespace.yaml").write_text("apiVersion: v1\nkind: Namespace\nmetadata: {name: default}\n")
        watch.until(lambda: watch.builds > count)


def test_the_page_of_the_documentation(tmp_path: Path) -> None:
    """Edit as `docs/how-to/watch.md` describes, and compare all but times."""
    (block,) = [one for one in blocks("docs/how-to/watch.md") if one.is_session]
    command, _, expected = block.text.partition("\n")
    root, printed = tmp_path / "checkout", tmp_path / "printed"
    shutil.copytree(QUICKSTART, root)
    project = root / "kcd-gen.yaml"
    project.write_text(project.read_text().replace("../../.demo/output", "deploy"))
    release = root / "cluster/releases/podinfo1.yaml"
    changed = release.read_text().replace("fqdn: podinfo1.", "fqdn: shop.")
    with printed.open("wb") as file:
        program = [PROGRAM, *command.split()[2:]]
        process = subprocess.Popen(program, cwd=root, env=clean(tmp_path), stdout=file, stderr=subprocess.STDOUT)
    try:
        until(lambda: "watching" in printed.read_text(), process)
        time.sleep(0.5)
        ends = ('"podinfo1-main"\n', "did you mean 'fqdn'?\n", "schema of podinfo:6.7.1-p01\n")
        for text, end in zip((changed, changed.replace("fqdn:", "fqdm:"), changed), ends, strict=True):
            before = len(printed.read_text())
            release.write_text(text)
            until(partial(ends_with, printed, end, before), process)
        assert timeless(printed.read_text()) == timeless(expected)
    finally:
        process.kill()
        process.wait()


def ends_with(printed: Path, end: str, before: int) -> bool:
    return printed.read_text()[before:].endswith(end)


def timeless(text: str) -> str:
    text = re.sub(r"^\d\d:\d\d:\d\d", "00:00:00", text, flags=re.MULTILINE)
    return re.sub(r"\d\.\d\d s\)$", "0.00 s)", text, flags=re.MULTILINE)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("moment", ["waiting", "building"])
def test_it_ends_at_once(workspace: Workspace, number: signal.Signals, code: int, moment: str) -> None:
    with watching(workspace.root) as watch:
        watch.ready()
        before = (workspace.output / "flux/default/web.yaml").read_bytes()
        programs: list[int] = []
        if moment == "building":
            workspace.release("web", "parameters: {replicas: 2}\n")
            watch.until(lambda: children(watch.process.pid))
            programs = children(watch.process.pid)
        watch.process.send_signal(number)
        assert watch.process.wait(5) == code
        assert "Traceback" not in watch.err
        assert gone(programs)
        if moment == "building":
            assert (workspace.output / "flux/default/web.yaml").read_bytes() == before


def test_a_terminal_shows_the_problems_of_the_last_build_only(workspace: Workspace) -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
    command = [PROGRAM, "build", "--watch", *FLAGS]
    process = subprocess.Popen(command, cwd=workspace.root, env=clean(workspace.root), stdout=theirs, stderr=theirs)
    os.close(theirs)
    screen = Screen(60, 24)

    def read() -> None:
        with contextlib.suppress(OSError):  # Linux reports the end of a terminal like this
            while some := os.read(ours, 65536):
                screen.feed(some.decode())

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        until(lambda: "watching" in screen.text, process)
        workspace.release("web", "parameters: {replicaz: 3}\n")
        until(lambda: "1 error, " in screen.text or screen.text.endswith("1 error"), process)
        assert "error[unknown-parameter]" in screen.text
        workspace.release("web", "parameters: {replicaz: 3, replicazz: 4}\n")
        until(lambda: screen.text.endswith("2 errors"), process)
        assert screen.text.count("error[unknown-parameter]") == 2
        workspace.release("web", "parameters: {replicas: 3}\n")
        until(lambda: '"web-main"' in screen.text.rpartition("3 errors")[2] and "Updated" in screen.text, process)
        time.sleep(0.3)
        assert "error[" not in screen.text
        assert screen.text.endswith('default/web\n  Updated HelmRelease "web-main"')
    finally:
        process.kill()
        process.wait()
        reader.join()
        os.close(ours)


@pytest.mark.parametrize(
    "flags",
    [
        ("--check",),
        ("--format", "json"),
        ("--format", "github"),
        ("--report", "junit=report.xml"),
        ("--profile", "trace.json"),
        ("--push-charts",),
        ("--fail-on-change",),
        ("--fail-on-stale-image",),
        ("--prune-outputs",),
        ("--compare-helm", "helm,helm"),
        ("--source", "-"),
    ],
)
def test_flags_of_a_single_build_are_a_usage_error(workspace: Workspace, flags: tuple[str, ...]) -> None:
    outcome = workspace.build("--watch", *flags)
    assert outcome.exit == 2
    named = " ".join(flags) if flags[0] in ("--format", "--source") else flags[0]
    assert f"error[usage]: {named} cannot be used with --watch: " in outcome.err
    assert len(outcome.err.splitlines()) == 3  # the error, its hint and the summary
    assert not workspace.output.exists()


def test_errors_that_no_change_fixes_end_it(workspace: Workspace) -> None:
    for arguments in (("--source", "sources"), ("--project", "."), ()):
        done = subprocess.run(
            [PROGRAM, "build", "--watch", *arguments],
            cwd=workspace.root,
            env=clean(workspace.root),
            capture_output=True,
            timeout=LONG,
        )
        assert done.returncode == 2, (arguments, done.stderr)


def test_a_dry_run_prints_what_would_change(workspace: Workspace) -> None:
    with watching(workspace.root, "--dry-run") as watch:
        watch.ready()
        workspace.release("shop")
        watch.until(lambda: watch.builds == 2)
        assert re.search(r"2 of 2 Releases compiled; \d+ files would be written \(", watch.out)
        assert 'Would create HelmRelease "shop-main"' in watch.out
        assert not workspace.output.exists()


def unlimited_caches() -> dict[str, int]:
    """Return the number of entries of each cache without a limit, by the name of the function."""
    functions = [one for one in gc.get_objects() if isinstance(one, functools._lru_cache_wrapper)]
    return {
        f"{one.__module__}.{one.__qualname__}": one.cache_info().currsize
        for one in functions
        if one.__module__.startswith("kubocd_gen.") and one.cache_info().maxsize is None
    }


def test_caches_without_a_limit_do_not_depend_on_the_sources(workspace: Workspace) -> None:
    def build(number: int) -> None:
        names = f"x{number}: {{deep{number}: [a{number}]}}"
        schema = f"{{type: integer, default: 1}}\n      new{number}: {{type: string, pattern: '^a{number}$'}}"
        workspace.package(WEB_MANIFEST.replace("{type: integer, default: 1}", schema))
        workspace.release("web", f"parameters: {{new{number}: a{number}}}\ncontexts: [{{name: c{number}}}]\n")
        context = f"""\
            apiVersion: kubocd.kubotal.io/v1alpha1
            kind: Context
            metadata: {{name: c{number}, namespace: default, labels: {{l{number}: x}}}}
            spec: {{context: {{{names}}}}}
            """
        workspace.source("context.yaml", context)
        assert workspace.build().exit == 0
        workspace.release("web", f"parameters: {{new{number}: wrong}}\nunknown{number}: 1\n")
        assert workspace.build().exit == 1

    build(1)
    before = unlimited_caches()
    assert before
    for number in range(2, 5):
        build(number)
    assert unlimited_caches() == before


@pytest.mark.slow
def test_the_memory_does_not_grow_with_the_builds(workspace: Workspace) -> None:
    for number in range(20):
        workspace.release(f"other{number}")
    memory: list[int] = []
    with watching(workspace.root, "--quiet") as watch:
        watch.until(lambda: replicas(workspace) == 1)
        time.sleep(1)
        for number in range(2, REBUILDS + 2):
            text = "".join(f"  # {number} {line}\n" for line in range(200))  # no text is read twice
            workspace.release("web", f"parameters:\n  replicas: {number}\n  host: h{number}.example.com\n{text}")
            workspace.release(f"other{number % 20}", f"description: build {number}\n")
            watch.until(partial(is_built, workspace, number))
            if number % 10 == 0:  # also errors, whose positions are looked up in cached texts
                workspace.release("web", f"parameters: {{replicaz: {number}}}\n")
                watch.until(partial(has_printed, watch, "unknown-parameter", number // 10 * 2 - 1))
                workspace.release("web", f"parameters: {{replicas: {number}, host: x}}\n")
                watch.until(partial(has_printed, watch, "unknown-parameter", number // 10 * 2))
            status = Path(f"/proc/{watch.process.pid}/statm").read_text()
            memory.append(int(status.split()[1]) * os.sysconf("SC_PAGESIZE"))
        threads = len(list(Path(f"/proc/{watch.process.pid}/task").iterdir()))
        descriptors = len(list(Path(f"/proc/{watch.process.pid}/fd").iterdir()))
    early, late = max(memory[10:30]), max(memory[-20:])
    assert late - early < 4 * MIB, [one // MIB for one in memory]
    assert threads < 20
    assert descriptors < 40
