"""Render the server's Kubernetes manifests and the Flux Kustomizations that apply them from templates/server.

All values were validated before, or are quoted by the YAML emitter.
"""

from __future__ import annotations

from collections.abc import Mapping

from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.kube_yaml.reader import read_document
from kubocd_gen.model.delivery import FluxSource, Mode
from kubocd_gen.package_data import scaffolds
from kubocd_gen.server.container import IMAGE_NAME, PORT, SCRATCH, USER
from kubocd_gen.server.service import Service

KUSTOMIZATION = "kustomization.yaml"
MANIFESTS = (
    KUSTOMIZATION,
    "namespace.yaml",
    "serviceaccount.yaml",
    "deployment.yaml",
    "service.yaml",
    "poddisruptionbudget.yaml",
    "networkpolicy.yaml",
)
_IMAGE_KEYS = ("newName", "newTag", "digest")


def server_manifests(service: Service, *, image: Mapping[str, str], flux_namespace: str) -> dict[str, str]:
    """Return the files of the directory `server` by name. `image` is a value of `image_entry`."""
    values = {
        "service": service,
        "image": image,
        "flux_namespace": flux_namespace,
        "image_name": IMAGE_NAME,
        "port": PORT,
        "user": USER,
        "scratch": SCRATCH,
    }
    templates = scaffolds("server")
    return {name: templates.get_template(f"{name}.j2").render(values) for name in MANIFESTS}


def flux_kustomizations(
    *,
    charts: str | None,
    releases: str,
    namespace: str,
    source: FluxSource,
    server_path: str,
    releases_path: str,
    service_account: str | None = None,
    mode: Mode = "server",
) -> str:
    """Return the two Kustomizations with the names `charts` and `releases`; paths are relative to the source's root.

    Without `charts`, which applies the server, only the Kustomization of the releases is returned. `mode` is how charts
    reach Flux.
    """
    values = {
        "charts": charts,
        "releases": releases,
        "namespace": namespace,
        "source": source,
        "server_path": f"./{server_path}",
        "releases_path": f"./{releases_path}",
        "service_account": service_account,
        "mode": mode,
    }
    return scaffolds("server").get_template("flux.yaml.j2").render(values)


def image_entry(written: str | None, repository: str | None) -> dict[str, str]:
    """Return the values of the server's image for `images:`, from an existing kustomization.yaml `written`.

    If `repository` differs from the existing one, only `repository` is returned, because a digest is only valid for the
    repository that it was pushed to.
    """
    entry = _entry(written) if written else {}
    if repository and entry.get("newName") != repository:
        return {"newName": repository}
    return entry


def _entry(text: str) -> dict[str, str]:
    try:
        value = read_document(text, KUSTOMIZATION)
    except ProblemsError:
        return {}
    images = value.get("images") if isinstance(value, Mapping) else None
    for one in images if isinstance(images, list) else ():
        if isinstance(one, Mapping) and one.get("name") == IMAGE_NAME:
            return {key: found for key in _IMAGE_KEYS if isinstance(found := one.get(key), str)}
    return {}
