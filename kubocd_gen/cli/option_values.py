"""Values of flags: how they are read from the command line, and what a shell completes."""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import click

from kubocd_gen.budget.limits import NAMES, parse_limit
from kubocd_gen.cli.command import Complete
from kubocd_gen.cli.help_format import suggestion
from kubocd_gen.model.delivery import FluxSource, parse_source
from kubocd_gen.schema.names import LABEL, LABEL_HINT, is_label

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

ReportFormat = Literal["sarif", "gitlab", "junit"]
REPORTS: Mapping[str, ReportFormat] = {name: name for name in get_args(ReportFormat)}
_SWITCHES = frozenset({"true", "false", "1", "0", "yes", "no", "on", "off"})


@dataclass(frozen=True, slots=True)
class Report:
    """A report for a CI system in the file `path`; None is standard output."""

    format: ReportFormat
    path: Path | None


def parse_hosts(words: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Parse `--resolve` into pairs of name and address. Raises ValueError."""
    from kubocd_gen.model.project import host_key, is_address, is_host_name

    form = "NAME=ADDRESS, such as ldap.example.com=10.1.2.3"
    pairs = tuple(_pairs(words, form))
    for name, address in pairs:
        if not is_host_name(host_key(name).removeprefix(".")) or not is_address(address):
            raise ValueError(f"'{name}={address}' is not {form}")
    return pairs


def parse_limits(words: tuple[str, ...]) -> tuple[tuple[str, int], ...]:
    """Parse `--limit` into pairs of name and value. Raises ValueError."""
    pairs = _pairs(words, "NAME=VALUE, such as layer=512MiB")
    return tuple((name, parse_limit(name, size)) for name, size in pairs)


def _pairs(words: tuple[str, ...], form: str) -> Iterator[tuple[str, str]]:
    for word in words:
        name, _, value = word.partition("=")
        if not (name and value):
            raise ValueError(f"'{word}' is not {form}")
        yield name, value


def parse_hosts_with_port(words: tuple[str, ...]) -> frozenset[str]:
    """Parse `--allow-plain-http-credentials`. Raises ValueError."""
    for word in words:
        if not re.fullmatch(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?", word):
            raise ValueError(f"'{word}' is not HOST or HOST:PORT, such as registry.lan:5000")
    return frozenset(words)


def parse_variables(words: tuple[str, ...]) -> frozenset[str]:
    """Parse `--expand-env`, names of variables separated by commas. Raises ValueError."""
    from kubocd_gen.sources.environment import is_secret_name, is_variable_name

    names = [name for word in words for name in word.split(",") if name]
    for name in names:
        example = "--expand-env DOMAIN,REGION or KCD_GEN_EXPAND_ENV=DOMAIN,REGION"
        if name.lower() in _SWITCHES:
            raise ValueError(f"'{name}' is not a variable name; list the variables to expand: {example}")
        if not is_variable_name(name):
            raise ValueError(f"'{name}' is not a variable name; use {example}")
        if is_secret_name(name):
            raise ValueError(f"'{name}' is never expanded because it can contain a credential; rename the variable")
    return frozenset(names)


def parse_project(word: str) -> Path:
    """Parse `--project`, a project file or its directory. Raises ValueError."""
    from kubocd_gen.model.project import PROJECT_FILE

    path = Path(word)
    if not path.is_dir():
        return path
    if not (path / PROJECT_FILE).is_file():
        raise ValueError(f"the directory '{word}' has no {PROJECT_FILE}")
    return path / PROJECT_FILE


def parse_file(word: str) -> Path:
    """Parse the path of a file to write. Raises ValueError."""
    if word == "-":
        raise ValueError("'-' is not a file; standard output is used for other things")
    return Path(word)


def parse_namespace(word: str) -> str:
    """Parse the name of a namespace. Raises ValueError."""
    if not is_label(word):
        raise ValueError(f"'{word}' is not {LABEL}; {LABEL_HINT}")
    return word


def parse_url(word: str) -> str:
    """Parse `--repository-url`. Raises ValueError."""
    if not re.fullmatch(r"https?://[^\s/]\S*", word):
        raise ValueError(f"'{word}' does not start with http:// or https:// and a host")
    return word


def parse_flux_source(word: str) -> FluxSource:
    """Parse `--flux-source`. Raises ValueError."""
    if (source := parse_source(word)) is None:
        hint = "use KIND/NAME or KIND/NAMESPACE/NAME, such as GitRepository/flux-system"
        raise ValueError(f"'{word}' is not a Flux source; {hint}")
    return source


def parse_chart_repository(word: str) -> str:
    """Parse `--chart-repository`, and return it without the scheme. Raises ValueError."""
    from kubocd_gen.diagnostics.problems import ProblemsError
    from kubocd_gen.sources.delivery_settings import CHART_REPOSITORY, registry_path  # imports the rules of references

    try:
        return registry_path(word, None)
    except ProblemsError as error:
        raise ValueError(f"'{word}' is not oci://REGISTRY/PATH, such as {CHART_REPOSITORY}") from error


def parse_removals(word: str) -> int:
    """Parse `--allow-removals`. Raises ValueError."""
    if word == "all":
        return sys.maxsize
    if not re.fullmatch(r"[0-9]{1,9}", word):
        raise ValueError(f"'{word}' is not a number or 'all'")
    return int(word)


def parse_reports(words: tuple[str, ...]) -> tuple[Report, ...]:
    """Parse `--report`. Raises ValueError."""
    reports = []
    for word in words:
        name, _, path = word.partition("=")
        if name not in REPORTS or not path or "\0" in path:
            message = f"'{word}' is not FORMAT=FILE; the formats are {', '.join(REPORTS)}."
            raise ValueError(f"{message}{suggestion(name, REPORTS)}")
        reports.append(Report(REPORTS[name], None if path == "-" else Path(path)))
    found = tuple(dict.fromkeys(reports))
    for target, count in Counter(report.path for report in found).items():
        if count > 1:
            raise ValueError(f"only one report can be written to {target or 'standard output'}")
    return found


def parse_helms(word: str) -> tuple[str, str]:
    """Parse `--compare-helm`, two helm binaries separated by a comma. Raises ValueError."""
    old, comma, new = word.partition(",")
    if not (old and comma and new) or "," in new:
        raise ValueError(f"'{word}' is not A,B: two helm binaries, by path or by name on the PATH, such as helm3,helm4")
    return old, new


def complete_names(what: Literal["clusters", "releases", "images"]) -> Complete:
    """Return the shell completion of a flag or argument that takes clusters, Releases or packages of the project."""

    def offer(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from kubocd_gen.cli.completion import offered

        return offered(what, ctx, incomplete)

    return offer


def complete_limits(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    return [f"{name}=" for name in NAMES if name.startswith(incomplete)]


def complete_variables(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    from kubocd_gen.sources.environment import is_secret_name, is_variable_name

    known = (name for name in os.environ if is_variable_name(name) and not is_secret_name(name))
    return sorted(name for name in known if name.startswith(incomplete))
