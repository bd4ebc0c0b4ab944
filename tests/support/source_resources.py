"""KuboCD resources as YAML strings, and the result of loading them as a cluster's sources."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from dataclasses import dataclass

from kubocd_gen.diagnostics.problems import Problem
from kubocd_gen.model.resources import Resource
from kubocd_gen.sources.cluster_resources import ClusterResources

API = "kubocd.kubotal.io/v1alpha1"


@dataclass(frozen=True)
class Checkout:
    """The result of loading a directory of sources."""

    resources: list[Resource]
    complete: bool
    cluster_resources: ClusterResources
    found: list[Problem]

    @property
    def said(self) -> list[str]:
        """Return the problems as `position: severity[code]: message`."""
        return [f"{one.position or '-'}: {one.severity}[{one.code}]: {one.message}" for one in self.found]

    def only(self) -> Problem:
        (one,) = self.found
        return one


Load = Callable[..., Checkout]


def release(name: str = "web", extra: str = "", metadata: str = "") -> str:
    """Return a Release as a string; `extra` are additional lines of its spec, `metadata` of its metadata."""
    package = "package:\n  repository: registry.example.com/web\n  tag: 1.0.0\n"
    return _resource("Release", name, package + textwrap.dedent(extra), metadata)


def context(name: str = "base", extra: str = "context: {a: 1}\n", metadata: str = "") -> str:
    return _resource("Context", name, textwrap.dedent(extra), metadata)


def config(name: str = "conf", extra: str = "", metadata: str = "") -> str:
    return _resource("Config", name, textwrap.dedent(extra) or "clusterRoles: []\n", metadata)


def _resource(kind: str, name: str, spec: str, metadata: str) -> str:
    below = textwrap.indent(textwrap.dedent(metadata), "  ")
    head = f"apiVersion: {API}\nkind: {kind}\nmetadata:\n  name: {name}\n{below}"
    return f"{head}spec:\n{textwrap.indent(spec, '  ').rstrip()}\n"
