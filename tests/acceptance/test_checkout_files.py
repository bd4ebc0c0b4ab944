"""What a pull request can make kcd-gen read and write: only files of its checkout, never other files of the machine."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from kubocd_gen.diagnostics.problems import ProblemsError
from tests.support.charts import chart_files, commit_all, git, write_files
from tests.support.init_checkouts import Repository
from tests.support.workspace import WEB, Outcome, Workspace, files_below, kcd_gen

SECRET = "hunter2hunter2"
FORMATS = ("text", "json", "github", "sarif", "gitlab", "junit")
SECRETS = {
    "an environment": f"TOKEN={SECRET}\0HOME=/root\0",
    "variables": f"TOKEN={SECRET}\nHOME=/root\n",
    "a configuration of Docker": f'{{"auths": {{"ghcr.io": {{"auth": "{SECRET}"}}}}, "credHelpers": "{SECRET}"}}',
    "a configuration of kubectl": f"apiVersion: v1\nkind: {SECRET}\nclusters: {SECRET}\nusers: [{{token: {SECRET}}}]\n",
    "a private key": f"-----BEGIN PRIVATE KEY-----\n{SECRET}\n-----END PRIVATE KEY-----\n",
    "a key given twice": f"'{SECRET} it is': 1\n'{SECRET} it is': 2\n",
    "an alias": f"a: *{SECRET}\n",
    "a tag": f"a: !!int '{SECRET}'\n",
    "a field": f"'{SECRET} {SECRET}': 1\n",
    "lists and numbers": f"apiVersion: [{SECRET}]\nkind: {{a: {SECRET}}}\npackages: {SECRET}\nhelm: {SECRET}\n",
    "almost a lock": f"apiVersion: kcd-gen/v1alpha1\nkind: Lock\nhelm: {SECRET}\n"
    f"packages: {{x.io/a:1: {{size: {SECRET}, digest: {SECRET}, layer: {SECRET}, charts: [{SECRET}]}}}}\n",
    "almost a project": "apiVersion: kcd-gen/v1alpha1\nkind: Project\nclusters:\n- name: a\n  output: b\n"
    f"  sources: {SECRET}\n  namespace: '{SECRET} '\n  repositoryURL: {SECRET}\ncharts: {SECRET}\n"
    f"packages: {{mirrors: {{quay.io: '{SECRET} '}}, limits: {{layer: {SECRET}}}}}\npinDigest: {SECRET}\n",
    "limits": "apiVersion: kcd-gen/v1alpha1\nkind: Project\nclusters:\n- {name: a, sources: [a], output: b}\n"
    f"packages: {{limits: {{layer: {SECRET}, members: {SECRET}}}}}\n",
}


@pytest.fixture
def web(workspace: Workspace) -> Workspace:
    """A project with one Release, in its own checkout below `tmp_path`, and a secret next to it."""
    made = Workspace(workspace.root / "checkout")
    made.package()
    made.release("web", "parameters: {replicas: 2}\n")
    project(made)
    (workspace.root / "secret").write_text(SECRET)
    git(made.root, "init", "--quiet", "--initial-branch=main")
    commit_all(made.root)
    return made


def project(
    workspace: Workspace, *, sources: str = "sources", output: str = "output", vendor: str = "packages"
) -> None:
    (workspace.root / "kcd-gen.yaml").write_text(
        f"apiVersion: kcd-gen/v1alpha1\nkind: Project\npackages: {{vendor: {vendor}}}\n"
        f"clusters:\n- name: prod\n  sources: [{sources}]\n  output: {output}\n"
    )


def run(workspace: Workspace, *arguments: str, **environment: str) -> Outcome:
    return kcd_gen(*arguments, directory=workspace.root, environment=environment)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", ["kcd-gen.lock", "kcd-gen.yaml", "sources/r.yaml", "packages/index.json"])
def test_a_symlink_to_a_secret_does_not_print_it(web: Workspace, name: str, form: str) -> None:
    text = f'{{"kubocd.kubotal.io": "{SECRET}", "manifests": {SECRET}}}: ['
    (web.root.parent / "secret").write_text(text)
    (web.root / name).unlink(missing_ok=True)
    (web.root / name).symlink_to("../" * name.count("/") + "../secret")
    outcome = run(web, "build", "--offline", "--format", form)
    assert outcome.exit == 1
    assert SECRET not in outcome.text
    assert "outside-checkout" in outcome.text
    assert not web.output.exists()


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", ["kcd-gen.lock", "kcd-gen.yaml"])
@pytest.mark.parametrize("content", SECRETS.values(), ids=SECRETS)
def test_no_value_of_the_lock_or_project_file_is_quoted(web: Workspace, name: str, content: str, form: str) -> None:
    (web.root / name).write_text(content)
    outcome = run(web, "build", "--offline", "--format", form)
    assert outcome.exit == 1
    assert SECRET not in outcome.text
    assert name in outcome.text


@pytest.mark.parametrize("name", ["kcd-gen.lock", "kcd-gen.yaml", "sources/more.yaml", "packages/oci-layout"])
@pytest.mark.parametrize("kind", ["fifo", "zero", "terminal"])
def test_an_endless_file_is_refused(web: Workspace, name: str, kind: str) -> None:
    (web.root / name).unlink(missing_ok=True)
    if kind == "fifo":
        os.mkfifo(web.root / name)
    else:
        (web.root / name).symlink_to("/dev/zero" if kind == "zero" else "/dev/tty")
    for command in ("build", "lint", "lock"):
        outcome = run(web, command, "--offline")
        if (command, name) != ("lock", "packages/oci-layout"):
            assert outcome.exit == (2 if name == "kcd-gen.yaml" else 1), outcome.text  # no such file then


@pytest.mark.parametrize(("name", "size"), [("kcd-gen.yaml", "1 MiB"), ("kcd-gen.lock", "4 MiB")])
def test_a_file_over_its_limit_is_refused(web: Workspace, name: str, size: str) -> None:
    with (web.root / name).open("ab") as file:
        file.truncate((8 << 20) + 1)
    assert f"it is larger than {size}, the limit for a " in run(web, "build", "--offline").err


COMMANDS = (
    ("build",),
    ("build", "--check"),
    ("lint",),
    ("lock",),
    ("vendor",),
    ("diff",),
    ("init", "server"),
    ("init",),
    ("serve",),
    ("image", "--base", "oci:base", "--output", "image"),
    ("migrate", "check", "live.json"),
)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("where", [{"output": "../fleet"}, {"sources": "../fleet"}, {"vendor": "../fleet"}])
def test_every_command_has_the_same_rule(web: Workspace, command: tuple[str, ...], where: dict[str, str]) -> None:
    (web.root.parent / "fleet").mkdir()
    project(web, **where)
    outcome = run(web, *command)
    assert outcome.exit == 1
    line = {"output": 7, "sources": 6, "vendor": 3}[next(iter(where))]
    assert f"kcd-gen.yaml:{line}:" in outcome.text
    assert "error[outside-checkout]: " in outcome.text
    assert f"--allow-outside {web.root.parent}/fleet\n" in outcome.text
    assert files_below(web.root.parent / "fleet") == {}


def test_an_output_in_the_checkout_of_another_repository_is_allowed_by_the_user(web: Workspace) -> None:
    fleet = web.root.parent / "fleet"
    git(web.root.parent, "init", "--quiet", "fleet")
    project(web, output="../fleet/deploy")
    for flags, environment in (
        (("--allow-outside", "../fleet"), {}),
        (("--allow-outside", str(fleet / "deploy")), {}),
        ((), {"KCD_GEN_ALLOW_OUTSIDE": os.pathsep.join(["/nowhere", str(fleet)])}),
        (("--output", "../fleet/deploy"), {}),
    ):
        outcome = run(web, "build", "--offline", *flags, **environment)
        assert outcome.exit == 0, outcome.text
        assert run(web, "build", "--offline", "--check", *flags, **environment).exit == 0
        assert (fleet / "deploy/flux/default/web.yaml").is_file()
    assert run(web, "build", "--offline").exit == 1


@pytest.mark.parametrize("output", [".git/hooks", ".GIT/x", "../fleet/.git/hooks"])
def test_nothing_is_written_to_a_git_directory(web: Workspace, output: str) -> None:
    git(web.root.parent, "init", "--quiet", "fleet")
    project(web, output=output)
    before = files_below(web.root.parent)
    for flags in (("--allow-outside", ".."), ("--output", output)):
        outcome = run(web, "build", "--offline", *flags)
        assert outcome.exit == 1
        assert "Git's own directory" in outcome.err
    assert files_below(web.root.parent) == before


def test_a_source_outside_the_checkout_is_read_by_both_sides_of_a_diff(web: Workspace) -> None:
    shared = web.root.parent / "shared"
    shared.mkdir()
    (web.root / "sources/default-web.yaml").rename(shared / "web.yaml")
    web.release("other")
    project(web, sources="sources, ../shared")
    commit_all(web.root)
    assert run(web, "diff", "--offline", "--ref", "HEAD").exit == 1
    allowed = ("--offline", "--allow-outside", "../shared")
    assert run(web, "diff", "--ref", "HEAD", *allowed).text == "exit 0\n"
    assert run(web, "build", *allowed).exit == 0
    web.release("other", "parameters: {replicas: 5}\n")
    outcome = run(web, "diff", "--ref", "HEAD", *allowed)
    assert "~ default/other" in outcome.out
    assert "default/web" not in outcome.out
    # The paths in a revision's project file are held to the same rule.
    project(web)
    assert "HEAD:kcd-gen.yaml:6:" in run(web, "diff", "--offline", "--ref", "HEAD").err


def test_a_vendor_directory_outside_the_checkout_is_read_by_both_sides(web: Workspace) -> None:
    (web.root / "packages").rename(web.root.parent / "layout")
    project(web, vendor="../layout")
    commit_all(web.root)
    web.release("web", "parameters: {replicas: 5}\n")
    outcome = run(web, "diff", "--offline", "--ref", "HEAD", "--allow-outside", "../layout")
    assert "+ spec.values.replicas: 5" in outcome.out, outcome.text


def test_an_absolute_source_in_the_checkout_has_a_revision(web: Workspace) -> None:
    project(web, sources=str(web.root / "sources"))
    commit_all(web.root)
    web.release("web", "parameters: {replicas: 5}\n")
    outcome = run(web, "diff", "--offline", "--ref", "HEAD")
    assert "+ spec.values.replicas: 5" in outcome.out, outcome.text


def test_a_symlink_among_the_sources_can_lead_to_an_allowed_directory(web: Workspace) -> None:
    shared = web.root.parent / "shared"
    shared.mkdir()
    (web.root / "sources/default-web.yaml").rename(shared / "web.yaml")
    (web.root / "sources/link").symlink_to("../../shared")
    outcome = run(web, "build", "--offline")
    assert "sources/link: error[outside-checkout]: " in outcome.err
    assert run(web, "build", "--offline", "--allow-outside", "../shared").exit == 0
    (web.root / "sources/link").unlink()
    (web.root / "sources/link.yaml").symlink_to("../../shared/web.yaml")
    assert "sources/link.yaml: error[outside-checkout]: " in run(web, "build", "--offline").err
    assert run(web, "build", "--offline", "--allow-outside", "../shared").exit == 0


def test_symlinks_within_the_checkout_work_everywhere(web: Workspace) -> None:
    (web.root / "kcd-gen.yaml").rename(web.root / "project.yaml")
    (web.root / "kcd-gen.yaml").symlink_to("project.yaml")
    (web.root / "packages").rename(web.root / "store")
    (web.root / "packages").symlink_to("store")
    (web.root / "sources").rename(web.root / "releases")
    (web.root / "sources").symlink_to("releases")
    assert run(web, "lock", "--offline").exit == 0
    (web.root / "kcd-gen.lock").rename(web.root / "releases/lock.txt")
    (web.root / "kcd-gen.lock").symlink_to("releases/lock.txt")
    assert run(web, "build", "--offline", "--locked").exit == 0


def test_a_lock_is_not_written_through_a_symlink_out_of_the_checkout(web: Workspace) -> None:
    (web.root / "kcd-gen.lock").symlink_to("../new.lock")
    outcome = run(web, "lock", "--offline")
    assert "kcd-gen.lock: error[outside-checkout]: " in outcome.err
    assert not (web.root.parent / "new.lock").exists()


def test_a_schema_is_not_written_through_a_symlink_out_of_the_checkout(web: Workspace) -> None:
    (web.root / "kcd-gen.schema.json").symlink_to("../new.json")
    outcome = run(web, "schema", "sources", "--offline", "--output", "kcd-gen.schema.json")
    assert "error[outside-checkout]: " in outcome.err
    assert not (web.root.parent / "new.json").exists()
    assert run(web, "schema", "sources", "--offline", "--output", "../new.json").exit == 0


def test_directories_that_link_to_each_other_are_compiled(web: Workspace) -> None:
    for one in range(8):
        (web.root / f"sources/d{one}").mkdir()
        for other in range(8):
            if one != other:
                (web.root / f"sources/d{one}/l{other}").symlink_to(f"../d{other}")
    assert run(web, "build", "--offline").exit == 0
    project(web, sources="'sources/**/default-*.yaml'")
    assert run(web, "build", "--offline", "--check").exit == 0


def test_more_files_than_the_limit_of_a_run_are_an_error(web: Workspace) -> None:
    for one in range(50):
        (web.root / f"sources/f{one}.txt").touch()
    outcome = run(web, "build", "--offline", "--limit", "files=50")
    assert (outcome.exit, web.output.exists()) == (1, False)
    assert "error[run-limit]: the sources have more files and directories than this run's limit of 50" in outcome.err
    assert "--limit files=100" in outcome.err


def test_more_bytes_than_the_limit_of_a_run_are_an_error(web: Workspace) -> None:
    for one in range(4):
        web.source(f"big{one}.yaml", "# kubocd.kubotal.io" + "x" * 1000 + "\n")
    outcome = run(web, "build", "--offline", "--limit", "source-bytes=4000")
    assert "error[run-limit]: the sources contain more than this run's limit of 4000 bytes" in outcome.err
    assert outcome.err.count("run-limit") == 1


def test_a_manifest_packages_the_charts_of_its_checkout(tmp_path: Path) -> None:
    write_files(tmp_path / "checkout/charts/web", chart_files())
    write_files(tmp_path / "elsewhere/web", chart_files())
    (tmp_path / "checkout/packages").mkdir()
    manifest = tmp_path / "checkout/packages/demo.yaml"

    def package(path: str, *flags: str, directory: str = "checkout") -> Outcome:
        text = "apiVersion: v1alpha1\nname: demo\ntag: 1.0.0\nmodules:\n- name: main\n  source: {local: {path: %s}}\n"
        manifest.write_text(text % path)
        where = ("--repo-prefix", "registry.example.com/p", "--output", str(tmp_path / "layout"), "--force")
        return kcd_gen("package", str(manifest), *where, *flags, directory=tmp_path / directory)

    git(tmp_path / "checkout", "init", "--quiet")
    assert package("../charts/web", directory="elsewhere").exit == 0
    for path in ("../../elsewhere/web", str(tmp_path / "elsewhere/web")):
        outcome = package(path)
        assert outcome.exit == 1
        assert "packages/demo.yaml:6:3: error[outside-checkout]: the chart " in outcome.err
        assert package(path, "--allow-outside", "../elsewhere").exit == 0
    assert package("../.git").exit == 1


def test_a_manifest_without_git_packages_the_charts_below_the_current_directory(tmp_path: Path) -> None:
    write_files(tmp_path / "work/charts/web", chart_files())
    write_files(tmp_path / "charts/web", chart_files())
    (tmp_path / "work/packages").mkdir()
    text = "apiVersion: v1alpha1\nname: demo\ntag: 1.0.0\nmodules:\n- name: main\n  source: {local: {path: %s}}\n"
    manifest = tmp_path / "work/packages/demo.yaml"
    flags = ("--repo-prefix", "registry.example.com/p", "--output", str(tmp_path / "layout"), "--force")
    for path, code in (("../charts/web", 0), ("../../charts/web", 1)):
        manifest.write_text(text % path)
        assert kcd_gen("package", "packages/demo.yaml", *flags, directory=tmp_path / "work").exit == code


@pytest.mark.parametrize("name", [".gitattributes", ".vscode/settings.json", ".pre-commit-config.yaml", "kcd-gen.yaml"])
def test_init_does_not_block_on_a_special_file(tmp_path: Path, name: str) -> None:
    checkout = Repository(tmp_path)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    os.mkfifo(tmp_path / name)
    outcome = checkout.init()
    assert outcome.exit == 1
    assert "not a regular file" in outcome.err


def test_init_stops_at_the_file_limit_of_a_run(tmp_path: Path) -> None:
    checkout = Repository(tmp_path)
    deep = tmp_path.joinpath(*["d"] * 150)
    deep.mkdir(parents=True)
    assert checkout.init().exit in (0, 3)


def test_the_image_s_kustomization_is_one_of_the_checkout_s_files(web: Workspace) -> None:
    from kubocd_gen.checkout.files import CheckoutFiles
    from kubocd_gen.diagnostics.problems import Problems
    from kubocd_gen.server.image_build import plan_pin

    path = web.root / "kustomization.yaml"
    path.symlink_to("../secret")
    with pytest.raises(ProblemsError) as caught:
        plan_pin(path, None, "sha256:0", Problems(), CheckoutFiles.around(web.root))
    assert caught.value.problem.code == "outside-checkout"
    with pytest.raises(ProblemsError):
        plan_pin(path, None, "sha256:0", Problems())
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ProblemsError, match="it is not a regular file"):
        plan_pin(path, None, "sha256:0", Problems())


def test_dump_reads_the_path_on_the_command_line_but_no_symlink_out_of_the_checkout(web: Workspace) -> None:
    layout = web.root.parent / "layout"
    (web.root / "packages").rename(layout)
    assert run(web, "dump", f"oci:../layout:{WEB}").exit == 0
    (web.root / "packages").symlink_to("../layout")
    outcome = run(web, "dump", f"oci:packages:{WEB}")
    assert "error[outside-checkout]: the symlink '" in outcome.err
    assert run(web, "dump", f"oci:packages:{WEB}", "--allow-outside", "../layout").exit == 0


def test_an_output_outside_the_checkout_is_not_served(web: Workspace) -> None:
    (web.root / "deploy").symlink_to("..")
    outcome = run(web, "serve", "--output", "deploy", "--port", "0")
    assert outcome.exit == 1
    assert "error[outside-checkout]: the symlink '" in outcome.text


def test_a_report_names_the_remedy(web: Workspace) -> None:
    project(web, output="../fleet")
    (problem,) = json.loads(run(web, "build", "--offline", "--format", "json").out)["diagnostics"]
    assert (problem["code"], problem["line"]) == ("outside-checkout", 7)
    assert problem["hint"].endswith(f"--allow-outside {web.root.parent}/fleet")
