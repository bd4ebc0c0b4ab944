"""`build --shard` on several machines, and `build --merge` of their results: the same as one build."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kubocd_gen.state.portable import PortableFile, Section, write_portable
from tests.support.charts import commit_all, git
from tests.support.shards import COUNT, another_checkout, write_project
from tests.support.workspace import WEB_MANIFEST, Outcome, Workspace, files_below, kcd_gen
from tests.unit.state.test_portable import replaced

ROOT = Path(__file__).parents[2]


def run(directory: Path, *arguments: str) -> Outcome:
    """Run kcd-gen in a new process, with its own cache."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("KCD_GEN_")}
    ran = subprocess.run(
        [sys.executable, "-m", "kubocd_gen", *arguments, "--offline"],
        cwd=directory,
        env={**clean, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(directory / ".cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    return Outcome(ran.returncode, ran.stdout, ran.stderr)


@dataclass(frozen=True, slots=True)
class Whole:
    """The result of one build of the project."""

    workspace: Workspace
    outcome: Outcome
    files: Mapping[str, bytes]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    workspace = write_project(tmp_path_factory.mktemp("whole"))
    outcome = run(workspace.root, "build", "--keep-going", "--format", "json")
    return Whole(workspace, outcome, files_below(workspace.output))


def shards_of(whole: Whole, count: int, directory: Path, *flags: str) -> list[Outcome]:
    """Compile each shard in a checkout of its own. The files are in `directory`/shards."""
    outcomes = []
    for index in range(1, count + 1):
        checkout = another_checkout(whole.workspace, directory / f"machine{index}" / ("deep/" * index))
        path = directory / "shards"
        outcomes.append(run(checkout, "build", "--shard", f"{index}/{count}", "--shard-file", str(path), *flags))
    return outcomes


def errors_in(outcome: Outcome) -> set[tuple[str, str, str | None]]:
    report = json.loads(outcome.out)
    return {
        (one["cluster"], one["code"], one.get("release")) for one in report["diagnostics"] if one["severity"] == "error"
    }


@pytest.mark.parametrize("count", [1, 2, 7])
def test_the_union_of_the_shards_is_the_whole(whole: Whole, count: int, tmp_path: Path) -> None:
    outcomes = shards_of(whole, count, tmp_path, "--format", "json")
    merging = another_checkout(whole.workspace, tmp_path / "merging")
    merged = run(merging, "build", "--merge", str(tmp_path / "shards"), "--keep-going", "--format", "json")
    assert json.loads(merged.out) == json.loads(whole.outcome.out)
    assert merged.out == whole.outcome.out
    assert files_below(merging / "output") == whole.files
    assert merged.exit == whole.outcome.exit == 1
    found = errors_in(merged)
    assert len(found) == 4  # two Releases in two clusters
    assert set().union(*map(errors_in, outcomes)) == found
    restored = 2 * (COUNT - 5) + 1  # neither broken, suspended nor by chance; `extra` is in one cluster
    assert f"{restored} Releases restored from {count} shard" in merged.err


def test_a_later_build_without_shards_uses_the_results(whole: Whole, tmp_path: Path) -> None:
    shards_of(whole, 2, tmp_path)
    merging = another_checkout(whole.workspace, tmp_path / "merging")
    flags = ("--keep-going", "--format", "json", "--cache-dir", str(tmp_path / "cache"))
    merged = run(merging, "build", "--merge", str(tmp_path / "shards"), *flags)
    assert merged.out == whole.outcome.out
    again = run(merging, "build", *flags)
    assert files_below(merging / "output") == whole.files
    assert json.loads(again.out)["summary"]["written"] == 0


def test_the_shard_of_a_release_follows_from_its_name(whole: Whole, tmp_path: Path) -> None:
    outcomes = shards_of(whole, 3, tmp_path, "--format", "json")
    for index, outcome in enumerate(outcomes):
        for one in json.loads(outcome.out)["releases"]:
            digest = hashlib.sha256(f"{one['namespace']}/{one['name']}".encode()).digest()
            assert int.from_bytes(digest[:8], "big") % 3 == index


def test_a_shard_is_compiled_only_once(whole: Whole, tmp_path: Path) -> None:
    """Its own state is kept apart from that of a whole build."""
    checkout = another_checkout(whole.workspace, tmp_path / "checkout")
    arguments = ("build", "--shard", "1/2", "--shard-file", "a.shard", "--cache-dir", str(tmp_path / "cache"))
    first = run(checkout, *arguments)
    before = (checkout / "a.shard").read_bytes()
    second = run(checkout, *arguments, "-v")
    assert first.out == second.out
    assert (checkout / "a.shard").read_bytes() == before
    assert not (checkout / "output").exists()


@pytest.fixture
def small(tmp_path: Path) -> Workspace:
    """A project without errors."""
    workspace = Workspace(tmp_path / "small")
    workspace.package()
    for number in range(6):
        workspace.release(f"web{number}", f"parameters: {{replicas: {number}}}\nroles: [r{number}]\n")
    return workspace


def shard(workspace: Workspace, number: str, *flags: str) -> Outcome:
    return workspace.build("--shard", number, "--shard-file", "shards", *flags)


def test_changed_sources_are_compiled_in_the_merge(small: Workspace) -> None:
    for number in ("1/2", "2/2"):
        assert shard(small, number).exit == 0
    small.release("web3", "parameters: {replicas: 33}\n")
    small.release("web9", "dependencies: [r1]\n")
    merged = small.build("--merge", "shards")
    assert merged.exit == 0
    assert "5 Releases restored from 2 shards; the others were compiled here" in merged.err
    expected = files_below(small.output)
    assert b"replicas: 33" in expected["flux/default/web3.yaml"]
    assert small.build("--full", "--check").exit == 0


def test_what_crosses_releases_is_checked_in_the_merge(small: Workspace) -> None:
    """Each shard alone has no error."""
    small.release("web0-a", "dependencies: [nobody]\n")
    for number in ("1/2", "2/2"):
        assert shard(small, number).exit == 0
    merged = small.build("--merge", "shards")
    assert merged.exit == 1
    assert "missing-role" in merged.err or "nobody" in merged.err
    assert not small.output.exists()


def test_a_release_that_was_removed_is_removed(small: Workspace) -> None:
    for number in ("1/2", "2/2"):
        shard(small, number)
    assert small.build("--merge", "shards").exit == 0
    (small.root / "sources/default-web2.yaml").unlink()
    assert small.build("--merge", "shards").exit == 0
    assert "flux/default/web2.yaml" not in files_below(small.output)


def test_merge_with_check_compares_with_the_output(small: Workspace) -> None:
    assert small.build().exit == 0
    for number in ("1/2", "2/2"):
        shard(small, number)
    assert small.build("--merge", "shards", "--check").exit == 0
    path = small.output / "flux/default/web1.yaml"
    path.write_text(path.read_text().replace("replicas: 1", "replicas: 2"))
    assert small.build("--merge", "shards", "--check").exit == 3


def test_sources_with_variables_are_restored_too(small: Workspace) -> None:
    small.release("domain", "parameters: {host: '${DOMAIN}'}\n")
    flags = ("--expand-env", "DOMAIN")
    for number in ("1/2", "2/2"):
        small.build("--shard", number, "--shard-file", "shards", *flags, environment={"DOMAIN": "a.example.com"})
    merged = small.build("--merge", "shards", *flags, environment={"DOMAIN": "a.example.com"})
    assert "7 Releases restored" in merged.err
    merged = small.build("--merge", "shards", *flags, environment={"DOMAIN": "b.example.com"})
    assert "6 Releases restored" in merged.err
    assert b"b.example.com" in files_below(small.output)["flux/default/domain.yaml"]


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        (["1/3", "3/3"], "the shard 2 of 3 is missing"),
        (["1/4"], "the shards 2, 3, 4 of 4 are missing"),
        (["1/2", "1/3"], "has shard 1/3, but"),
        ([], "the directory has no file that ends in .shard"),
    ],
)
def test_every_shard_is_needed_once(small: Workspace, numbers: Sequence[str], message: str) -> None:
    (small.root / "shards").mkdir()
    for number in numbers:
        shard(small, number)
    merged = small.build("--merge", "shards")
    assert merged.exit == 1
    assert "error[incomplete-shards]" in merged.err
    assert message in merged.err
    assert not small.output.exists()


def test_a_shard_twice_is_an_error(small: Workspace) -> None:
    shard(small, "1/1")
    merged = small.build("--merge", "shards", "--merge", "shards/1-of-1.shard")
    assert "the file has shard 1/1, as shards/1-of-1.shard has" in merged.err


def test_other_settings_are_an_error(small: Workspace) -> None:
    shard(small, "1/1", "--resolve", "a.example.com=10.0.0.1")
    merged = small.build("--merge", "shards")
    assert merged.exit == 1
    assert "error[bad-shard]: the shard was compiled with other settings or Configs, or another helm" in merged.err


def test_another_cluster_is_an_error(whole: Whole, tmp_path: Path) -> None:
    checkout = another_checkout(whole.workspace, tmp_path / "checkout")
    kcd_gen("build", "--shard", "1/1", "--shard-file", "a.shard", "--cluster", "prod", directory=checkout)
    merged = kcd_gen("build", "--merge", "a.shard", "--keep-going", directory=checkout)
    assert "the shard does not have the cluster 'test'" in merged.err
    assert not (checkout / "output").exists()
    merged = kcd_gen("build", "--merge", "a.shard", "--keep-going", "--cluster", "prod", directory=checkout)
    assert f"{COUNT - 5} Releases restored from 1 shard" in merged.err


def test_another_installation_is_an_error(small: Workspace) -> None:
    shard(small, "1/1")
    path = small.root / "shards/1-of-1.shard"
    data = path.read_bytes()
    magic, line, rest = data.split(b"\n", 2)
    size = int(line.split()[1])
    head: dict[str, Any] = json.loads(rest[:size])
    head["about"]["rules"] = "0" * 32
    changed = json.dumps(head, separators=(",", ":")).encode()
    digest = hashlib.blake2b(changed, digest_size=16).hexdigest().encode()
    path.write_bytes(b"\n".join((magic, digest + b" " + str(len(changed)).encode(), changed + rest[size:])))
    merged = small.build("--merge", "shards")
    assert "error[bad-shard]: the shard was compiled by another installation of kcd-gen (version '" in merged.err


def test_a_committed_shard_is_refused(small: Workspace) -> None:
    """A pull request could bring results that nobody computed."""
    shard(small, "1/1")
    git(small.root, "init", "--quiet", "--initial-branch=main")
    assert small.build("--merge", "shards").exit == 0
    commit_all(small.root)
    merged = small.build("--merge", "shards")
    assert merged.exit == 1
    assert "the shard is a file of the Git repository" in merged.err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--shard", "1/2"], "--shard needs --shard-file PATH"),
        (["--shard-file", "a"], "--shard-file has no effect without --shard"),
        (["--shard", "1/2", "--merge", "a"], "--shard and --merge cannot be used together"),
        (["--shard", "1/2", "--shard-file", "a", "--check"], "--check cannot be used with --shard"),
        (["--shard", "1/2", "--shard-file", "a", "--release", "x"], "--release cannot be used with --shard"),
        (["--merge", "a", "--full"], "--full cannot be used with --merge"),
        (["--shard", "0/2", "--shard-file", "a"], "the first shard is 1"),
        (["--shard", "3/2", "--shard-file", "a"], "there is no shard 3 of 2"),
        (["--shard", "3", "--shard-file", "a"], "'3' is not I/N"),
        (["--shard", "auto", "--shard-file", "a"], "'auto' finds no shard, because neither CI_NODE_INDEX nor"),
    ],
)
def test_flags_that_exclude_each_other(small: Workspace, flags: Sequence[str], message: str) -> None:
    outcome = small.build(*flags)
    assert outcome.exit == 2
    assert message in outcome.err
    assert not small.output.exists()


@pytest.mark.parametrize(
    ("text", "environment", "file"),
    [
        ("auto", {"CI_NODE_INDEX": "2", "CI_NODE_TOTAL": "3"}, "2-of-3.shard"),
        ("auto/4", {"JOB_COMPLETION_INDEX": "0"}, "1-of-4.shard"),
        ("auto/4", {"JOB_COMPLETION_INDEX": "3"}, "4-of-4.shard"),
    ],
)
def test_the_number_of_a_shard_in_a_ci_system(
    small: Workspace, text: str, environment: Mapping[str, str], file: str
) -> None:
    outcome = small.build("--shard-file", "shards", environment={**environment, "KCD_GEN_SHARD": text})
    assert outcome.exit == 0, outcome.err
    assert [path.name for path in (small.root / "shards").iterdir()] == [file]


def test_a_limit_of_the_run_leaves_no_shard(small: Workspace) -> None:
    outcome = shard(small, "1/1", "--limit", "yaml-values=10")
    assert outcome.exit == 1
    assert "nothing was written" in outcome.out
    assert not (small.root / "shards").exists()


def test_a_shard_can_be_written_nowhere_else(small: Workspace, tmp_path: Path) -> None:
    (small.root / "shards").symlink_to(tmp_path)
    git(small.root, "init", "--quiet")
    outcome = shard(small, "1/1")
    assert outcome.exit == 1
    assert "error[unusable-file]" in outcome.err
    assert not list(tmp_path.glob("*.shard"))


def test_a_new_checkout_with_the_same_cache_compiles_nothing(small: Workspace, tmp_path: Path) -> None:
    """As with a cache between CI jobs: the files have other times and the same content."""
    cache = ("--cache-dir", str(tmp_path / "cache"))
    assert "helm" in small.build("-v", *cache).err
    for path in small.root.rglob("*"):
        if path.is_file() and ".cache" not in path.parts:
            data = path.read_bytes()
            path.unlink()
            path.write_bytes(data)
    again = small.build("-v", *cache)
    assert again.exit == 0
    assert "helm" not in again.err


@pytest.mark.parametrize("seed", range(25))
def test_no_content_of_a_shard_ends_a_merge_otherwise(seed: int, small: Workspace, tmp_path: Path) -> None:
    """Digests are no protection: whoever writes the file can compute them."""
    chance = random.Random(seed)  # noqa: S311
    shard(small, "1/1")
    path = small.root / "shards/1-of-1.shard"
    file = PortableFile(path)
    sections = []
    for name, about in file.sections.items():
        values = [(value, blob.read()) for value, blob in file.values(name)]
        for index, (value, documents) in enumerate(values):
            if chance.random() < 0.5:
                values[index] = replaced(value, chance), documents
            elif chance.random() < 0.5:
                values[index] = value, json.dumps(replaced(json.loads(documents), chance)).encode()
        sections.append(Section(name, about, values))
    write_portable(path, file.about, sections)
    before = {one for one in tmp_path.rglob("*") if one.is_file()}
    merged = small.build("--merge", "shards", "--keep-going")
    assert merged.exit in (0, 1), merged.err
    assert merged.exit == 0 or "error[bad-shard]" in merged.err
    written = {one for one in tmp_path.rglob("*") if one.is_file()} - before
    places = [small.output, small.root / ".cache"]
    assert [one for one in written if not any(one.is_relative_to(place) for place in places)] == []


def test_a_package_that_has_changed_is_compiled_in_the_merge(small: Workspace) -> None:
    shard(small, "1/1")
    small.package(WEB_MANIFEST.replace("replicas: {{", "copies: {{"))
    merged = small.build("--merge", "shards")
    assert merged.exit == 0
    assert "0 Releases restored from 1 shard" in merged.err
    assert b"copies: 3" in files_below(small.output)["flux/default/web3.yaml"]


def test_an_invalid_package_is_an_error_of_its_releases(small: Workspace) -> None:
    shard(small, "1/1")
    small.package(WEB_MANIFEST.replace("modules:", "modulse:"))
    merged = small.build("--merge", "shards", "--format", "json")
    assert merged.exit == 1
    assert merged.out == small.build("--full", "--format", "json").out
    shutil.rmtree(small.root / "packages/blobs")
    merged = small.build("--merge", "shards", "--format", "json")
    assert merged.exit == 1
    assert merged.out == small.build("--full", "--format", "json").out


def test_a_warning_about_a_package_is_at_the_same_release(small: Workspace) -> None:
    """It is reported at the first Release that uses the package, whichever shard that is in."""
    where = ("--source", "sources", "--vendor", "packages", "--offline")
    assert kcd_gen("lock", *where, "--output", "output", directory=small.root).exit == 0
    small.package(WEB_MANIFEST.replace("replicas: {{", "copies: {{"))  # the lock has the package of before
    assert "moved-tag" in "".join([shard(small, number).err for number in ("1/3", "2/3", "3/3")])
    merged = small.build("--merge", "shards", "--format", "json")
    assert "5 Releases restored from 3 shards" in merged.err
    assert "moved-tag" in merged.out
    before = files_below(small.output)
    shutil.rmtree(small.output)
    assert small.build("--full", "--format", "json").out == merged.out
    assert files_below(small.output) == before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read the shard: No such file or directory"),
        (b"apiVersion: v1\n", "cannot use the shard: it is not a file of 'build --shard' of this version"),
        ({"rules": 1}, "cannot use the shard: its head is not as expected"),
        ({"rules": "x", "version": "1", "shard": [0, 1]}, "cannot use the shard: its number is invalid"),
        ({"rules": "x", "version": "1", "shard": [1, 1]}, "compiled by another installation of kcd-gen (version '1')"),
    ],
)
def test_another_file_is_refused(small: Workspace, content: bytes | dict[str, Any] | None, message: str) -> None:
    path = small.root / "a.shard"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        write_portable(path, content, [])
    merged = small.build("--merge", "a.shard")
    assert merged.exit == 1
    assert "a.shard: error[bad-shard]" in merged.err
    assert message in merged.err


def test_a_directory_of_shards_is_not_a_symlink_of_the_checkout(small: Workspace, tmp_path: Path) -> None:
    shard(small, "1/1")
    (small.root / "shards").rename(tmp_path / "elsewhere")
    (small.root / "shards").symlink_to(tmp_path / "elsewhere")
    git(small.root, "init", "--quiet")
    merged = small.build("--merge", "shards")
    assert merged.exit == 1
    assert "error[bad-shard]: cannot read the directory" in merged.err


def test_a_shard_has_the_reports_of_a_build(whole: Whole, tmp_path: Path) -> None:
    checkout = another_checkout(whole.workspace, tmp_path / "checkout")
    arguments = ("build", "--shard", "1/1", "--shard-file", "a.shard", "--offline")
    github = kcd_gen(*arguments, "--format", "github", "--report", "junit=junit.xml", directory=checkout)
    assert github.exit == 1
    assert "::error" in github.out
    assert "<failure" in (checkout / "junit.xml").read_text()
    (checkout / "a.shard").unlink()
    refused = kcd_gen(*arguments, "--report", "junit=sources", directory=checkout)
    assert "error[unusable-file]" in refused.err
    assert not (checkout / "a.shard").exists()


def test_a_damaged_state_of_a_shard_is_not_used(small: Workspace, tmp_path: Path) -> None:
    cache = ("--cache-dir", str(tmp_path / "cache"))
    first = shard(small, "1/1", *cache)
    expected = (small.root / "shards/1-of-1.shard").read_bytes()
    (path,) = (tmp_path / "cache").rglob("state/*")
    data = path.read_bytes()
    path.write_bytes(data[:-40] + b"x" * 40)
    again = shard(small, "1/1", *cache)
    assert again.out == first.out
    assert (small.root / "shards/1-of-1.shard").read_bytes() == expected
