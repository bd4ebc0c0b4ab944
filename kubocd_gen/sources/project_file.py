"""Load a Project from `kcd-gen.yaml` and the flags of a command, and check its paths.

The paths of a project must be inside the checkout or allowed by the user, and must not overlap.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from kubocd_gen.budget.limits import LIMITS, Limits, ceiling, moved, parse_limit, setting, worded
from kubocd_gen.budget.spending import Budget
from kubocd_gen.checkout.files import PROJECT, CheckoutFiles
from kubocd_gen.diagnostics.problems import MOST, Position, Problem, ProblemsError, nearest
from kubocd_gen.files.paths import display_path, fixed_part, shown_path
from kubocd_gen.kube_yaml.locations import find_position
from kubocd_gen.model.project import (
    ONLY_CLUSTER,
    PROJECT_FILE,
    STDIN,
    Cluster,
    Flags,
    Project,
    RenderedSource,
    host_key,
    is_address,
    is_host_name,
)
from kubocd_gen.schema.validated_file import admit_own_text, read_own_text
from kubocd_gen.sources.delivery_settings import delivery_of, refuse_contradictions, with_delivery_flags
from kubocd_gen.sources.project_paths import DisjointDirectories, check_paths

if TYPE_CHECKING:
    from kubocd_gen.model.delivery import Delivery

Locate: TypeAlias = Callable[
    [tuple[str | int, ...]], Position
]  # the position of the value at a path of the project file


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
            raise ProblemsError.of("usage", "--source requires --output", hint="add --output DIR, where to write to")
        if flags.clusters:
            hint = "remove one of them: --source replaces the project file and its clusters"
            raise ProblemsError.of("usage", "--cluster cannot be used with --source", hint=hint)
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
    candidates = (above / PROJECT_FILE for above in (directory, *directory.parents))
    path = flags.project or next((one for one in candidates if one.is_file()), None)
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


def with_flags(project: Project, flags: Flags) -> Project:
    """Return the project with the overrides of the flags."""
    overrides = {
        "namespace": flags.namespace,
        "kubocd_namespace": flags.kubocd_namespace,
        "repository_url": flags.repository_url,
    }
    changes: Any = {name: value for name, value in overrides.items() if value is not None}
    if flags.repository_url is not None:
        changes["url_place"] = None
    if flags.ignore_kustomizations:
        changes["ignore_kustomizations"] = True
    limits = moved(project.limits, flags.limits)
    changed = replace(
        project,
        clusters=tuple(
            replace(
                cluster,
                **changes,
                delivery=with_delivery_flags(cluster.delivery, flags),
                flux=flags.flux or cluster.flux,
                hosts=_merged(cluster.hosts, flags.hosts),
                exclude=(*cluster.exclude, *flags.exclude),
            )
            for cluster in project.clusters
        ),
        vendor=flags.vendor or project.vendor,
        vendor_place=None if flags.vendor else project.vendor_place,
        limits=limits,
        budget=Budget(limits),
        dependencies=flags.dependencies or project.dependencies,
        offline=flags.offline,
        locked=flags.locked,
        ca_file=flags.ca_file,
        cache=flags.cache,
        expand_env=flags.expand_env,
        clear_text_hosts=flags.clear_text_hosts,
    )
    refuse_contradictions(changed)
    return changed


def only_cluster(project: Project, message: str) -> Cluster:
    """Return the cluster of a project that has one. Raises ProblemsError `usage` with `message` if it has several."""
    if len(project.clusters) > 1:
        names = ", ".join(cluster.name for cluster in project.clusters)
        raise ProblemsError.of("usage", message, hint=f"choose one with --cluster: {names}")
    return project.clusters[0]


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
    sources = [directory / fixed_part(source) for source in flags.sources if source != STDIN]
    return files.naming(*sources, *(one for one in (flags.output, flags.vendor) if one is not None))


def _read(path: Path, files: CheckoutFiles, flags: Flags) -> Project:
    display = display_path(path, Path.cwd())
    what = "the project file"
    text = read_own_text(path, display, files, PROJECT, what=what, code="bad-project")
    hint = "fix the field, or use another file: a project file has 'kind: Project', and 'kcd-gen init' writes one"
    admitted = admit_own_text(text, display, what=what, schema_name="project-v1alpha1", identity_hint=hint)
    root = path.absolute().parent
    locate = partial(find_position, text, display, 0)
    _check_characters(admitted, locate)
    _check_hosts(admitted, locate)
    hosts = admitted.get("hosts", {})
    clusters = tuple(
        _cluster(
            {"flux": admitted.get("flux"), "namespaces": admitted["namespaces"], **item},
            index,
            root,
            hosts,
            delivery_of(admitted, item, index, locate),
            locate,
        )
        for index, item in enumerate(admitted.get("clusters", ()))
    )
    _check_clusters(clusters, locate)
    packages = admitted.get("packages", {})
    vendor = packages.get("vendor")
    return Project(
        root=root,
        clusters=clusters,
        outputs=tuple(cluster.output for cluster in clusters),
        vendor=root / vendor if vendor else None,
        mirrors=_mirrors(packages.get("mirrors", {}), locate),
        limits=_limits(packages.get("limits", {}), flags.limits, locate),
        dependencies=admitted["dependencies"],
        charts=admitted["charts"],
        emit_oci_repository=admitted.get("emitOCIRepository"),
        pin_digest=admitted["pinDigest"],
        files=files,
        vendor_place=partial(locate, ("packages", "vendor")),
    )


def _check_characters(admitted: Mapping[str, Any], locate: Locate) -> None:
    """Raise ProblemsError if a path contains the character U+0000, which no file name can contain."""
    paths: dict[tuple[str | int, ...], str] = {("packages", "vendor"): admitted.get("packages", {}).get("vendor", "")}
    for index, item in enumerate(admitted.get("clusters", ())):
        paths["clusters", index, "output"] = item["output"]
        for number, source in enumerate(item["sources"]):
            given = [*source.values()] if isinstance(source, Mapping) else [source]
            if len(given) != 1 or not given[0]:
                hint = "write a path, {kustomize: DIR} or {flux: DIR}"
                position = locate(("clusters", index, "sources", number))
                raise ProblemsError.of("invalid-value", "this is not a source", position, hint)
            paths["clusters", index, "sources", number] = given[0]
    message = "a path can't contain the character U+0000"
    found = [Problem("invalid-value", message, locate(keys)) for keys, path in paths.items() if "\0" in path]
    message = "standard input can be a source only on the command line"
    hint = "use --source -, or write './-' for a file with this name"
    found += [Problem("invalid-value", message, locate(keys), hint) for keys, path in paths.items() if path == STDIN]
    if found:
        raise ProblemsError(*found)


def _mirrors(mirrors: Mapping[str, str], locate: Locate) -> Mapping[str, str]:
    """Return the mirrors. Raises ProblemsError `invalid-value` for each that is not valid."""
    if not mirrors:
        return mirrors
    from kubocd_gen.oci.mirrors import mirror_defects

    errors = [
        Problem("invalid-value", f"packages.mirrors: {message}", locate(("packages", "mirrors", key)), hint)
        for key, message, hint in mirror_defects(mirrors)
    ]
    if errors:
        raise ProblemsError(*errors)
    return mirrors


def _limits(limits: Mapping[str, int | str], flags: Mapping[str, int], locate: Locate) -> Limits:
    """Return the limits of a project file. It is not trusted, so it can't raise them above `ceiling`."""
    changes, errors = {}, []
    for name, value in limits.items():
        position = locate(("packages", "limits", name))
        try:
            changes[name] = parse_limit(name, str(value))
        except ValueError as error:
            reason = str(error).partition(", not '")[0]  # the position shows the value
            errors.append(Problem("invalid-value", f"packages.limits: {reason}", position))
            continue
        highest = ceiling(name)
        if changes[name] > highest and name not in flags:
            message = f"packages.limits: the project file cannot raise '{name}' above {worded(name, highest)}"
            hint = f"if you trust the packages, use --limit {setting(name, highest, changes[name])}"
            errors.append(Problem("invalid-value", message, position, hint))
    if errors:
        raise ProblemsError(*errors)
    return moved(LIMITS, changes)


def _check_hosts(admitted: Mapping[str, Any], locate: Locate) -> None:
    """Raise ProblemsError for names and addresses that `resolveDNS` could not use."""
    hosts: dict[tuple[str | int, ...], Mapping[str, str]] = {("hosts",): admitted.get("hosts", {})}
    for index, item in enumerate(admitted.get("clusters", ())):
        hosts["clusters", index, "hosts"] = item.get("hosts", {})
    errors = []
    for path, addresses in hosts.items():
        for name, address in addresses.items():
            if not is_host_name(host_key(name).removeprefix(".")):
                message = (
                    "a key of 'hosts' must be a host name such as ldap.example.com, or .example.com for all below it"
                )
                errors.append(Problem("invalid-value", message, locate((*path, name))))
            if not is_address(address):
                message = "an address in 'hosts' must be an IPv4 or IPv6 address such as 10.1.2.3"
                errors.append(Problem("invalid-value", message, locate((*path, name))))
            if len(errors) >= MOST:
                raise ProblemsError(*errors)
    if errors:
        raise ProblemsError(*errors)


def _merged(hosts: Mapping[str, str], others: Mapping[str, str]) -> Mapping[str, str]:
    """Return the addresses of both by name; those of `others` take precedence."""
    return {host_key(name): address for name, address in (*hosts.items(), *others.items())}


def _cluster(
    item: Mapping[str, Any], index: int, root: Path, hosts: Mapping[str, str], delivery: Delivery, locate: Locate
) -> Cluster:
    path = ("clusters", index)
    plain = {number: source for number, source in enumerate(item["sources"]) if isinstance(source, str)}
    return Cluster(
        name=item["name"],
        sources=tuple(plain.values()),
        rendered=tuple(RenderedSource(*next(iter(one.items()))) for one in item["sources"] if isinstance(one, Mapping)),
        output=root / item["output"],
        namespace=item["namespace"],
        kubocd_namespace=item.get("kubocdNamespace"),
        repository_url=item["repositoryURL"],
        delivery=delivery,
        flux=item["flux"],
        hosts=_merged(hosts, item.get("hosts", {})),
        exclude=tuple(item.get("exclude", ())),
        ignore_kustomizations=item["ignoreKustomizations"],
        namespaces=item["namespaces"],
        places={
            (source if isinstance(source, str) else str(RenderedSource(*next(iter(source.items()))))): partial(
                locate, (*path, "sources", number)
            )
            for number, source in enumerate(item["sources"])
        },
        url_place=partial(locate, (*path, "repositoryURL")),
        output_place=partial(locate, (*path, "output")),
        delivery_place=partial(locate, (*path, "delivery") if "delivery" in item else ("delivery",)),
    )


def _check_clusters(clusters: Sequence[Cluster], locate: Locate) -> None:
    errors = []
    if not clusters:
        hint = "add 'clusters: [{name: …, sources: […], output: …}]', or use --source and --output"
        errors.append(Problem("missing-field", "the project has no clusters", locate(()), hint))
    first: dict[str, int] = {}
    outputs = DisjointDirectories()
    for index, cluster in enumerate(clusters):
        if first.setdefault(cluster.name, index) != index:
            message = f"two clusters have the name '{cluster.name}'"
            hint = "rename one of them, because '--cluster' selects by name"
            errors.append(Problem("duplicate-cluster", message, locate(("clusters", index, "name")), hint))
        if (other := outputs.add(cluster.name, cluster.output)) is not None:
            message = f"the output '{shown_path(cluster.output)}' overlaps the output of the cluster '{other}'"
            hint = "give each cluster its own output directory"
            errors.append(Problem("duplicate-cluster", message, locate(("clusters", index, "output")), hint))
    if errors:
        raise ProblemsError(*errors)
