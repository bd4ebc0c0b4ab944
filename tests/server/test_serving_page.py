"""The examples of docs/serving.md are valid, and those that can run here do what the page promises."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from kubocd_gen.server.container import CONFIGURATION, CONTENT_ROOT, configuration, nginx_conf
from tests.support.nginx import run_nginx
from tests.support.pod_security import violations
from tests.support.registry import program
from tests.support.requests import CHART_PATH, INDEX, INDEX_PATH, ask, request, write_content

PAGE = (Path(__file__).parents[2] / "docs/serving.md").read_text(encoding="utf-8")
REAL = ("hr/default/web/index.yaml", "hr/default/web/web-1.0.0.tgz", "hr/default/web/web-1.0.0+build.1.tgz")


def block(language: str, begins: str) -> str:
    """Return the only block of the page that begins with `begins`."""
    (found,) = (text for text in re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL) if text.startswith(begins))
    return str(found)


def run(script: str, directory: Path, **environment: str) -> None:
    where = {"PATH": os.environ["PATH"], "HOME": str(directory), **environment}
    done = subprocess.run(["sh", "-e"], input=script, cwd=directory, env=where, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def files(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def output(root: Path) -> Path:
    """Write deploy/prod in a checkout, with a build's files and nothing more."""
    content = write_content(root / "scratch")
    for name in (*REAL, "flux/kustomization.yaml"):
        (root / "deploy/prod" / name).parent.mkdir(parents=True, exist_ok=True)
        (content / name).replace(root / "deploy/prod" / name)
    shutil.rmtree(root / "scratch")
    return root / "deploy/prod"


@pytest.mark.parametrize("engine", ["github", "gitlab"])
def test_the_examples_for_pages_publish_only_hr(engine: str, tmp_path: Path) -> None:
    if engine == "github":
        workflow = yaml.safe_load(block("yaml", "# .github"))
        steps = workflow["jobs"]["publish"]["steps"]
        script = steps[1]["run"]
        uploaded = steps[2]["with"]["path"]
        assert [step.get("uses", "").partition("@")[0] for step in steps] == [
            *("actions/checkout", "", "actions/upload-pages-artifact", "actions/deploy-pages", "")
        ]
        assert workflow["permissions"] == {"contents": "write", "pages": "write", "id-token": "write"}
    else:
        job = yaml.safe_load(block("yaml", "# .gitlab"))["pages"]
        script = "\n".join(job["script"])
        (uploaded,) = job["artifacts"]["paths"]
    published = files(output(tmp_path) / "hr")
    run(script, tmp_path)
    found = files(tmp_path / uploaded)
    assert found.pop(".nojekyll", b"") == b""
    assert found == {f"hr/{name}": data for name, data in published.items()}


def test_the_pipelines_move_the_reference_that_flux_follows(tmp_path: Path) -> None:
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@example.com", "-C", str(tmp_path / "work"))
    subprocess.run(["git", "init", "-q", "--bare", str(tmp_path / "origin")], check=True)
    subprocess.run(["git", "clone", "-q", str(tmp_path / "origin"), str(tmp_path / "work")], check=True)
    step = yaml.safe_load(block("yaml", "# .github"))["jobs"]["publish"]["steps"][-1]["run"]
    for script in (block("sh", "git push"), step):
        subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "next"], check=True)
        run(script, tmp_path / "work")
        heads = [
            subprocess.check_output(["git", "-C", str(tmp_path / where), "rev-parse", what])
            for where, what in (("work", "HEAD"), ("origin", "refs/heads/published"))
        ]
        assert heads[0] == heads[1]


def test_rclone_copies_charts_then_indexes_and_deletes_last(tmp_path: Path) -> None:
    program("rclone", "rclone")
    deploy = output(tmp_path)
    script = block("sh", "# REMOTE")
    where = {"OUTPUT": str(deploy), "REMOTE": str(tmp_path / "remote")}
    run(script, tmp_path, **where)
    first = files(deploy / "hr")
    assert files(tmp_path / "remote") == {f"hr/{name}": data for name, data in first.items()}

    # The next build: one chart is removed, one added, and the index keeps its size and time.
    index = deploy / "hr/default/web/index.yaml"
    times = (index.stat().st_atime_ns, index.stat().st_mtime_ns)
    index.write_bytes(INDEX.replace(b"1.0.0", b"1.0.1"))
    os.utime(index, ns=times)
    (deploy / "hr/default/web/web-1.0.0.tgz").rename(deploy / "hr/default/web/web-1.0.1.tgz")
    run(script, tmp_path, KEEP="1", **where)
    assert set(files(tmp_path / "remote/hr")) == set(first) | set(files(deploy / "hr"))
    assert (tmp_path / "remote/hr/default/web/index.yaml").read_bytes() == index.read_bytes() != INDEX
    run(script, tmp_path, **where)
    assert files(tmp_path / "remote/hr") == files(deploy / "hr")


def test_the_upload_to_s3_has_the_same_order() -> None:
    script = block("sh", "# BUCKET")
    charts, indexes, deletes = re.findall(r"aws s3 [^\\\n]*(?:\\\n[^\\\n]*)?", script)
    assert "'*.tgz'" in charts and "--delete" not in charts
    assert indexes.startswith("aws s3 cp") and "'*/index.yaml'" in indexes
    assert "--delete --size-only" in deletes
    subprocess.run(["sh", "-n"], input=script, text=True, check=True)


def test_symlinks_of_git_sync_are_followed_only_at_the_root(tmp_path: Path) -> None:
    """Imitate git-sync 4 with git: worktrees in .worktrees, and a symlink that is replaced with another."""
    origin = tmp_path / "origin"
    subprocess.run(["git", "init", "-q", "-b", "main", str(origin)], check=True)
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@example.com", "-C", str(origin))
    (origin / "deploy").mkdir()
    write_content(tmp_path / "content").rename(origin / "deploy/prod")
    root = tmp_path / "git"
    subprocess.run(["git", "clone", "-q", "--no-checkout", str(origin), str(root)], check=True)

    def publish(index: bytes) -> None:
        (origin / "deploy/prod/hr/default/web/index.yaml").write_bytes(index)
        subprocess.run([*git, "add", "-A"], check=True)
        subprocess.run([*git, "commit", "-q", "-m", "next"], check=True)
        commit = subprocess.check_output([*git, "rev-parse", "HEAD"], text=True).strip()
        subprocess.run(["git", "-C", str(root), "fetch", "-q", "origin", "main"], check=True)
        where = f".worktrees/{commit}"
        subprocess.run(["git", "-C", str(root), "worktree", "add", "-q", "--detach", where, commit], check=True)
        old = (root / "current").readlink() if (root / "current").is_symlink() else None
        (root / "next").symlink_to(where)
        (root / "next").replace(root / "current")
        if old is not None:
            subprocess.run(["git", "-C", str(root), "worktree", "remove", "--force", str(old)], check=True)

    with run_nginx(root / "current/deploy/prod", tmp_path / "nginx") as nginx:
        assert ask(nginx.port, request("/readyz")).status == 503
        for index in (INDEX, INDEX + b"# next\n"):
            publish(index)
            assert ask(nginx.port, request("/readyz")).status == 200
            assert ask(nginx.port, request(INDEX_PATH)).body == index
            assert ask(nginx.port, request(CHART_PATH)).status == 200
            for path in ("/hr/default/web/link.tgz", "/hr/default/web/inside.tgz", "/hr/linked/web/index.yaml"):
                assert ask(nginx.port, request(path)).status == 404


def test_the_root_for_git_sync_is_changed_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "nginx.conf").write_text(configuration()[CONFIGURATION])
    run(block("sh", "sed"), tmp_path)
    root = "/git/current/deploy/prod"
    assert (tmp_path / "nginx.conf").read_text().replace(f" of {CONTENT_ROOT}/hr", f" of {root}/hr") == nginx_conf(
        root=root
    )


def test_the_pod_for_git_sync_is_valid_and_restricted() -> None:
    spec: dict[str, Any] = yaml.safe_load(block("yaml", "# a part of deployment"))
    assert violations(spec) == []
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "charts"}, "spec": spec}
    kubernetes_validate.validate(pod, "1.34", strict=True)
    server, sync = spec["containers"]
    shared = {mount["name"] for mount in server["volumeMounts"]} & {mount["name"] for mount in sync["volumeMounts"]}
    assert shared == {"git", "tmp"}
    assert "--link=current" in sync["args"]
    assert "--root=/git" in sync["args"]
