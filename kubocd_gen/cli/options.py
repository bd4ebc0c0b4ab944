"""Groups of flags that several commands share."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import click

from kubocd_gen.budget.limits import NAMES
from kubocd_gen.cli.command import Argument, Flag, Options, option_group, verbose_flag
from kubocd_gen.cli.delivery_options import DeliveryOptions
from kubocd_gen.cli.help_format import NumberRange
from kubocd_gen.cli.option_values import (
    REPORTS,
    Report,
    complete_limits,
    complete_names,
    complete_variables,
    parse_hosts,
    parse_hosts_with_port,
    parse_limits,
    parse_namespace,
    parse_project,
    parse_removals,
    parse_reports,
    parse_url,
    parse_variables,
)
from kubocd_gen.model.dependencies import Dependencies

if TYPE_CHECKING:  # `--help` needs none
    from kubocd_gen.model.project import Flags

_FILE: click.ParamType[Any, Any] = click.Path(path_type=Path, exists=True, dir_okay=False)


class FlagOptions(Options):
    """Options that affect how the project is loaded. Each group adds its own to `flags`."""

    def flags(self) -> Flags:
        """Return the flags of all groups of the command."""
        from kubocd_gen.model.project import Flags

        return Flags()


@option_group
class PathOptions(FlagOptions):
    """Options of a command that reads files of the checkout."""

    allow_outside: Annotated[
        tuple[Path, ...],
        Flag(
            "Allow symlinks and paths in the project file to lead to this directory outside the checkout; repeatable.",
            metavar="DIR",
        ),
    ] = ()


@option_group
class RegistryOptions(PathOptions):
    """Options of a command that uses registries."""

    limits: Annotated[
        tuple[tuple[str, int], ...],
        Flag(
            f"Change a limit, such as layer=512MiB; repeatable. Limits: {', '.join(NAMES)}.",
            name="--limit",
            metavar="NAME=VALUE",
            parse_all=parse_limits,
            complete=complete_limits,
        ),
    ] = ()
    ca_file: Annotated[
        Path | None, Flag("PEM certificates to trust in addition to the system's.", metavar="FILE", type=_FILE)
    ] = None
    clear_text_hosts: Annotated[
        frozenset[str],
        Flag(
            "Send credentials to this host over plain HTTP, where others can read them; repeatable.",
            name="--allow-plain-http-credentials",
            metavar="HOST[:PORT]",
            parse_all=parse_hosts_with_port,
        ),
    ] = frozenset()


@option_group
class PackageOptions(RegistryOptions):
    """Options of a command that reads packages."""

    vendor: Annotated[Path | None, Flag("An OCI image layout with package images.", metavar="DIR")] = None
    cache_dir: Annotated[Path | None, Flag("The cache directory for downloaded packages.", metavar="DIR")] = None

    def flags(self) -> Flags:
        return replace(
            super().flags(),
            vendor=self.vendor,
            allow_outside=self.allow_outside,
            limits=dict(self.limits),
            ca_file=self.ca_file,
            cache=self.cache_dir,
            clear_text_hosts=self.clear_text_hosts,
        )


@option_group
class OfflineOptions(FlagOptions):
    """Options of a command that can run without the network."""

    offline: Annotated[bool, Flag("Never use the network; fail if it is needed.")] = False

    def flags(self) -> Flags:
        return replace(super().flags(), offline=self.offline)


@option_group
class LockedOptions(FlagOptions):
    """Options of a command that can require the lock file."""

    locked: Annotated[bool, Flag("Fail if a package is not in kcd-gen.lock.")] = False

    def flags(self) -> Flags:
        return replace(super().flags(), locked=self.locked)


@option_group
class ProjectFileOptions(FlagOptions):
    """Options of a command that reads the project file."""

    project: Annotated[
        Path | None,
        Flag("The project file, or its directory.", metavar="PATH", type=click.Path(exists=True), parse=parse_project),
    ] = None

    def flags(self) -> Flags:
        return replace(super().flags(), project=self.project)


@option_group
class OutputOptions(FlagOptions):
    """Options of a command that reads or writes the output."""

    output: Annotated[Path | None, Flag("The output directory, for flux/ and hr/.", metavar="DIR")] = None

    def flags(self) -> Flags:
        return replace(super().flags(), output=self.output)


@option_group
class ClusterOptions(ProjectFileOptions, PackageOptions, LockedOptions, DeliveryOptions):
    """Options that define the clusters of the project and how they are compiled."""

    sources: Annotated[
        tuple[str, ...],
        Flag(
            "A source file, directory or glob, or '-' for standard input; repeatable.",
            name="--source",
            metavar="PATH",
            type=click.Path(allow_dash=True),
        ),
    ] = ()
    clusters: Annotated[
        tuple[str, ...],
        Flag(
            "Select this cluster only; repeatable.",
            name="--cluster",
            metavar="NAME",
            complete=complete_names("clusters"),
        ),
    ] = ()
    namespace: Annotated[
        str | None, Flag("The default namespace of Releases and Contexts.", metavar="NS", parse=parse_namespace)
    ] = None
    kubocd_namespace: Annotated[
        str | None, Flag("The namespace of Config resources.", metavar="NS", parse=parse_namespace)
    ] = None
    repository_url: Annotated[str | None, Flag("The URL at which hr/ is served.", metavar="URL", parse=parse_url)] = (
        None
    )
    exclude: Annotated[
        tuple[str, ...],
        Flag("Do not read files and directories that this glob matches; repeatable.", metavar="GLOB"),
    ] = ()
    ignore_kustomizations: Annotated[
        bool, Flag("Read sources as they are, even if kustomize or Flux changes them.")
    ] = False
    dependencies: Annotated[
        Dependencies | None,
        Flag("Compile roles into dependsOn between Releases (the default), or ignore them."),
    ] = None
    hosts: Annotated[
        tuple[tuple[str, str], ...],
        Flag(
            "The address that resolveDNS returns for a name; repeatable.",
            name="--resolve",
            metavar="NAME=ADDRESS",
            parse_all=parse_hosts,
        ),
    ] = ()
    expand_env: Annotated[
        frozenset[str],
        Flag(
            "Replace ${NAME} in sources with this environment variable; repeatable. Credentials are never expanded.",
            metavar="NAME[,NAME...]",
            parse_all=parse_variables,
            complete=complete_variables,
        ),
    ] = frozenset()

    def flags(self) -> Flags:
        return replace(
            super().flags(),
            sources=self.sources,
            clusters=self.clusters,
            namespace=self.namespace,
            kubocd_namespace=self.kubocd_namespace,
            repository_url=self.repository_url,
            delivery=self.delivery,
            flux_source=self.flux_source,
            chart_repository=self.chart_repository,
            flux=self.flux,
            exclude=self.exclude,
            ignore_kustomizations=self.ignore_kustomizations,
            dependencies=self.dependencies,
            hosts=dict(self.hosts),
            expand_env=self.expand_env,
        )


@option_group
class SourceOptions(ClusterOptions, OfflineOptions):
    """Options of a command that compiles the project without reading or writing its output."""

    def flags_without_output(self, unused: Path) -> Flags:
        """Return the flags with `unused` as the output if there are `--source` flags, which require an output."""
        flags = self.flags()
        return replace(flags, output=unused) if flags.sources else flags


@option_group
class ProjectOptions(OutputOptions, SourceOptions):
    """Options of a command that uses the project and its output."""


@option_group
class RemovalOptions(Options):
    """Options of a command that removes what the sources no longer have."""

    allow_removals: Annotated[
        int,
        Flag(
            "Allow removing this many, if they are all or most of what there is.",
            metavar="N|all",
            parse=parse_removals,
        ),
    ] = 0


@option_group
class WriteOptions(Options):
    """Options of a build that writes in spite of problems."""

    keep_going: Annotated[bool, Flag("Write the Releases that compile even if others fail.")] = False
    allow_protected_removal: Annotated[
        tuple[str, ...],
        Flag(
            "Allow removing this protected Release from the output; repeatable. Flux does not uninstall it.",
            metavar="NAME",
            complete=complete_names("releases"),
        ),
    ] = ()


@option_group
class FormatOptions(Options):
    """Options of a command that prints text or a report for programs; subclasses define the formats."""

    format: Annotated[str, Flag("The output format.")] = "text"

    @property
    def for_machines(self) -> bool:
        return self.format != "text"


@option_group
class JsonOptions(FormatOptions):
    """Options of a command that prints text or a JSON document."""

    format: Annotated[Literal["text", "json"], Flag("The output format.")] = "text"


@option_group
class CIFormatOptions(FormatOptions):
    """Options of a command that prints text, a JSON document or a report for a CI system."""

    format: Annotated[
        Literal["text", "json", "github", "sarif", "gitlab", "junit"],
        Flag("The output format; those after json are for CI systems."),
    ] = "text"


@option_group
class ReportOptions(CIFormatOptions):
    """Options of a command that also writes reports for CI systems to files."""

    reports: Annotated[
        tuple[Report, ...],
        Flag(
            "Also write a report for a CI system to a file; with - to standard output, and the text to standard "
            f"error; repeatable. Formats: {', '.join(REPORTS)}.",
            name="--report",
            metavar="FORMAT=FILE",
            parse_all=parse_reports,
        ),
    ] = ()

    @property
    def prints_report(self) -> bool:
        """Whether a report is written to standard output in addition to the output of the command."""
        return any(report.path is None for report in self.reports)


@option_group
class JobsOptions(Options):
    """Options of a command that runs several jobs at a time."""

    jobs: Annotated[
        int | None,
        Flag("The number of parallel jobs. [default: the number of cores]", short="-j", type=NumberRange(1, 64)),
    ] = None

    @property
    def job_count(self) -> int:
        """Return the number of parallel jobs."""
        return self.jobs or os.cpu_count() or 1


@option_group
class QuietOptions(Options):
    """Options of a command that can be quiet."""

    quiet: Annotated[bool, Flag("Print errors only.", short="-q")] = False


@option_group
class VerboseOptions(QuietOptions):
    """Options of a command that can also print more."""

    verbose: Annotated[
        int,
        verbose_flag("Also print unchanged resources, and log each operation with its duration; -vv: details."),
    ] = 0


@option_group
class ProgressOptions(Options):
    """Options of a command that shows its progress on a terminal."""

    no_progress: Annotated[bool, Flag("Do not show progress.")] = False


@option_group
class CompilingOptions(JobsOptions, ProgressOptions):
    """Options of a command that renders templates with helm."""

    debug: Annotated[bool, Flag("Print tracebacks, and keep helm's input in .kcd-gen-debug/.")] = False
    helm: Annotated[str | None, Flag("The helm binary to use instead of the bundled one.", metavar="PATH")] = None


@option_group
class CommonBuildOptions(ProjectOptions, WriteOptions, VerboseOptions, CompilingOptions):
    """Options of `kcd-gen build` and of `kcd-gen serve --watch`, which builds."""

    full: Annotated[bool, Flag("Compile everything, also what has not changed since an earlier build.")] = False


@option_group
class FetchOptions(PackageOptions, OfflineOptions, QuietOptions, ProgressOptions):
    """Options of a command whose argument names one package."""

    package: Annotated[str, Argument("IMAGE|NAME|FILE|DIR", complete=complete_names("images"))]
    insecure: Annotated[bool, Flag("Pull over plain HTTP.")] = False
    quiet: Annotated[bool, Flag("Print only the result and errors.", short="-q")] = False
