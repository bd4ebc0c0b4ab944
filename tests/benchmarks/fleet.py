"""A synthetic fleet in the proportions of a real platform, the Open Knowledge Data Platform (okdp).

24 packages with one or two modules, whose templates of 70 lines print 50 to 100 lines of values; a Context of 45 KB
that every Release uses by default, and two of 2 KB, each of which half of the Releases use.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from tests.support.images import chart_archive, package_layer, write_layout

PACKAGES = 24
ZONES = ("north", "south")
_REPOSITORY = "registry.example.com/platform"
_SERVICES = 96  # 40 KB of context

_PARAMETERS = """\
schema:
  parameters:
    properties:
      host: { type: string, required: true }
      replicas: { type: integer, default: 2, minimum: 1 }
      memory: { type: number, default: 1.5, multipleOf: 0.25 }
      persistence:
        type: object
        properties:
          enabled: { type: boolean, default: true }
          size: { type: string, default: 10Gi }
      admins: { type: array, items: { type: string } }
      labels: { type: object, properties: {}, additionalProperties: true }
  context:
    properties:
      ingress: { type: object, required: true, properties: { suffix: { type: string, required: true } } }
      zone: { type: object, required: true, properties: { name: { type: string, required: true } } }
"""

_MAIN = """\
{{- $name := printf "%v" .Release.metadata.name -}}
{{- $domain := printf "%v.%v" .Context.zone.name .Context.ingress.suffix -}}
{{- $database := index .Context.services "serviceINDEX" -}}
{{- $uri := $database.uri
  | replace "{{ .Release.metadata.name }}" $name
  | replace "{{ .Context.ingress.suffix }}" $domain -}}
replicaCount: {{ .Parameters.replicas }}
fullnameOverride: {{ $name }}
image:
  repository: {{ (imageRedirect "quay.io/example/appNUMBER:1.0.0" $).repository }}
  tag: {{ (imageRedirect "quay.io/example/appNUMBER:1.0.0" $).tag | quote }}
  pullPolicy: IfNotPresent
commonLabels:
  app.kubernetes.io/part-of: {{ .Context.platform.name | quote }}
  {{- with .Parameters.labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
ingress:
  enabled: true
  className: {{ .Context.ingress.className }}
  hosts:
    - host: {{ .Parameters.host }}.{{ $domain }}
      paths: [{ path: /, pathType: Prefix }]
  tls:
    - secretName: {{ $name }}-tls
      hosts: [{{ .Parameters.host }}.{{ $domain }}]
  annotations:
    cert-manager.io/cluster-issuer: {{ .Context.ingress.issuer }}
    nginx.ingress.kubernetes.io/proxy-body-size: {{ mul .Parameters.replicas 8 }}m
resources:
  requests: { cpu: 100m, memory: {{ mulf .Parameters.memory 512 | int }}Mi }
  limits: { cpu: "1", memory: {{ mulf .Parameters.memory 1024 | int }}Mi }
persistence:
  enabled: {{ .Parameters.persistence.enabled }}
  {{- if .Parameters.persistence.enabled }}
  size: {{ .Parameters.persistence.size }}
  storageClass: {{ .Context.platform.storageClass }}
  {{- end }}
database:
  uri: {{ $uri | quote }}
  existingSecret: {{ $database.credentials.secret }}
  userKey: {{ $database.credentials.user }}
  passwordKey: {{ $database.credentials.password }}
oidc:
  issuer: https://login.{{ $domain }}/realms/{{ .Context.zone.realm }}
  clientId: {{ $name }}
  admins: {{ .Parameters.admins | default list | toJson }}
extraConfig: |
  # the settings of {{ $name }}
  server:
    address: 0.0.0.0
    timeout: 30s
  features:
  {{- range $index, $feature := .Context.zone.features }}
    - {{ $index }}-{{ $feature }}
  {{- end }}
  audit: {{ .Context.zone.audit }}
env:
  {{- range $key, $value := .Context.zone.variables }}
  - name: {{ $key }}
    value: {{ $value | quote }}
  {{- end }}
services:
  {{- range $key, $service := .Context.services }}
  {{- if eq $service.owner "teamNUMBER" }}
  {{ $key }}:
    url: {{ $service.uri
      | replace "{{ .Release.metadata.name }}" $name
      | replace "{{ .Context.ingress.suffix }}" $domain }}
    secret: {{ $service.credentials.secret }}
  {{- end }}
  {{- end }}
nodeSelector: {{ .Context.zone.nodeSelector | toJson }}
"""

_EXTRAS = """\
name: "{{ .Release.metadata.name }}-extras"
metrics:
  enabled: "{{ gt .Parameters.replicas 1.0 }}"
  interval: 30s
  labels: { release: prometheus, zone: "{{ .Context.zone.name }}" }
policies:
  - { name: default, ingress: "{{ .Context.ingress.className }}" }
"""


def write_fleet(directory: Path, releases: int) -> tuple[Path, Path]:
    """Write the sources of a fleet and the image layout of its packages. Returns both directories."""
    sources, layout = directory / "sources", directory / "layout"
    (sources / "releases").mkdir(parents=True)
    for name, content in _contexts().items():
        _write(sources / f"{name}.yaml", "Context", name, "platform", {"context": content})
    _write(
        *(sources / "config.yaml", "Config", "config", "kubocd"),
        {"defaultContexts": [{"name": "platform", "namespace": "platform"}]},
    )
    for number in range(releases):
        name = f"app{number % PACKAGES}-{number:05}"
        _write(sources / "releases" / f"{name}.yaml", "Release", name, f"team{number % 7}", _release(number))
    layers = {
        f"{_REPOSITORY}/app{number}:1.0.0": package_layer(
            _manifest(number),
            f"apiVersion: v1alpha1\nchartByModule:\n  main: &app {{ name: app{number}, version: 1.0.0 }}\n"
            + ("  extras: *app\n" if number % 2 else ""),
            {f"app{number}-1.0.0.tgz": chart_archive({f"app{number}/Chart.yaml": _chart(number)})},
        )
        for number in range(PACKAGES)
    }
    write_layout(layout, layers)
    return sources, layout


def _write(path: Path, kind: str, name: str, namespace: str, spec: dict[str, Any]) -> None:
    """Write a resource as people do: in block style, which takes longer to read than JSON."""
    head = {"apiVersion": "kubocd.kubotal.io/v1alpha1", "kind": kind}
    document = {**head, "metadata": {"name": name, "namespace": namespace}, "spec": spec}
    path.write_text(yaml.dump(document, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper), sort_keys=False))


def _contexts() -> dict[str, dict[str, Any]]:
    services = {
        f"service{number:03}": {
            "owner": f"team{number % PACKAGES}",
            "description": f"The service number {number} of the platform, which some of the packages use",
            "uri": "https://{{ .Release.metadata.name }}" + f"-{number}.{{{{ .Context.ingress.suffix }}}}:8443/api/v1",
            "credentials": {"secret": f"creds-service{number:03}", "user": "username", "password": "password"},
            "provider": {"kind": "postgresql", "size": 10 + number, "roles": ["reader", "writer"]},
        }
        for number in range(_SERVICES)
    }
    ingress = {"suffix": "apps.example.com", "className": "nginx", "issuer": "default-issuer"}
    platform = {"name": "Example Platform", "storageClass": "standard"}
    zones = {
        f"zone-{name}": {
            "zone": {
                "name": name,
                "realm": f"realm-{name}",
                "audit": True,
                "features": [f"feature-of-{name}-{number}" for number in range(24)],
                "variables": {f"ZONE_{number}": f"the value {number} of {name}" for number in range(20)},
                "nodeSelector": {"topology.example.com/zone": name},
            }
        }
        for name in ZONES
    }
    return {"platform": {"ingress": ingress, "platform": platform, "services": services}, **zones}


def _release(number: int) -> dict[str, Any]:
    return {
        "description": f"The application {number}",
        "package": {"repository": f"{_REPOSITORY}/app{number % PACKAGES}", "tag": "1.0.0", "interval": "30m"},
        "parameters": {
            "host": f"host{number}",
            "replicas": 1 + number % 3,
            "persistence": {"enabled": number % 5 > 0},
            "admins": [f"admin{number}@example.com", "platform@example.com"],
            "labels": {"example.com/cost-center": f"cc-{number % 11}"},
        },
        "contexts": [{"name": f"zone-{ZONES[number // PACKAGES % len(ZONES)]}", "namespace": "platform"}],
        "targetNamespace": f"apps-{number % 40}",
        "createNamespace": True,
    }


def _manifest(number: int) -> str:
    source = f"{{ helmRepository: {{ url: https://charts.example.com, chart: app{number}, version: 1.0.0 }} }}"
    main = _MAIN.replace("NUMBER", str(number)).replace("INDEX", f"{number:03}")
    lines = [
        "apiVersion: v1alpha1",
        "type: Package",
        f"name: app{number}",
        "tag: 1.0.0",
        f"description: The application {number}",
        'usage: { text: "https://{{ .Parameters.host }}.{{ .Context.ingress.suffix }}" }',
        _PARAMETERS + "modules:",
        "  - name: main",
        f"    source: {source}",
        "    timeout: 10m",
        "    values: |",
        *(f"      {line}" for line in main.splitlines()),
    ]
    if number % 2:
        lines += ["  - name: extras", f"    source: {source}", "    dependsOn: [main]", "    values:"]
        lines += [f"      {line}" for line in _EXTRAS.splitlines()]
    return "\n".join([*lines, f"roles: [app{number}]", "dependencies: []", ""])


def _chart(number: int) -> bytes:
    return json.dumps({"apiVersion": "v2", "name": f"app{number}", "version": "1.0.0"}).encode()
