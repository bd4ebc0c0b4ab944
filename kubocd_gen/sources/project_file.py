"""Load a Project from `kcd-gen.yaml` and the flags of a command."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from kubocd_gen.budget.limits import LIMITS, Limits, ceiling, moved, parse_limit, setting, worded
from kubocd_gen.budget.spending import Budget
from kubocd_gen.checkout.files import PROJECT, CheckoutFiles
from kubocd_gen.diagnostics.problems import Problem, ProblemsError, nearest
from kubocd_gen.files.paths import display_path, fixed_part
from kubocd_gen.kube_yaml.locations import find_position
from kubocd_gen.model.project import ONLY_CLUSTER, PROJECT_FILE, REPOSITORY_URL, Cluster, Flags, Project
from kubocd_gen.schema.validated_file import admit_own_text, read_own_text
from kubocd_gen.sources.project_paths import DisjointDirectories, check_paths

_NAMESPACE = re.compile(r"(?=.{1,63}\Z)[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_URL = re.compile(r"https?://\S+")


def load_project(flags: Flags, directory: Path, *, outputs: bool = True) -> Project:
    """Return the project of the project file in `directory` or its parents, overridden by the flags.

    With `flags.sources` the project is made of the flags alone. Raises ProblemsError for an invalid project file, for
    flags without anything to compile, and for paths outside of the checkout that the flags do not allow. Paths of
    outputs are checked only with `outputs`.
    """
    project = read_project(flags, directory)
    check_paths(project, outputs=outputs)
    return project


def read_project(flags: Flags, directory: Path, files: CheckoutFiles | None = None) -> Project:
    """Return the project as `load_project` does, without checking its paths.

    `files` are the files that the project can read; by default those of the checkout and those that the flags name.
    """
    if flags.sources:
        if flags.output is None:
            raise ProblemsError.of("usage", "--source requires --output, the directory to write to")
        if flags.clusters:
            raise ProblemsError.of("usage", "--cluster can't be used with --source, which replaces the project file")
        cluster = Cluster(ONLY_CLUSTER, flags.sources, flags.output)
        files = files or _files(flags, directory, directory)
        return with_flags(Project(directory, (cluster,), files=files), flags)
    path = project_path(flags, directory)
    files = files or _files(flags, directory, path.absolute().parent)
    project = _read(path, files, flags)
    if flags.clusters:
        project = replace(project, clusters=_chosen(project.clusters, flags.clusters))
    if flags.output is not None:
        if len(project.clusters) != 1:
            raise ProblemsError.of("usage", "--output requires exactly one cluster; select it with --cluster")
        project = replace(project, clusters=(replace(project.clusters[0], output=flags.output, output_place=None),))
    return with_flags(project, flags)


def project_path(flags: Flags, directory: Path) -> Path:
    """Return the project file given by the flags, or found in `directory` or its parents.

    Raises ProblemsError `missing-project`.
    """
    path = flags.project or _find(directory)
    if path is None:
        raise ProblemsError.of(
            "missing-project",
            f"no {PROJECT_FILE} found in this directory or its parents",
            hint="use --source DIR --output DIR, or create a project file with 'kcd-gen init'",
        )
    return path


def messages_root(flags: Flags) -> Path:
    """Return the directory to which paths in messages are relative, also for a project that can't be loaded."""
    try:
        return Path.cwd() if flags.sources else project_path(flags, Path.cwd()).absolute().parent
    except ProblemsError:
        return Path.cwd()


def _find(directory: Path) -> Path | None:
    for candidate in (directory, *directory.parents):
        if (candidate / PROJECT_FILE).is_file():
            return candidate / PROJECT_FILE
    return None


def with_flags(project: Project, flags: Flags) -> Project:
    """Return the project with the overrides of the flags. Raises ProblemsError `usage` for an invalid value."""
    check_namespace("--namespace", flags.namespace)
    check_namespace("--kubocd-namespace", flags.kubocd_namespace)
    if flags.repository_url is not None and not _URL.fullmatch(flags.repository_url):
        hint = f"use a URL such as {REPOSITORY_URL}"
        raise ProblemsError.of("usage", f"'{flags.repository_url}' is not a valid URL for --repository-url", hint=hint)
    overrides = {
        "namespace": flags.namespace,
        "kubocd_namespace": flags.kubocd_namespace,
        "repository_url": flags.repository_url,
    }
    changes: Any = {name: value for name, value in overrides.items() if value is not None}
    if flags.repository_url is not None:
        changes["url_place"] = None
    limits = moved(project.limits, flags.limits)
    return replace(
        project,
        clusters=tuple(replace(cluster, **changes) for cluster in project.clusters),
        vendor=flags.vendor or project.vendor,
        vendor_place=None if flags.vendor else project.vendor_place,
        limits=limits,
        budget=Budget(limits),
        dependencies=flags.dependencies or project.dependencies,
        hosts={**project.hosts, **flags.hosts},
        offline=flags.offline,
        locked=flags.locked,
        ca_file=flags.ca_file,
        cache=flags.cache,
        expand_env=flags.expand_env,
        clear_text_hosts=flags.clear_text_hosts,
    )


def check_namespace(flag: str, namespace: str | None) -> None:
    """Raise ProblemsError `usage` if the value of a flag is not a valid name for a namespace."""
    if namespace is not None and not _NAMESPACE.fullmatch(namespace):
        hint = "use at most 63 lower-case letters, digits and '-', which can't be the first or last character"
        raise ProblemsError.of("usage", f"'{namespace}' is not a valid namespace for {flag}", hint=hint)


def _chosen(clusters: Sequence[Cluster], names: Sequence[str]) -> tuple[Cluster, ...]:
    known = [cluster.name for cluster in clusters]
    for name in names:
        if name not in known:
            hint = nearest("did you mean '{}'?", name, known) or f"use one of: {', '.join(known)}"
            raise ProblemsError.of("unknown-cluster", f"the project has no cluster '{name}'", hint=hint)
    return tuple(cluster for cluster in clusters if cluster.name in names)


def _files(flags: Flags, directory: Path, root: Path) -> CheckoutFiles:
    """Return the files of the checkout that contains `root`, and those that the command line names or allows.

    Raises ProblemsError `outside-checkout` like `CheckoutFiles.naming`.
    """
    if flags.project is None or flags.sources:
        files = CheckoutFiles.around(root, flags.allow_outside)
    else:
        files = CheckoutFiles.of_named(flags.project, flags.allow_outside)
    sources = [directory / fixed_part(source) for source in flags.sources]
    return files.naming(*sources, *(one for one in (flags.output, flags.vendor) if one is not None))


def _read(path: Path, files: CheckoutFiles, flags: Flags) -> Project:
    display = display_path(path, Path.cwd())
    what = "the project file"
    text = read_own_text(path, display, files, PROJECT, what=what, code="bad-project")
    admitted = admit_own_text(text, display, what=what, schema_name="project-v1alpha1")
    root = path.absolute().parent
    clusters = tuple(
        _cluster(item, index, root, text, display) for index, item in enumerate(admitted.get("clusters", ()))
    )
    _check_clusters(clusters, text, display)
    packages = admitted.get("packages", {})
    vendor = packages.get("vendor")
    return Project(
        root=root,
        clusters=clusters,
        vendor=root / vendor if vendor else None,
        mirrors=packages.get("mirrors", {}),
        limits=_limits(packages.get("limits", {}), flags.limits, text, display),
        dependencies=admitted["dependencies"],
        charts=admitted["charts"],
        emit_oci_repository=admitted["emitOCIRepository"],
        hosts=admitted.get("hosts", {}),
        pin_digest=admitted["pinDigest"],
        files=files,
        vendor_place=partial(find_position, text, display, 0, ("packages", "vendor")),
    )


def _limits(limits: Mapping[str, int | str], flags: Mapping[str, int], text: str, display: str) -> Limits:
    """Return the limits of a project file. It is not trusted, so it can't raise them above `ceiling`."""
    changes, errors = {}, []
    for name, value in limits.items():
        position = find_position(text, display, 0, ("packages", "limits", name))
        try:
            changes[name] = parse_limit(name, str(value))
        except ValueError as error:
            reason = str(error).partition(", not '")[0]  # the position shows the value
            errors.append(Problem("invalid-value", f"packages.limits: {reason}", position=position))
            continue
        highest = ceiling(name)
        if changes[name] > highest and name not in flags:
            errors.append(
                Problem(
                    "invalid-value",
                    f"packages.limits: the project file can't raise '{name}' above {worded(name, highest)}",
                    position=position,
                    hint=f"if you trust the packages, use --limit {setting(name, highest, changes[name])}",
                )
            )
    if errors:
        raise ProblemsError(*errors)
    return moved(LIMITS, changes)


def _cluster(item: Mapping[str, Any], index: int, root: Path, text: str, display: str) -> Cluster:
    path = ("clusters", index, "sources")
    sources = enumerate(item["sources"])
    return Cluster(
        name=item["name"],
        sources=tuple(item["sources"]),
        output=root / item["output"],
        namespace=item["namespace"],
        kubocd_namespace=item.get("kubocdNamespace"),
        repository_url=item["repositoryURL"],
        places={source: partial(find_position, text, display, 0, (*path, number)) for number, source in sources},
        url_place=partial(find_position, text, display, 0, ("clusters", index, "repositoryURL")),
        output_place=partial(find_position, text, display, 0, ("clusters", index, "output")),
    )


def _check_clusters(clusters: Sequence[Cluster], text: str, display: str) -> None:
    errors = []
    rename = "rename one of them, because '--cluster' selects by name"

    def error(message: str, code: str, *keys: str | int, hint: str | None = None) -> None:
        errors.append(Problem(code, message, position=find_position(text, display, 0, keys), hint=hint))

    if not clusters:
        hint = "add 'clusters: [{name: …, sources: […], output: …}]', or use --source and --output"
        error("the project has no clusters", "missing-field", hint=hint)
    first: dict[str, int] = {}
    outputs = DisjointDirectories()
    for index, cluster in enumerate(clusters):
        if first.setdefault(cluster.name, index) != index:
            message = f"two clusters have the name '{cluster.name}'"
            error(message, "duplicate-cluster", "clusters", index, "name", hint=rename)
        if (other := outputs.add(cluster.name, cluster.output)) is not None:
            shown = display_path(cluster.output, Path.cwd())
            message = f"the output '{shown}' overlaps the output of the cluster '{other}'"
            hint = "give each cluster its own output directory"
            error(message, "duplicate-cluster", "clusters", index, "output", hint=hint)
    if errors:
        raise ProblemsError(*errors)
