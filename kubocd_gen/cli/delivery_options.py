"""The flags about the Flux of the clusters, and how it gets the charts."""

from __future__ import annotations

from typing import Annotated

from kubocd_gen.cli.command import Flag, Options, option_group
from kubocd_gen.cli.option_values import parse_chart_repository, parse_flux_source
from kubocd_gen.model.delivery import FluxSource, Mode
from kubocd_gen.schema.flux_versions import FluxVersion


@option_group
class DeliveryOptions(Options):
    """Options that override the delivery of the clusters. `ClusterOptions` adds them to the flags of the project."""

    delivery: Annotated[
        Mode | None,
        Flag("How charts reach Flux: a server (the default), Git, an OCI registry, or package images."),
    ] = None
    flux_source: Annotated[
        FluxSource | None,
        Flag(
            "The source from which Flux applies the output, for --delivery git.",
            metavar="KIND/NAMESPACE/NAME",
            parse=parse_flux_source,
        ),
    ] = None
    chart_repository: Annotated[
        str | None,
        Flag("The registry of the charts, for --delivery oci.", metavar="oci://URL", parse=parse_chart_repository),
    ] = None
    flux: Annotated[
        FluxVersion | None,
        Flag("The oldest version of Flux that must accept the output. [default: 2.7, or 2.8 for --delivery artifact]"),
    ] = None
