"""Partials for Helm's functions whose result KuboCD's version of a library, or KuboCD itself, changes.

Each takes the list of the call's arguments and prints the result, which `Replacement.convert` turns back into the type
of the function. They print the same with every supported helm.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Replacement:
    """How a call is replaced: `list ARGUMENTS | include PARTIAL`, followed by `convert`."""

    convert: str = ""


REPLACED = {
    "toYaml": Replacement(),
    "toJson": Replacement(),
    "toToml": Replacement(),
    "int": Replacement(" | int"),
    **{
        name: Replacement(" | int64")
        for name in ("int64", "add", "add1", "sub", "mul", "div", "mod", "max", "min", "biggest")
    },
    "semverCompare": Replacement(' | eq "true"'),
}
"""The functions with a partial."""


def _integers(name: str, least: int, most: int | None, body: str) -> str:
    """Return the partial of an integer function: `$numbers` are its arguments as int64."""
    wrong = f"ne (len .) {least}" if most == least else f"lt (len .) {least}"
    want = f"want {'' if most == least else 'at least '}{least} got %d"
    return f"""
{{{{- define "kcd/{name}" -}}}}
  {{{{- if {wrong} -}}}}
    {{{{- template "kcd/error" (list 0 (printf "wrong number of args for {name}: {want}" (len .))) -}}}}
  {{{{- end -}}}}
  {{{{- $numbers := list -}}}}
  {{{{- range . -}}}}{{{{- $numbers = append $numbers (include "kcd/integer" . | int64) -}}}}{{{{- end -}}}}
  {body}
{{{{- end -}}}}
"""


def _folded(function: str, start: str) -> str:
    """Return the body that combines the first number with each of the others."""
    fold = f"{{{{- $all = {function} $all . -}}}}"
    return f"{{{{- $all := {start} -}}}}{{{{- range $numbers -}}}}{fold}{{{{- end -}}}}{{{{- $all -}}}}"


_FIRST, _SECOND = "(index $numbers 0)", "(index $numbers 1)"


def _divided(function: str) -> str:
    """Return the body of a division. Go's message has no position in a partial, so the partial prints it."""
    zero = '{{- template "kcd/error" (list 0 "runtime error: integer divide by zero") -}}'
    return f"{{{{- if not {_SECOND} -}}}}{zero}{{{{- end -}}}}{{{{- {function} {_FIRST} {_SECOND} -}}}}"


# github.com/spf13/cast v1.8 reads a decimal string by its integer part ("1.9" is 1); before, only "1.0" is a number.
_INTEGERS = """
{{- define "kcd/integer" -}}
  {{- if kindIs "string" . -}}
    {{- regexReplaceAll "^([-+]?[0-9]*)[.][0-9]*$" . "${1}" | int64 -}}
  {{- else -}}
    {{- int64 . -}}
  {{- end -}}
{{- end -}}
""" + "".join(
    (
        *(_integers(name, 1, 1, "{{- index $numbers 0 -}}") for name in ("int", "int64")),
        _integers("add1", 1, 1, f"{{{{- add1 {_FIRST} -}}}}"),
        _integers("add", 0, None, _folded("add", "0")),
        _integers("mul", 1, None, _folded("mul", "1")),
        *(_integers(name, 1, None, _folded(name, _FIRST)) for name in ("max", "min", "biggest")),
        _integers("sub", 2, 2, f"{{{{- sub {_FIRST} {_SECOND} -}}}}"),
        _integers("div", 2, 2, _divided("div")),
        _integers("mod", 2, 2, _divided("mod")),
    )
)

# Helm's functions print nothing if they fail (toToml: the error), KuboCD's print the error and the value. `toYaml`
# converts JSON to YAML, so reading this JSON as YAML fails with the same error. If a value has no JSON, such as NaN,
# its error is unknown.
_PRINTING = """
{{- define "kcd/unprintable" -}}
  {{- $message := printf "%s cannot print the value: %s" (index . 0) (index . 1) -}}
  {{- template "kcd/error" (list 0 $message) -}}
{{- end -}}

{{- define "kcd/one" -}}
  {{- if ne (len (index . 1)) 1 -}}
    {{- $message := printf "wrong number of args for %s: want 1 got %d" (index . 0) (len (index . 1)) -}}
    {{- template "kcd/error" (list 0 $message) -}}
  {{- end -}}
{{- end -}}

{{- define "kcd/toJson" -}}
  {{- template "kcd/one" (list "toJson" .) -}}
  {{- $text := toJson (index . 0) -}}
  {{- if not $text -}}
    {{- template "kcd/unprintable" (list "toJson" "it has no JSON") -}}
  {{- end -}}
  {{- $text -}}
{{- end -}}

{{- define "kcd/toYaml" -}}
  {{- template "kcd/one" (list "toYaml" .) -}}
  {{- $text := toYaml (index . 0) -}}
  {{- if not $text -}}
    {{- $error := get (toJson (index . 0) | fromYaml) "Error" | toString -}}
    {{- if not (hasPrefix "error converting YAML to JSON: " $error) -}}
      {{- template "kcd/unprintable" (list "toYaml" "it has no JSON") -}}
    {{- end -}}
    {{- $error = trimPrefix "error converting YAML to JSON: " $error -}}
    {{- $text = printf "!!!!!! ERROR: %s on %#v" $error (index . 0) -}}
  {{- end -}}
  {{- $text -}}
{{- end -}}

{{- define "kcd/toToml" -}}
  {{- template "kcd/one" (list "toToml" .) -}}
  {{- $text := toToml (index . 0) -}}
  {{- if hasPrefix "toml: " $text -}}
    {{- template "kcd/unprintable" (list "toToml" (trimPrefix "toml: " $text)) -}}
  {{- end -}}
  {{- $text -}}
{{- end -}}
"""

# From github.com/Masterminds/semver v3.4 on, a version with a prerelease matches only a group of constraints (between
# `||`) of which one has a prerelease, and then the prerelease counts for all of them. Before, each constraint decides
# for itself, and `!=` matches always. So a group without any prerelease is false, one with prereleases everywhere is as
# before, and the result of a mixed one is unknown to an older helm.
_SEMVER = """
{{- define "kcd/semverCompare" -}}
  {{- if ne (len .) 2 -}}
    {{- $message := printf "wrong number of args for semverCompare: want 2 got %d" (len .) -}}
    {{- template "kcd/error" (list 0 $message) -}}
  {{- end -}}
  {{- $version := index . 1 -}}
  {{- $matches := semverCompare (index . 0) $version -}}
  {{- if and (semver $version).Prerelease (semverCompare "!=1.2.3" "1.2.3-rc.1") -}}
    {{- $matches = false -}}
    {{- $mixed := false -}}
    {{- range splitList "||" (index . 0) -}}
      {{- $all := 0 -}}
      {{- $pre := 0 -}}
      {{- range regexFindAll "[0-9|xX*]+([.][0-9|xX*]+){0,2}(-[0-9A-Za-z.-]+)?([+][0-9A-Za-z.-]+)?" . -1 -}}
        {{- $all = add1 $all -}}
        {{- if contains "-" (splitList "+" . | first) -}}{{- $pre = add1 $pre -}}{{- end -}}
      {{- end -}}
      {{- if and $pre (eq $all $pre) -}}
        {{- $matches = or $matches (semverCompare . $version) -}}
      {{- else if $pre -}}
        {{- $mixed = true -}}
      {{- end -}}
    {{- end -}}
    {{- if and $mixed (not $matches) -}}
      {{- $message := printf "semverCompare needs helm 3.19 or later to compare %s with %q" $version (index . 0) -}}
      {{- template "kcd/error" (list 0 $message) -}}
    {{- end -}}
  {{- end -}}
  {{- $matches -}}
{{- end -}}
"""

PARTIALS = f"{_INTEGERS}{_PRINTING}{_SEMVER}"
