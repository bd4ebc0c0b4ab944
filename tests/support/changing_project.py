"""A project of two clusters that random edits change: what its files contain, as data, and writing them.

A file is written only if its content changes, so that all others keep their status.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kubocd_gen.oci.descriptors import MANIFEST_TYPE, REF_NAME
from tests.support.images import write_image, write_index
from tests.support.workspace import package_content, status_of

REGISTRY = "registry.example.com/demo"
CLUSTERS = ("east", "west")
NAMESPACES = ("apps", "infra")
_GROUP = "kubocd.kubotal.io/v1alpha1"

_MANIFEST = """\
apiVersion: v1alpha1
name: {name}
tag: {tag}
description: "{name} {note}"
protected: {protected}
schema:
  parameters:
    properties:
      replicas: {{type: integer, default: 1, maximum: 90}}
      host: {{type: string, default: ""}}
      password: {{type: string, default: ""}}
      text: {{type: string, default: ""}}
      fail: {{type: boolean, default: false}}
  context:
    properties:
      domain: {{type: string, default: none}}
modules:
  - name: main
    source: {{helmRepository: {{url: https://charts.example.com, chart: {name}, version: 1.0.0}}}}
    values: |
      note: "{note}"
      replicas: {{{{ .Parameters.replicas }}}}
      text: {{{{ .Parameters.text | quote }}}}
      domain: {{{{ .Context.domain }}}}
      image: {{{{ (imageRedirect "quay.io/demo/app:1.0.0" $).url }}}}
      {{{{- if .Parameters.fail }}}}
      broken: {{{{ fail "as asked" }}}}
      {{{{- end }}}}
      {{{{- if .Parameters.host }}}}
      address: {{{{ resolveDNS .Parameters.host }}}}
      {{{{- end }}}}
{more}roles: [{roles}]
dependencies: [{dependencies}]
"""
_EXTRA = """\
  - name: extra
    source: {{helmRepository: {{url: https://charts.example.com, chart: {name}-extra, version: 1.0.0}}}}
    dependsOn: [main]
    values: {{release: "{{{{ .Release.metadata.name }}}}"}}
"""


@dataclass
class Package:
    """A package; `note` is in its values, so that another note is another image under the same tag."""

    name: str
    tag: str
    note: str = "one"
    variable: bool = False  # in the manifest, which is a warning
    varying: bool = False  # its values contain a random number of length 0
    roles: str = ""
    dependencies: str = ""
    protected: bool = False
    chart: int = 0

    @property
    def reference(self) -> str:
        return f"{REGISTRY}/{self.name}:{self.tag}"

    def layer(self) -> bytes:
        more = _EXTRA.format(name=self.name) if self.name == "web" else ""
        text = _MANIFEST.format(
            name=self.name,
            tag=self.tag,
            note=self.note + (" ${UNKNOWN}" if self.variable else ""),
            more=more,
            roles=self.roles,
            dependencies=self.dependencies,
            protected=str(self.protected).lower(),
        )
        if self.varying:
            text = text.replace(
                "replicas: {{ .Parameters.replicas }}", "replicas: {{ .Parameters.replicas }}{{ randAlpha 0 }}"
            )
        return package_content(text, status_of(text))


@dataclass
class Release:
    """A Release; `broken` is invalid YAML at the end of its document."""

    name: str
    namespace: str
    file: str  # relative to the project
    package: str = "web"
    tag: str = "1.0.0"
    replicas: int = 10
    contexts: tuple[str, ...] = ("platform/base",)
    parameters: dict[str, Any] = field(default_factory=dict)
    fields: dict[str, Any] = field(default_factory=dict)
    broken: bool = False

    def text(self) -> str:
        contexts = [dict(zip(("namespace", "name"), one.split("/"), strict=True)) for one in self.contexts]
        document = {
            "apiVersion": _GROUP,
            "kind": "Release",
            "metadata": {"name": self.name, "namespace": self.namespace},
            "spec": {
                "package": {"repository": f"{REGISTRY}/{self.package}", "tag": self.tag},
                "contexts": contexts,
                "parameters": {"replicas": self.replicas, **self.parameters},
                **self.fields,
            },
        }
        return _yaml(document) + ("  x: [\n" if self.broken else "")


@dataclass
class Project:
    """The whole project. `files` are written as they are; `comments` are lines at the start of source files."""

    root: Path
    releases: list[Release] = field(default_factory=list)
    packages: list[Package] = field(default_factory=list)
    contexts: dict[str, dict[str, Any]] = field(default_factory=dict)  # specs by namespace/name
    context_files: dict[str, str] = field(default_factory=dict)  # only those that are not in `shared/contexts.yaml`
    config: dict[str, Any] = field(default_factory=dict)
    config_in_chart: bool = False
    settings: dict[str, Any] = field(default_factory=dict)  # of the project file
    clusters: dict[str, dict[str, Any]] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    comments: dict[str, int] = field(default_factory=dict)
    lists: set[str] = field(default_factory=set)  # files whose documents are items of a List
    written: dict[str, bytes] = field(default_factory=dict)

    def contents(self) -> dict[str, str]:
        """Return the text of every file."""
        documents: dict[str, list[str]] = {}
        for name, spec in self.contexts.items():
            namespace, _, short = name.partition("/")
            value = {"apiVersion": _GROUP, "kind": "Context", "metadata": {"name": short, "namespace": namespace}}
            documents.setdefault(self.context_files.get(name, "shared/contexts.yaml"), []).append(
                _yaml({**value, "spec": spec})
            )
        if self.config_in_chart:
            documents.setdefault("shared/kubocd.yaml", []).append(_chart(self.config))
        else:
            value = {"apiVersion": _GROUP, "kind": "Config", "metadata": {"name": "conf", "namespace": "kubocd"}}
            documents.setdefault("shared/config.yaml", []).append(_yaml({**value, "spec": self.config}))
        for one in self.releases:
            documents.setdefault(one.file, []).append(one.text())
        found = {"kcd-gen.yaml": self._project_file()}
        for name, texts in documents.items():
            head = "".join(f"# line {number}\n" for number in range(self.comments.get(name, 0)))
            if name in self.lists:
                indented = "".join("- " + text.replace("\n", "\n  ").rstrip(" ") for text in texts)
                found[name] = f"{head}apiVersion: v1\nkind: List\nitems:\n{indented}"
            else:
                found[name] = head + "---\n".join(texts)
        return found | self.files

    def write(self) -> None:
        """Write the files that differ from those that were written before, and remove the others."""
        wanted = {name: text.encode() for name, text in self.contents().items()}
        for name in self.written.keys() - wanted.keys():
            (self.root / name).unlink(missing_ok=True)
        for name, data in wanted.items():
            if self.written.get(name) != data:
                path = self.root / name
                if path.is_symlink():
                    path.unlink()
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
        self.written = wanted

    def write_packages(self) -> None:
        """Write the vendor layout; blobs of the same content keep their files."""
        layout = self.root / "packages"
        staged = self.root.parent / "layout"
        shutil.rmtree(staged, ignore_errors=True)
        entries = [
            {**write_image(staged, one.layer()), "annotations": {REF_NAME: one.reference}} for one in self.packages
        ]
        write_index(staged, entries)
        for path in staged.rglob("*"):
            target = layout / path.relative_to(staged)
            if path.is_file() and not (target.is_file() and target.read_bytes() == path.read_bytes()):
                target.parent.mkdir(parents=True, exist_ok=True)
                path.replace(target)
        assert all(entry["mediaType"] == MANIFEST_TYPE for entry in entries)

    def _project_file(self) -> str:
        clusters = [{"name": name, **values} for name, values in self.clusters.items()]
        return _yaml({"apiVersion": "kcd-gen/v1alpha1", "kind": "Project", **self.settings, "clusters": clusters})


def new_project(root: Path) -> Project:
    """Return a project with 15 Releases, and write it."""
    project = Project(root)
    project.packages = [
        Package("web", "1.0.0", roles="web"),
        Package("web", "2.0.0", note="two", roles="web"),
        Package("db", "1.0.0", roles="database", variable=True),
        Package("job", "1.0.0", dependencies="database"),
        Package("dice", "1.0.0", varying=True),
    ]
    names = [("web", "web"), ("shop", "web"), ("db", "db"), ("job", "job"), ("dice", "dice"), ("api", "web")]
    for cluster in CLUSTERS:
        for index, (name, package) in enumerate(names):
            namespace = NAMESPACES[index % 2]
            file = f"clusters/{cluster}/{name}.yaml" if index < 3 else f"clusters/{cluster}/several.yaml"
            project.releases.append(Release(name, namespace, file, package))
    for index in range(3):
        project.releases.append(Release(f"common{index}", "apps", "shared/common.yaml", "web"))
    project.contexts = {
        "platform/base": {"context": {"domain": "example.com", "size": 1}},
        "platform/site": {"parents": [{"name": "base", "namespace": "platform"}], "context": {"size": 2}},
        "platform/unused": {"context": {"a": 1}},
        "kubocd/global": {"context": {"global": True}},
    }
    project.config = {
        "defaultContexts": [{"name": "global", "namespace": "kubocd"}],
        "defaultNamespaceContexts": ["local"],
        "imageRedirects": [{"oldPrefix": "quay.io/", "newPrefix": "mirror.example.com/"}],
        "clusterRoles": ["storage"],
    }
    project.settings = {"packages": {"vendor": "packages"}, "hosts": {"db.example.com": "10.0.0.1"}}
    for name in CLUSTERS:
        project.clusters[name] = {"sources": [f"clusters/{name}", "shared"], "output": f"deploy/{name}"}
    project.files["shared/other.yaml"] = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: other}\n"
    project.write_packages()
    project.write()
    return project


def _chart(config: dict[str, Any]) -> str:
    chart = {"chart": "kubocd-ctrl", "version": "0.3.0", "sourceRef": {"kind": "HelmRepository", "name": "kubocd"}}
    spec = {"chart": {"spec": chart}, "values": {"config": {"content": config}}}
    metadata = {"name": "kubocd-ctrl", "namespace": "kubocd"}
    return _yaml({"apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease", "metadata": metadata, "spec": spec})


def _yaml(value: dict[str, Any]) -> str:
    """Return a document in which each field is on a line of its own, with the values in JSON."""
    lines = []
    for key, item in value.items():
        if key in ("spec", "metadata", "clusters") and isinstance(item, dict):
            lines.append(f"{key}:")
            lines += [f"  {name}: {json.dumps(one)}" for name, one in item.items()]
        else:
            lines.append(f"{key}: {json.dumps(item)}")
    return "\n".join(lines) + "\n"
