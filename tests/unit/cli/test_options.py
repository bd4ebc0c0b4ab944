"""The options of all commands, and how their values are parsed."""

from __future__ import annotations

import inspect
from dataclasses import fields, is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import pytest
from click.testing import CliRunner

from kubocd_gen.cli.build import BuildOptions
from kubocd_gen.cli.cache import cache
from kubocd_gen.cli.command import Argument, Flag, Options
from kubocd_gen.cli.image import ImageOptions
from kubocd_gen.cli.init import ServerOptions
from kubocd_gen.cli.lint import LintOptions
from kubocd_gen.cli.option_values import (
    Report,
    parse_chart_repository,
    parse_flux_source,
    parse_hosts,
    parse_hosts_with_port,
    parse_limits,
    parse_namespace,
    parse_project,
    parse_reports,
    parse_url,
    parse_variables,
)
from kubocd_gen.model.delivery import FluxSource
from kubocd_gen.model.project import Flags

FOLDER = Path(__file__).parents[3] / "kubocd_gen" / "cli"


def every_class() -> dict[str, type[Options]]:
    """Return the option classes of all commands, by module and name."""
    modules = [import_module(f"kubocd_gen.cli.{path.stem}") for path in FOLDER.glob("[!_]*.py")]
    return {
        f"{module.__name__.rpartition('.')[2]}.{name}": one
        for module in modules
        for name, one in vars(module).items()
        if isinstance(one, type)
        and issubclass(one, Options)
        and is_dataclass(one)
        and one.__module__ == module.__name__
    }


ALL = every_class()


def flags(options: type[Options]) -> dict[str, tuple[object, Flag | Argument, object]]:
    """Return the type, the flag or argument, and the default of each field."""
    found = {}
    for field in fields(options):
        assert get_origin(field.type) is Annotated, field.name
        kind, metadata = get_args(field.type)
        found[field.name] = (kind, metadata, field.default)
    return found


def test_every_command_is_found() -> None:
    assert {"build.BuildOptions", "cache.PruneOptions", "migrate.CheckOptions", "schema.SourcesOptions"} <= ALL.keys()
    assert len(ALL) >= 20


@pytest.mark.parametrize("name", sorted(ALL))
def test_a_parser_returns_the_type_of_its_field(name: str) -> None:
    for field, (kind, metadata, default) in flags(ALL[name]).items():
        parse = (metadata.parse or metadata.parse_all) if isinstance(metadata, Flag) else None
        if parse:
            assert isinstance(metadata, Flag)
            hints = get_type_hints(parse)
            assert hints["return"] in (kind, *get_args(kind)), field
            (word,) = inspect.signature(parse).parameters
            assert hints[word] == (str if metadata.parse else tuple[str, ...]), field
            if metadata.parse_all:
                assert metadata.parse_all(()) == default, field


def test_options_become_the_flags_of_a_project() -> None:
    same: dict[str, Any] = {
        "project": Path("p"),
        "sources": ("s",),
        "output": Path("o"),
        "clusters": ("c",),
        "vendor": Path("v"),
        "namespace": "n",
        "kubocd_namespace": "k",
        "repository_url": "http://u",
        "delivery": "git",
        "flux_source": FluxSource("GitRepository", "n", "m"),
        "chart_repository": "r.example.com/c",
        "exclude": ("e",),
        "ignore_kustomizations": True,
        "flux": "2.9",
        "dependencies": "ignore",
        "offline": True,
        "locked": True,
        "ca_file": Path("f"),
        "expand_env": frozenset({"E"}),
        "clear_text_hosts": frozenset({"h"}),
        "allow_outside": (Path("x"),),
    }
    hosts, limits = (("a", "1"), ("b", "2")), (("layer", 1), ("layer", 2))
    flags = BuildOptions(**same, hosts=hosts, limits=limits, cache_dir=Path("d")).flags()
    assert flags == Flags(**same, hosts=dict(hosts), limits={"layer": 2}, cache=Path("d"))
    empty = Flags()
    forgotten = [field.name for field in fields(Flags) if getattr(flags, field.name) == getattr(empty, field.name)]
    assert forgotten == []


def test_an_output_of_another_type_is_not_passed_to_the_project() -> None:
    assert ImageOptions(base="nginx", output="layout").flags().output is None
    assert ServerOptions(output=Path("o")).flags() == Flags(output=Path("o"))


def test_sources_on_the_command_line_get_a_placeholder_output() -> None:
    assert LintOptions(sources=("s",)).flags_without_output(Path("unused")).output == Path("unused")
    assert LintOptions().flags_without_output(Path("unused")).output is None


def test_option_values_are_parsed() -> None:
    assert parse_hosts(("a=10.0.0.1", ".b=fd00::1")) == (("a", "10.0.0.1"), (".b", "fd00::1"))
    assert parse_limits(("layer=1MiB", "members=3")) == (("layer", 1 << 20), ("members", 3))
    assert parse_hosts_with_port(("registry.lan:5000", "[::1]:80")) == {"registry.lan:5000", "[::1]:80"}
    assert parse_variables(("DOMAIN,REGION", "ZONE")) == {"DOMAIN", "REGION", "ZONE"}
    assert parse_flux_source("GitRepository/fleet") == FluxSource("GitRepository", "fleet", "flux-system")
    assert parse_flux_source("Bucket/apps/fleet") == FluxSource("Bucket", "fleet", "apps")
    assert parse_chart_repository("oci://r.example.com/a/b/") == "r.example.com/a/b"
    assert parse_url("https://charts.example.com") == "https://charts.example.com"
    assert parse_reports(("junit=a=b.xml",)) == (Report("junit", Path("a=b.xml")),)


@pytest.mark.parametrize("word", ["", "fleet", "HelmRepository/fleet", "GitRepository/Fleet", "GitRepository/a/b/c"])
def test_a_source_that_flux_cannot_apply_from_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match="is not a Flux source"):
        parse_flux_source(word)


@pytest.mark.parametrize("word", ["", "r.example.com/a", "https://r.example.com/a", "oci://r.example.com/A"])
def test_a_chart_repository_that_is_no_oci_url_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match="is not oci://REGISTRY/PATH"):
        parse_chart_repository(word)


@pytest.mark.parametrize("word", ["a", "=1", "a=", "", "a=1", "a b=10.0.0.1", "a=10.0.0.1:80", ".=10.0.0.1"])
def test_a_host_without_name_or_address_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match="is not NAME=ADDRESS"):
        parse_hosts((word,))


@pytest.mark.parametrize("word", ["layer", "=1MiB", "layer=", "layr=1MiB", "layer=1MB"])
def test_an_invalid_limit_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match=r"NAME=VALUE|'layr'|'layer'"):
        parse_limits((word,))


@pytest.mark.parametrize("word", ["http://registry.lan", "registry.lan:", "registry.lan/path", "::1"])
def test_a_host_with_more_than_a_port_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match="is not HOST or HOST:PORT"):
        parse_hosts_with_port((word,))


@pytest.mark.parametrize(
    ("word", "message"),
    [("true", "variables to expand"), ("1X", "is not a variable name"), ("API_TOKEN", "never expanded")],
)
def test_a_variable_that_kcd_gen_never_expands_is_refused(word: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_variables((f"DOMAIN,{word}",))


@pytest.mark.parametrize("word", ["charts.example.com", "ftp://charts.example.com", "https:///path", "https://a b"])
def test_a_url_without_scheme_or_host_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match="does not start with"):
        parse_url(word)


@pytest.mark.parametrize("word", ["junit", "junit=", "junt=a.xml", "json=a.json", "junit=a\0b"])
def test_a_report_without_format_or_file_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match="is not FORMAT=FILE"):
        parse_reports((word,))


@pytest.mark.parametrize("age", ["30", "d", "1y", "-1d", f"{'9' * 400}d", f"{'9' * 5000}d"])
def test_an_invalid_age_is_a_usage_error(age: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(cache, ["prune", "--cache-dir", str(tmp_path), f"--unused-for={age}"])
    assert (result.exit_code, "is not an age such as" in result.output) == (2, True)


@pytest.mark.parametrize("word", ["../x", "", "x" * 64, "a\n", "A", "a.b"])
def test_a_namespace_is_a_label(word: str) -> None:
    assert parse_namespace("team-a") == "team-a"
    with pytest.raises(ValueError, match="RFC 1123 label"):
        parse_namespace(word)


def test_the_project_is_a_file_or_its_directory(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"has no kcd-gen\.yaml"):
        parse_project(str(tmp_path))
    path = tmp_path / "kcd-gen.yaml"
    path.write_text("")
    assert parse_project(str(tmp_path)) == parse_project(str(path)) == path
