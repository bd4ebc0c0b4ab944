"""A checkout and a stand-in cluster that runs KuboCD, in which the printed steps of a migration are run."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from kubocd_gen.migration.commands import DUMP, save_dump
from kubocd_gen.sources.kubocd_chart import _CONTENT
from tests.support import cluster
from tests.support.images import write_layout
from tests.support.stand_in import flux, helm
from tests.support.stand_in.__main__ import run
from tests.support.stand_in.store import CRDS, GROUPS, Object, Store
from tests.support.workspace import WEB, WEB_MANIFEST, package_content, status_of

ROOT = Path(__file__).resolve().parents[2]
DUMP_FILE = "~/kcd-gen-migration/live.json"
CHART = "clusters/prod/kubocd.yaml"
PROJECT = """\
apiVersion: kcd-gen/v1alpha1
kind: Project
clusters: [{name: prod, sources: [SOURCES], output: deploy/prod}]
packages: {vendor: vendor/packages}
"""
KUBOCD = """\
apiVersion: source.toolkit.fluxcd.io/v1
kind: OCIRepository
metadata: {name: kubocd-controller, namespace: flux-system}
spec: {interval: 1m, url: oci://quay.io/kubocd/charts/kubocd-ctrl, ref: {tag: v0.3.0}}
---
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: kubocd-controller, namespace: flux-system}
spec:
  interval: 1m
  targetNamespace: kubocd
  storageNamespace: flux-system
  releaseName: kubocd-ctrl
  chartRef: {kind: OCIRepository, name: kubocd-controller, namespace: flux-system}
  values:
    extraNamespaces: [{name: apps}, {name: contexts}]
    config: {enabled: true, content: {defaultContexts: [{name: platform, namespace: contexts}]}}
    contexts:
    - {name: platform, namespace: contexts, protected: true, context: {domain: example.com}}
    controller: {replicaCount: 1}
"""
SYNC = """\
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: flux-system, namespace: flux-system}
spec: {interval: 1m, url: 'https://git.example.com/platform', ref: {branch: main}}
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: flux-system, namespace: flux-system}
spec: {interval: 10m, path: ./clusters/prod, prune: true, sourceRef: {kind: GitRepository, name: flux-system}}
"""
TEAM = """\
apiVersion: kubocd.kubotal.io/v1alpha1
kind: Context
metadata: {name: team, namespace: contexts}
spec: {context: {team: shop}}
"""
RELEASE = """\
apiVersion: kubocd.kubotal.io/v1alpha1
kind: Release
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  package: {{repository: registry.example.com/demo/web, tag: 1.0.0}}
  contexts: [{{name: team, namespace: contexts}}]
  parameters: {{replicas: 2}}
"""
RELEASES = (("apps", "api"), ("apps", "shop"), ("default", "web"))


@dataclass(frozen=True, slots=True)
class Printed:
    """The report of `migrate check`."""

    report: Object

    @property
    def step(self) -> str:
        return str(self.report["next"]["step"])

    @property
    def script(self) -> str:
        return str(self.report["next"]["commands"])

    @property
    def codes(self) -> set[str]:
        return {one["code"] for one in self.report["findings"]}


@dataclass(slots=True)
class Platform:
    """The checkout in `root/platform`, its remote, and the cluster in `root/state.json`."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)

    @classmethod
    def existing(cls, root: Path) -> Platform:
        """Return the platform that was created or copied in `root`."""
        return cls(root, _variables(root))

    @property
    def checkout(self) -> Path:
        return self.root / "platform"

    @property
    def store(self) -> Store:
        return Store(self.root / "state.json")

    def edit(self, change: Callable[[Store], object], *, settle: bool = True) -> None:
        """Change the cluster directly, and let its controllers work."""
        store = self.store
        change(store)
        if settle:
            run(store)
        store.save()

    def shell(self, script: str, *, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ["bash", "-c", script], cwd=self.checkout, env=self.environment, capture_output=True, text=True
        )
        assert code is None or done.returncode == code, (
            f"{script}\n--- exit {done.returncode}\n{done.stdout}{done.stderr}"
        )
        return done

    def dump(self, command: str = DUMP) -> None:
        self.shell(save_dump(command, DUMP_FILE), code=None)

    def check(self) -> Printed:
        report = self.shell(f"kcd-gen migrate check {DUMP_FILE} --format json", code=None)
        assert report.stdout, report.stderr
        return Printed(json.loads(report.stdout))

    def commit(self, message: str = "Change") -> None:
        self.shell(f"git add -A && git commit -qm '{message}' && git push -q")
        self.edit(lambda store: None)

    def write(self, name: str, text: str) -> None:
        path = self.checkout / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def prepare(self, step: Object) -> None:
        """Do what a step's title asks of the user, in the checkout and without a commit."""
        name, title = step["step"], step["title"]
        if name == "apply" and "init server" in title:
            self.shell("kcd-gen init server --image registry.example.com/charts/prod")
        elif name == "delete-releases" and "first exclude" in title:
            self.shell("mkdir sources && git mv clusters/prod/releases sources/releases")
            self.write("kcd-gen.yaml", PROJECT.replace("SOURCES", "clusters/prod, sources"))
        elif name == "empty-chart" and " in Git" in title:
            self.shell(exported("sources/kubocd.yaml"))
            self.set_values(extraNamespaces=[], contexts=[], config={"enabled": False}, controller={"replicaCount": 0})
        elif name == "remove-controller" and " from Git" in title:
            self.shell(f"git rm -q {CHART}")
        elif name == "exclude-contexts":
            self.shell("git mv clusters/prod/team.yaml sources/team.yaml")

    def set_values(self, **values: Any) -> None:
        documents = list(yaml.safe_load_all((self.checkout / CHART).read_text()))
        documents[1]["spec"]["values"] |= values
        self.write(CHART, yaml.safe_dump_all(documents))

    def steps(
        self, *, until: str = "done", watch: Callable[[Platform, Printed], object] = lambda *_: None
    ) -> list[str]:
        """Run the printed steps until one has this name; return the names of those that were run.

        `watch` is called before each step.
        """
        command, done = DUMP, list[str]()
        for _ in range(20):
            self.dump(command)
            printed = self.check()
            if printed.step == until:
                return done
            assert not [one for one in printed.report["findings"] if one["severity"] == "error"], printed.report
            assert printed.script, printed.report["next"]
            watch(self, printed)
            self.prepare(printed.report["next"])
            self.shell(printed.script)
            assert self.harm() == [], f"{self.harm()}\n{printed.script}"
            done.append(printed.step)
            command = printed.report["next"]["dump"]
        raise AssertionError(f"'{until}' is not reached: {done}")

    def copy(self, root: Path) -> Platform:
        """Return a copy of the platform in another directory."""
        shutil.copytree(self.root, root, symlinks=True, dirs_exist_ok=True)
        made = Platform.existing(root)
        made.edit(lambda store: store.state.update(git=str(root / "remote.git")), settle=False)
        return made

    def harm(self) -> list[list[str]]:
        """Return what was deleted, uninstalled or upgraded, except KuboCD's own chart."""
        log, kinds = self.store.state["log"], ("Namespace", "HelmRelease", "HelmRepository")
        lost = [one for one in log if one[0] == "removed" and one[1] in kinds and one[3] != "kubocd-controller"]
        return [*lost, *(one for one in log if one[0] in ("uninstalled", "upgraded"))]

    def uids(self) -> dict[str, str]:
        return {f"{one['kind']} {one['metadata']['namespace']}/{one['metadata']['name']}": one["metadata"]["uid"]
                for one in self.store.of_kind("HelmRelease", "HelmRepository")
                if one["metadata"]["name"] != "kubocd-controller"}  # fmt: skip


def exported(file: str) -> str:
    """Return the guide's command that writes the Config and the Contexts of the chart to a source."""
    page = (ROOT / "docs/migration.md").read_text(encoding="utf-8")
    (block,) = re.findall(
        r'^ *```bash title="in the cluster"\n( *mkdir -p sources\n.*?)^ *```', page, re.MULTILINE | re.DOTALL
    )
    return textwrap.dedent(block).replace("sources/kubocd.yaml", file)


def platform(root: Path) -> Platform:
    """Return a platform that runs KuboCD: its chart owns two Namespaces, a Config and a Context."""
    made = Platform(root, _environment(root))
    made.checkout.mkdir(parents=True)
    made.shell("git init -q --bare -b main ../remote.git && git init -q -b main && git remote add origin ../remote.git")
    for name, text in (
        (CHART, KUBOCD),
        ("clusters/prod/flux-system/gotk-sync.yaml", SYNC),
        ("clusters/prod/team.yaml", TEAM),
    ):
        made.write(name, text)
    for namespace, name in RELEASES:
        made.write(f"clusters/prod/releases/{name}.yaml", RELEASE.format(namespace=namespace, name=name))
    made.write("kcd-gen.yaml", PROJECT.replace("SOURCES", "clusters/prod"))
    write_layout(made.checkout / "vendor/packages", {WEB: package_content(WEB_MANIFEST, status_of(WEB_MANIFEST))})
    made.shell("git add -A && git commit -qm Platform && git push -qu origin main && kcd-gen build")
    made.edit(lambda store: _start(store, root))
    made.edit(lambda store: _run_kubocd(store, made.checkout / "deploy/prod"))
    made.edit(lambda store: store.state.update(log=[]))
    shutil.rmtree(made.checkout / "deploy")
    return made


def _environment(root: Path) -> dict[str, str]:
    programs, home = root / "bin", root / "home"
    programs.mkdir(parents=True)
    home.mkdir()
    for name in ("kubectl", "helm"):
        script = f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m tests.support.stand_in {name} "$@"\n'
        (programs / name).write_text(script)
        (programs / name).chmod(0o755)
    return _variables(root)


def _variables(root: Path) -> dict[str, str]:
    real_helm = Path(sys.executable).parent / "helm"
    return {
        "PATH": f"{root / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(root / "home"),
        "KCD_GEN_HELM": str(real_helm if real_helm.exists() else shutil.which("helm")),
        "STAND_IN_STATE": str(root / "state.json"),
        "GIT_CONFIG_NOSYSTEM": "1",
        "LANG": "C.UTF-8",
        **{f"GIT_{who}_{what}": "a@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    }


def _start(store: Store, root: Path) -> None:
    """Create what the cluster has before Flux applies the checkout."""
    store.state |= {"git": str(root / "remote.git"), "chart": dict(_CONTENT)}
    objects: list[Object] = [
        _object("Namespace", "", name) for name in ("default", "flux-system", "kube-system", "kubocd")
    ]
    objects += [_object("CustomResourceDefinition", "", name) | {"spec": {}} for name in CRDS]
    objects += [_object("CustomResourceDefinition", "", "helmreleases.helm.toolkit.fluxcd.io") | {"spec": {}}]
    objects += [_object("ServiceAccount", "default", "default"), _object("Role", "kube-system", "system:leader")]
    reader = {"roleRef": {"kind": "ClusterRole", "name": "view"}, "subjects": [{"kind": "Group", "name": "staff"}]}
    objects += [_object("ClusterRole", "", "view"), _object("ClusterRoleBinding", "", "readers") | reader]
    objects += [_object("RoleBinding", "default", "readers") | reader, cluster.webhook()]
    objects += list(yaml.safe_load_all(SYNC))
    for one in objects:
        store.create(one)


def _run_kubocd(store: Store, output: Path) -> None:
    """Write what KuboCD's controller writes."""
    for one in store.of_kind("Release"):
        one["metadata"]["finalizers"] = [cluster.FINALIZER]
        one["status"] = {"phase": "READY"}
    for document in cluster.compiled_documents(output):
        made = cluster.by_kubocd(document)
        (owner,) = made["metadata"]["ownerReferences"]
        release = store.find("Release", made["metadata"]["namespace"], owner["name"])
        assert release is not None
        owner["uid"] = release["metadata"]["uid"]
        store.create(made)


def _object(kind: str, namespace: str, name: str) -> Object:
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": GROUPS[kind], "kind": kind, "metadata": metadata}


__all__ = ["Platform", "flux", "helm", "platform"]
