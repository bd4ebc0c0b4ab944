"""A synthetic platform of the usual size: a large shared context, and packages whose templates read it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from tests.support.images import chart_archive, package_layer, write_layout

_SERVICES = 250  # about 40 KB of context

_MANIFEST = """apiVersion: v1alpha1
type: Package
name: app{number}
tag: 1.0.0
description: Application {number}
usage:
  text: "https://{{{{ .Release.metadata.name }}}}.{{{{ .Context.ingress.suffix }}}}"
schema:
  parameters:
    properties:
      host: {{ type: string, required: true }}
      replicas: {{ type: integer, default: 2, minimum: 1 }}
      memory: {{ type: number, default: 1.5, multipleOf: 0.25 }}
  context:
    properties:
      ingress: {{ type: object, required: true, properties: {{ suffix: {{ type: string, required: true }} }} }}
modules:
  - name: main
    source: {{ helmRepository: {{ url: https://charts.example.com, chart: app, version: 1.0.0 }} }}
    timeout: 10m
    values: |
      replicas: {{{{ .Parameters.replicas }}}}
      image: {{{{ (imageRedirect "quay.io/example/app:1.0.0" $).url }}}}
      memory: {{{{ mulf .Parameters.memory 1024 | int }}}}Mi
      ingress:
        host: {{{{ .Parameters.host }}}}.{{{{ .Context.ingress.suffix }}}}
      services:
        {{{{- range $name, $service := .Context.services }}}}
        {{{{- if eq $service.owner "team{number}" }}}}
        {{{{ $name }}}}: {{{{ $service.url | quote }}}}
        {{{{- end }}}}
        {{{{- end }}}}
  - name: extras
    source: {{ helmRepository: {{ url: https://charts.example.com, chart: app, version: 1.0.0 }} }}
    dependsOn: [main]
    enabled: "{{{{ gt .Parameters.replicas 1.0 }}}}"
    values:
      release: "{{{{ .Release.metadata.name }}}}"
roles: [app{number}]
dependencies: []
"""

_RELEASE = """apiVersion: kubocd.kubotal.io/v1alpha1
kind: Release
metadata: {{ name: release{number}, namespace: apps }}
spec:
  package: {{ repository: registry.example.com/apps/app{number}, tag: 1.0.0, interval: 30m }}
  contexts: [ {{ name: platform, namespace: platform }} ]
  parameters:
    host: app{number}
    replicas: 3
"""


def write_cluster(directory: Path, *, releases: int, versions: Mapping[int, str] | None = None) -> tuple[Path, Path]:
    """Write the sources and the image layout of a platform with `releases` Releases, each of its own package.

    `versions` are the versions of the charts by Release number, if not 1.0.0.
    """
    sources, layout = directory / "sources", directory / "layout"
    sources.mkdir(parents=True)
    services = {
        f"service{number:03}": {
            "owner": f"team{number % releases}",
            "url": f"https://service{number:03}.platform.example.com:8443/api/v1",
            "credentials": {"secret": f"creds-service{number:03}", "user": "username", "password": "password"},
        }
        for number in range(_SERVICES)
    }
    context = {"ingress": {"suffix": "apps.example.com"}, "services": services}
    (sources / "platform.yaml").write_text(
        "apiVersion: kubocd.kubotal.io/v1alpha1\nkind: Context\nmetadata: { name: platform, namespace: platform }\n"
        f"spec:\n  context: {json.dumps(context, indent=2)}\n"
    )
    layers = {}
    for number in range(releases):
        (sources / f"release{number}.yaml").write_text(_RELEASE.format(number=number))
        reference = f"registry.example.com/apps/app{number}:1.0.0"
        version = (versions or {}).get(number, "1.0.0")
        chart = chart_archive({"app/Chart.yaml": f"apiVersion: v2\nname: app\nversion: {version}\n".encode()})
        status = (
            f"apiVersion: v1alpha1\nchartByModule:\n  main: &app {{ name: app, version: {version} }}\n  extras: *app\n"
        )
        layers[reference] = package_layer(_MANIFEST.format(number=number), status, {f"app-{version}.tgz": chart})
    write_layout(layout, layers)
    return sources, layout
