"""KuboCD's template functions: their names, and replacements for those that helm lacks or implements differently."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from kubocd_gen.helm.names import Names
from kubocd_gen.helm.partials import PARTIALS
from kubocd_gen.helm.template import Functions

# KuboCD v0.3: Go's built-in functions, Sprig v3.3 without `env` and `expandenv`, Helm's data functions, and four of its
# own. All other names are undefined in KuboCD, even if helm has them (`toYamlPretty`, `fromToml`, `mustToYaml`).
_GO = "and call eq ge gt html index js le len lt ne not or print printf println slice urlquery"
_HELM = "fromJson fromJsonArray fromYaml fromYamlArray include lookup required toJson toToml toYaml tpl"
KUBOCD = ("getHostByName", "imageRedirect", "readFile", "resolveDNS")
_SPRIG = """
    abbrev abbrevboth add add1 add1f addf adler32sum ago all any append atoi b32dec b32enc b64dec b64enc base bcrypt
    biggest buildCustomCert camelcase cat ceil chunk clean coalesce compact concat contains date dateInZone dateModify
    date_in_zone date_modify decryptAES deepCopy deepEqual default derivePassword dict dig dir div divf duration
    durationRound empty encryptAES ext fail first float64 floor fromJson genCA genCAWithKey genPrivateKey
    genSelfSignedCert genSelfSignedCertWithKey genSignedCert genSignedCertWithKey get has hasKey hasPrefix hasSuffix
    hello htmlDate htmlDateInZone htpasswd indent initial initials int int64 isAbs join kebabcase keys kindIs kindOf
    last list lower max maxf merge mergeOverwrite min minf mod mul mulf mustAppend mustChunk mustCompact mustDateModify
    mustDeepCopy mustFirst mustFromJson mustHas mustInitial mustLast mustMerge mustMergeOverwrite mustPrepend mustPush
    mustRegexFind mustRegexFindAll mustRegexMatch mustRegexReplaceAll mustRegexReplaceAllLiteral mustRegexSplit mustRest
    mustReverse mustSlice mustToDate mustToJson mustToPrettyJson mustToRawJson mustUniq mustWithout must_date_modify
    nindent nospace now omit osBase osClean osDir osExt osIsAbs pick pluck plural prepend push quote randAlpha
    randAlphaNum randAscii randBytes randInt randNumeric regexFind regexFindAll regexMatch regexQuoteMeta
    regexReplaceAll regexReplaceAllLiteral regexSplit repeat replace rest reverse round semver semverCompare seq set
    sha1sum sha256sum sha512sum shuffle slice snakecase sortAlpha split splitList splitn squote sub subf substr swapcase
    ternary title toDate toDecimal toJson toPrettyJson toRawJson toString toStrings trim trimAll trimPrefix trimSuffix
    trimall trunc tuple typeIs typeIsLike typeOf uniq unixEpoch unset until untilStep untitle upper urlJoin urlParse
    uuidv4 values without wrap wrapWith
"""
KNOWN = frozenset(f"{_GO} {_HELM} {_SPRIG}".split()) | {*KUBOCD}

# Sprig's functions that modify their argument; all others of KNOWN return new values. They are searched for in the raw
# template, delimited by what Go allows next to a function name, so that a lexer bug can't hide one.
MUTATING_WORD = re.compile(
    r"(?<![-+.$0-9A-Za-z_])(?:set|unset|merge|mergeOverwrite|mustMerge|mustMergeOverwrite)(?=[ \t\r\n.,|:()}]|\Z)"
)

# Sprig's functions that depend on time or randomness. `encryptAES` and password hashes are salted. `keys` and `values`
# return Go's random map order, but are not listed because most templates pass them to `sortAlpha`.
_VARYING = """
    ago bcrypt encryptAES genCA genCAWithKey genPrivateKey genSelfSignedCert genSelfSignedCertWithKey genSignedCert
    genSignedCertWithKey htpasswd now randAlpha randAlphaNum randAscii randBytes randInt randNumeric shuffle uuidv4
"""
VARYING = frozenset(_VARYING.split())

# Functions that KuboCD knows and kcd-gen refuses when a rendering reaches them, with the hint for each.
UNSUPPORTED = {
    "include": 'use {{ template "name" . }}, or repeat the content: KuboCD does not implement include',
    "tpl": "write the template where its result is needed: KuboCD does not implement tpl",
    "readFile": "move the content to a Context or a parameter, because the controller's files are not available "
    "offline",
}


def refusal(names: Names) -> re.Pattern[str]:
    """Return the pattern of an error raised by the partials below: they include an undefined name, which helm prints.

    The groups are the number of the invalid argument (0: the call itself) and the message in base64. `fail` would lose
    the position.
    """
    return re.compile(rf"{names.mark('error')} (\d) ((?:[\w+/]{{4}})*(?:[\w+/]{{2}}==|[\w+/]{{3}}=)?)\.", re.ASCII)


def unsupported_call(names: Names) -> re.Pattern[str]:
    """Return the pattern of the name that replaces a call of a function in UNSUPPORTED, and that helm prints."""
    return re.compile(rf"{names.mark('unsupported')} (\w+)", re.ASCII)


def library(functions: Functions, names: Names) -> str:
    """Return a chart file with the partials of replaced functions: KuboCD's own, and those in `partials`.

    `resolveDNS` and `getHostByName` take their arguments as a list and print the result. `imageRedirect` takes a map
    with its arguments in `a`, stores the result in `r` and prints that key: `include` returns a string, which would
    lose the types.
    """
    redirects = [
        {
            "old": one.old_prefix,
            "new": one.new_prefix,
            "policy": one.image_pull_policy,
            "secrets": one.image_pull_secrets,
        }
        for one in functions.image_redirects
    ]
    hosts = {name.lower().rstrip("."): address for name, address in functions.hosts.items()}
    text = (_LIBRARY + PARTIALS).replace('"kcd/', f'"{names.partial("")}').replace("kcd-error", names.mark("error"))
    return text.replace("@REDIRECTS@", _go_string(redirects)).replace("@HOSTS@", _go_string(hosts))


def _go_string(value: Iterable[object]) -> str:
    # ASCII JSON needs no other escapes in a Go string.
    return '"' + json.dumps(value).replace("\\", "\\\\").replace('"', '\\"') + '"'


# `kcd/address` prints an IP address as Go's `net.IP` does, which is what `resolveDNS` returns, and nothing for a name.
#
# KuboCD parses an image name by removing `oci://` and splitting it at each ':'. One part has no tag. Of two parts,
# the second is the tag if the first contains a '/'; if the second contains one, both are `host:port/repository`. Of
# three parts, the last is the tag.
_LIBRARY = """
{{- define "kcd/error" -}}
  {{- include (printf "kcd-error %d %s." (index . 0) (index . 1 | b64enc)) . -}}
{{- end -}}

{{- define "kcd/string" -}}
  {{- if not (kindIs "string" .) -}}
    {{- $found := ternary "no value" (typeOf .) (kindIs "invalid" .) -}}
    {{- template "kcd/error" (list 1 (printf "expected a string; found %s" $found)) -}}
  {{- end -}}
{{- end -}}

{{- define "kcd/imageRedirect" -}}
  {{- if ne (len .a) 2 -}}
    {{- $message := printf "wrong number of args for imageRedirect: want 2 got %d" (len .a) -}}
    {{- template "kcd/error" (list 0 $message) -}}
  {{- end -}}
  {{- $url := index .a 0 -}}
  {{- $model := index .a 1 -}}
  {{- template "kcd/string" $url -}}
  {{- if not (typeIs "map[string]interface {}" $model) -}}
    {{- $message := printf "expected the model, $; found %s" (typeOf $model) -}}
    {{- template "kcd/error" (list 2 $message) -}}
  {{- else if not (kindIs "ptr" (get $model "ImageRedirector")) -}}
    {{- template "kcd/error" (list 0 "expected the model, $; found a map without ImageRedirector") -}}
  {{- end -}}
  {{- $policy := "" -}}
  {{- $secrets := regexFindAll "a" "b" -1 -}}{{- /* a nil list of strings */ -}}
  {{- range fromJsonArray @REDIRECTS@ -}}
    {{- if hasPrefix .old $url -}}
      {{- $policy = .policy -}}
      {{- if kindIs "slice" .secrets -}}{{- $secrets = toStrings .secrets -}}{{- end -}}
      {{- if .new -}}{{- $url = print .new (trimPrefix .old $url) -}}{{- end -}}
      {{- break -}}
    {{- end -}}
  {{- end -}}
  {{- $repository := trimPrefix "oci://" $url -}}
  {{- $tag := "latest" -}}
  {{- $parts := splitList ":" $repository -}}
  {{- if and (eq (len $parts) 2) (contains "/" (index $parts 0)) -}}
    {{- $repository = index $parts 0 -}}{{- $tag = index $parts 1 -}}
  {{- else if eq (len $parts) 3 -}}
    {{- $repository = printf "%s:%s" (index $parts 0) (index $parts 1) -}}{{- $tag = index $parts 2 -}}
  {{- else if and (ne (len $parts) 1) (not (and (eq (len $parts) 2) (contains "/" (index $parts 1)))) -}}
    {{- template "kcd/error" (list 0 (printf "invalid image name: %s" $url)) -}}
  {{- end -}}
  {{- $path := splitn "/" 2 $repository -}}
  {{- $_ := set . "r" (dict
    "url" $url "repository" $repository "tag" $tag "registry" $path._0 "baseRepository" $path._1
    "imagePullPolicy" $policy "imagePullSecrets" $secrets) -}}
  {{- "r" -}}
{{- end -}}

{{- define "kcd/resolveDNS" -}}{{- template "kcd/resolve" (prepend . "resolveDNS") -}}{{- end -}}
{{- define "kcd/getHostByName" -}}{{- template "kcd/resolve" (prepend . "getHostByName") -}}{{- end -}}
{{- define "kcd/resolve" -}}
  {{- $function := index . 0 -}}
  {{- if ne (len .) 2 -}}
    {{- $message := printf "wrong number of args for %s: want 1 got %d" $function (sub (len .) 1) -}}
    {{- template "kcd/error" (list 0 $message) -}}
  {{- end -}}
  {{- $host := index . 1 -}}
  {{- template "kcd/string" $host -}}
  {{- $address := include "kcd/address" $host -}}
  {{- if $address -}}
    {{- ternary $address $host (eq $function "resolveDNS") -}}
  {{- else -}}
    {{- $hosts := fromJson @HOSTS@ -}}
    {{- $name := trimSuffix "." (lower $host) -}}
    {{- $domain := print "." $name -}}
    {{- $answer := get $hosts $name -}}
    {{- range splitList "." $name -}}
      {{- if not $answer -}}
        {{- $answer = get $hosts $domain -}}
        {{- $domain = trimPrefix (print "." .) $domain -}}
      {{- end -}}
    {{- end -}}
    {{- if not $answer -}}
      {{- template "kcd/error" (list 0 (printf "no address is known for the host '%s'" $host)) -}}
    {{- end -}}
    {{- $answer -}}
  {{- end -}}
{{- end -}}

{{- define "kcd/address" -}}
  {{- $octet := "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])" -}}
  {{- $dotted := printf "(%s[.]){3}%s" $octet $octet -}}
  {{- if regexMatch (printf "^%s$" $dotted) . -}}
    {{- . -}}
  {{- else if regexMatch (printf "(?s)^[0-9a-fA-F:]*:([0-9a-fA-F]*|%s)(%%.+)?$" $dotted) . -}}
    {{- $text := regexReplaceAll "(?s)%.*" . "" | lower -}}
    {{- with regexFind "[0-9]+[.].*" $text -}}
      {{- $o := splitList "." . -}}
      {{- $high := add (mul (index $o 0) 256) (index $o 1) -}}
      {{- $low := add (mul (index $o 2) 256) (index $o 3) -}}
      {{- $text = printf "%s%x:%x" (trimSuffix . $text) $high $low -}}
    {{- end -}}
    {{- $groups := "[0-9a-f]{1,4}(:[0-9a-f]{1,4})*" -}}
    {{- $count := len (regexFindAll "[0-9a-f]+" $text -1) -}}
    {{- $gap := contains "::" $text -}}
    {{- $whole := or (and $gap (lt $count 8)) (and (not $gap) (eq $count 8)) -}}
    {{- if and $whole (regexMatch (printf "^(%s)?(::(%s)?)?$" $groups $groups) $text) -}}
      {{- $text = replace "::" (print ":" (repeat (sub 8 $count | int) "0:")) $text -}}
      {{- $text = regexReplaceAll ":0+([0-9a-f])" (printf ":%s:" (trimAll ":" $text)) ":${1}" -}}
      {{- if hasPrefix ":0:0:0:0:0:ffff:" $text -}}
        {{- range $index, $group := slice (splitList ":" $text) 7 9 -}}
          {{- $number := print "0x" $group | int64 -}}
          {{- printf "%s%d.%d" (ternary "." "" (eq $index 1)) (div $number 256) (mod $number 256) -}}
        {{- end -}}
      {{- else -}}
        {{- $short := "" -}}
        {{- range list 8 7 6 5 4 3 2 -}}
          {{- $run := print ":" (repeat . "0:") -}}
          {{- if and (not $short) (contains $run $text) -}}
            {{- $parts := splitn $run 2 $text -}}
            {{- $short = printf "%s::%s" (trimPrefix ":" $parts._0) (trimSuffix ":" $parts._1) -}}
          {{- end -}}
        {{- end -}}
        {{- $short | default (trimAll ":" $text) -}}
      {{- end -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
"""
