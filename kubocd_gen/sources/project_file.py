"""What is to be compiled: `kcd-gen.yaml` and the flags of a command, as one Project."""

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
    """The project file found from `directory` upward with the flags over it; with `sources`, from the flags alone.

    Raises ProblemsError for a project file with problems, for flags that name nothing to compile, and for
    paths that lead out of the checkout and that the flags do not allow. Without `outputs`, for a command that has
    nothing to do with them, theirs are not looked at.
    """
    project = read_project(flags, directory)
    check_paths(project, outputs=outputs)
    return project


def read_project(flags: Flags, directory: Path, files: CheckoutFiles | None = None) -> Project:
    """The same without a look at where its paths lead. `files` are those of the project, if it is not the user's."""
    if flags.sources:
        if flags.output is None:
            raise ProblemsError(Problem("usage", "--source needs --output, the folder to write to"))
        if flags.clusters:
            raise ProblemsError(
                Problem("usage", "--cluster chooses among those of a project file; --source takes its place")
            )
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
            raise ProblemsError(Problem("usage", "--output needs one cluster; choose it with --cluster"))
        project = replace(project, clusters=(replace(project.clusters[0], output=flags.output, output_place=None),))
    return with_flags(project, flags)


def project_path(flags: Flags, directory: Path) -> Path:
    """The project file that the flags name, or that is found. Raises ProblemsError `missing-project`."""
    path = flags.project or _find(directory)
    if path is None:
        raise ProblemsError(
            Problem(
                "missing-project",
                f"there is no {PROJECT_FILE} here or in a directory above",
                hint="give --source DIR --output DIR, or write a project file: 'kcd-gen init' does",
            )
        )
    return path


def messages_root(flags: Flags) -> Path:
    """Where paths in messages begin, as far as it is known without a project that can be read."""
    try:
        return Path.cwd() if flags.sources else project_path(flags, Path.cwd()).absolute().parent
    except ProblemsError:
        return Path.cwd()


def _find(directory: Path) -> Path | None:
    for folder in (directory, *directory.parents):
        if (folder / PROJECT_FILE).is_file():
            return folder / PROJECT_FILE
    return None


def with_flags(project: Project, flags: Flags) -> Project:
    """The project as the flags change it. Raises ProblemsError `usage` for a value that can't be."""
    check_namespace("--namespace", flags.namespace)
    check_namespace("--kubocd-namespace", flags.kubocd_namespace)
    if flags.repository_url is not None and not _URL.fullmatch(flags.repository_url):
        hint = f"it is an address such as {REPOSITORY_URL}"
        raise ProblemsError(Problem("usage", f"--repository-url '{flags.repository_url}' is not a URL", hint=hint))
    given = {
        "namespace": flags.namespace,
        "kubocd_namespace": flags.kubocd_namespace,
        "repository_url": flags.repository_url,
    }
    changes: Any = {name: value for name, value in given.items() if value is not None}
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
    """Raises ProblemsError `usage` where a flag gives what no namespace can be named."""
    if namespace is not None and not _NAMESPACE.fullmatch(namespace):
        hint = "lower-case letters, digits and inner '-', at most 63 characters"
        raise ProblemsError(Problem("usage", f"{flag} '{namespace}' is not a name for a namespace", hint=hint))


def _chosen(clusters: Sequence[Cluster], names: Sequence[str]) -> tuple[Cluster, ...]:
    known = [cluster.name for cluster in clusters]
    for name in names:
        if name not in known:
            hint = nearest("did you mean '{}'?", name, known) or f"the project has: {', '.join(known)}"
            raise ProblemsError(Problem("unknown-cluster", f"the project has no cluster '{name}'", hint=hint))
    return tuple(cluster for cluster in clusters if cluster.name in names)


def _files(flags: Flags, directory: Path, root: Path) -> CheckoutFiles:
    """The files of the checkout that `root` is in, and those that the command line names or allows.

    Raises ProblemsError `outside-checkout` as `CheckoutFiles.naming` does.
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


def _limits(given: Mapping[str, int | str], flags: Mapping[str, int], text: str, display: str) -> Limits:
    """The limits of a project file, which is part of what they guard against: it can't raise them at will."""
    changes, errors = {}, []
    for name, value in given.items():
        position = find_position(text, display, 0, ("packages", "limits", name))
        try:
            changes[name] = parse_limit(name, str(value))
        except ValueError as error:
            said = str(error).partition(", not '")[0]  # the value is not repeated
            errors.append(Problem("invalid-value", f"packages.limits: {said}", position=position))
            continue
        highest = ceiling(name)
        if changes[name] > highest and name not in flags:
            errors.append(
                Problem(
                    "invalid-value",
                    f"packages.limits: the project file can't raise '{name}' over {worded(name, highest)}",
                    position=position,
                    hint=f"if the packages can be trusted, give --limit {setting(name, highest, changes[name])}",
                )
            )
    if errors:
        raise ProblemsError(*errors)
    return moved(LIMITS, changes)


def _cluster(item: Mapping[str, Any], index: int, root: Path, text: str, display: str) -> Cluster:
    where = ("clusters", index, "sources")
    sources = enumerate(item["sources"])
    return Cluster(
        name=item["name"],
        sources=tuple(item["sources"]),
        output=root / item["output"],
        namespace=item["namespace"],
        kubocd_namespace=item.get("kubocdNamespace"),
        repository_url=item["repositoryURL"],
        places={source: partial(find_position, text, display, 0, (*where, number)) for number, source in sources},
        url_place=partial(find_position, text, display, 0, ("clusters", index, "repositoryURL")),
        output_place=partial(find_position, text, display, 0, ("clusters", index, "output")),
    )


def _check_clusters(clusters: Sequence[Cluster], text: str, display: str) -> None:
    errors = []
    rename = "rename one of them: '--cluster' chooses by name"

    def error(message: str, code: str, *keys: str | int, hint: str | None = None) -> None:
        errors.append(Problem(code, message, position=find_position(text, display, 0, keys), hint=hint))

    if not clusters:
        hint = "add 'clusters: [{name: …, sources: […], output: …}]', or give --source and --output"
        error("the project has no clusters", "missing-field", hint=hint)
    first: dict[str, int] = {}
    apart = DisjointDirectories()
    for index, cluster in enumerate(clusters):
        if first.setdefault(cluster.name, index) != index:
            message = f"two clusters share the name '{cluster.name}'"
            error(message, "duplicate-cluster", "clusters", index, "name", hint=rename)
        if (other := apart.add(cluster.name, cluster.output)) is not None:
            shown = display_path(cluster.output, Path.cwd())
            message = f"the output '{shown}' and that of the cluster '{other}' lie in each other"
            hint = "give each cluster a folder of its own"
            error(message, "duplicate-cluster", "clusters", index, "output", hint=hint)
    if errors:
        raise ProblemsError(*errors)
