"""`kcd-gen package`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import click

from kubocd_gen.budget.limits import LIMITS, Limits, moved
from kubocd_gen.budget.spending import Budget
from kubocd_gen.cli.command import Argument, Flag, command, options
from kubocd_gen.cli.console import PUBLISHED, print_json, print_problems
from kubocd_gen.cli.options import CompilingOptions, JsonOptions, OfflineOptions, QuietOptions, RegistryOptions
from kubocd_gen.cli.profile_options import ProfileOptions
from kubocd_gen.cli.terminal import progress
from kubocd_gen.diagnostics.problems import Problem, Problems, ProblemsError
from kubocd_gen.diagnostics.text import packages_report
from kubocd_gen.processes.children import scratch

if TYPE_CHECKING:  # `--help` needs none of them
    from kubocd_gen.network.settings import Network
    from kubocd_gen.network.transport import Transport
    from kubocd_gen.packaging.build import Published

_NO_PREFIX = Problem(
    "usage",
    "the repository prefix of the packages is missing",
    hint="set it with --repo-prefix quay.io/acme/packages or OCI_REPO_PREFIX",
)


@options
class PackageCommandOptions(
    RegistryOptions, OfflineOptions, JsonOptions, QuietOptions, CompilingOptions, ProfileOptions
):
    """`kcd-gen package`."""

    manifests: Annotated[tuple[Path, ...], Argument("MANIFEST|DIR...")]
    repo_prefix: Annotated[
        str | None,
        Flag(
            "The repository prefix of the packages, such as quay.io/acme/packages. [env var: OCI_REPO_PREFIX]",
            short="-r",
            variables=("OCI_REPO_PREFIX",),
            metavar="PREFIX",
        ),
    ] = None
    output: Annotated[
        Path | None,
        Flag("Write to this OCI image layout instead of pushing; created if it does not exist.", metavar="LAYOUT"),
    ] = None
    force: Annotated[bool, Flag("Move a tag that already refers to another image.")] = False
    insecure: Annotated[bool, Flag("Push over plain HTTP.")] = False
    offline: Annotated[bool, Flag("Never use the network: only local charts and --output.")] = False


@command(PackageCommandOptions)
def package(options: PackageCommandOptions) -> int:
    """Build KuboCD package images from manifests and push them to a registry.

    DIR stands for all package manifests in it. All manifests are checked and all charts fetched before anything is
    pushed. If there is any error, nothing is pushed. Images are reproducible: the same manifests and charts give the
    same bytes. Their timestamp is SOURCE_DATE_EPOCH, or that of the newest file in their charts. A tag that already
    refers to another image is not moved.

    \b
    kcd-gen package podinfo.yaml --repo-prefix quay.io/acme/packages
    kcd-gen package packages -r quay.io/acme/packages -j 4              # a directory, in parallel
    kcd-gen package podinfo.yaml -r quay.io/acme/packages --output vendor/packages
    kcd-gen package podinfo.yaml -r localhost:5000/dev --insecure --force

    The chart of a module comes from a Helm repository, an OCI registry, Git or a local directory. Credentials come from
    KCD_OCI_<HOST>_USER and KCD_OCI_<HOST>_SECRET (QUAY_IO for quay.io), or from Docker's configuration.
    """
    problems = Problems()
    outcomes: list[Published] = []
    with problems.collect():
        outcomes = _package(options, problems)
    if options.format == "json":
        print_json(packages_report("package", [_entry(one) for one in outcomes], list(problems)))
    elif not options.quiet:
        for one in outcomes:
            if one.change is not None and one.image is not None:
                click.echo(f"{PUBLISHED[one.change]} {one.reference} {one.image.digest}")
    return print_problems(problems, quiet=options.quiet)


def _check_prefix(prefix: str) -> None:
    """Raise ProblemsError `usage` for a prefix with a scheme or a tag; other errors show in the whole reference."""
    if "://" in prefix:
        hint = "remove the scheme, as in quay.io/acme/packages"
        raise ProblemsError.of("usage", f"--repo-prefix '{prefix}' starts with a scheme", hint=hint)
    if "/" in prefix and ":" in prefix.rpartition("/")[2]:
        hint = "remove the tag: that of each package is in its manifest"
        raise ProblemsError.of("usage", f"--repo-prefix '{prefix}' contains a tag", hint=hint)


def _package(options: PackageCommandOptions, problems: Problems) -> list[Published]:
    from kubocd_gen.archives.reproducible import source_date
    from kubocd_gen.helm.engine import Helm
    from kubocd_gen.helm.process import find_helm
    from kubocd_gen.oci.layout_writer import LayoutWriter
    from kubocd_gen.oci.registry import Registry
    from kubocd_gen.packaging.build import LayoutTarget, Order, RegistryTarget
    from kubocd_gen.packaging.build import package as run
    from kubocd_gen.packaging.charts import open_charts
    from kubocd_gen.packaging.manifest_file import package_manifests

    if not options.repo_prefix:
        raise ProblemsError(_NO_PREFIX)
    _check_prefix(options.repo_prefix)
    binary = find_helm(options.helm)
    jobs = options.job_count
    limits = moved(LIMITS, dict(options.limits))
    debug_dir = Path(".kcd-gen-debug") if options.debug else None
    helm = Helm(binary, jobs=jobs, budget=Budget(limits), debug_dir=debug_dir)
    order = Order(
        package_manifests(options.manifests, options.allow_outside),
        options.repo_prefix,
        source_date(os.environ),
        options.force,
        allow_outside=options.allow_outside,
        limits=limits,
        jobs=jobs,
    )
    with (
        progress(wanted=not options.no_progress) as line,
        scratch("kcd-gen-package-") as directory,
        _transport(network := _network(options, limits, line)) as transport,
    ):
        registry = Registry(network, transport)
        target = (
            LayoutTarget(LayoutWriter(options.output))
            if options.output
            else RegistryTarget(registry, insecure=options.insecure)
        )
        charts = open_charts(network, transport, registry, binary, directory)
        outcomes = run(order, target, charts, helm, problems)
        for warning in registry.warnings():
            problems.warning(warning)
        return outcomes


def _network(options: PackageCommandOptions, limits: Limits, line: Callable[[str], None]) -> Network:
    from kubocd_gen.network.settings import Network

    return Network(
        options.offline,
        options.ca_file,
        limits=limits,
        progress=line,
        clear_text_hosts=options.clear_text_hosts,
        budget=Budget(limits),
    )


@contextmanager
def _transport(network: Network) -> Iterator[Transport]:
    from kubocd_gen.network.transport import Transport

    transport = Transport(network)
    try:
        yield transport
    finally:
        transport.close()  # aborts running transfers after Ctrl-C


def _entry(one: Published) -> dict[str, Any]:
    image = one.image
    return {
        "manifest": one.path,
        "status": one.change or "failed",
        "reference": str(one.reference) if one.reference else None,
        "digest": image.digest if image else None,
        "size": len(image.manifest) + len(image.config) + len(image.layer) if image else None,
        "charts": [
            {"name": chart.name, "version": chart.version, "size": len(chart.archive)}
            for chart in (image.charts if image else ())
        ],
    }
