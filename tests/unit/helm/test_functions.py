"""`imageRedirect`, `resolveDNS`, `getHostByName`, and unsupported functions."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from kubocd_gen.helm.template import Functions, TemplateFailure
from kubocd_gen.model.resources import ImageRedirect

Render = Callable[..., Any]


def test_the_first_redirect_with_a_matching_prefix_is_used(render: Render) -> None:
    assert json.loads(render('{{ toJson (imageRedirect "docker.io/x/redis:7.0" $) }}')) == {
        "url": "mirror.local:5000/hub/x/redis:7.0",
        "repository": "mirror.local:5000/hub/x/redis",
        "tag": "7.0",
        "registry": "mirror.local:5000",
        "baseRepository": "hub/x/redis",
        "imagePullPolicy": "Always",
        "imagePullSecrets": ["s1", "s2"],
    }


def test_a_redirect_with_an_empty_new_prefix_keeps_the_image_and_sets_policy_and_secrets(render: Render) -> None:
    kept = Functions(
        image_redirects=(
            ImageRedirect("quay.io/a", "", "Never", ("s",)),
            ImageRedirect("quay.io/", "elsewhere.org/", "Always", None),
        )
    )
    look = "{{ .url }} {{ .imagePullPolicy }} {{ .imagePullSecrets }}{{ end }}"
    assert render(f'{{{{ with imageRedirect "quay.io/a:1" $ }}}}{look}', functions=kept) == "quay.io/a:1 Never [s]"


def test_an_image_without_a_matching_redirect_is_split_unchanged(render: Render) -> None:
    look = "{{ .url }}|{{ .repository }}|{{ .tag }}|{{ .imagePullPolicy }}|{{ .imagePullSecrets }}{{ end }}"
    assert render(f'{{{{ with imageRedirect "gcr.io/a:1" $ }}}}{look}') == "gcr.io/a:1|gcr.io/a|1||[]"


def test_an_image_is_split_as_in_kubocd(render_all: Render) -> None:
    expected = {
        "nginx": "nginx latest nginx ",
        "a/b:c": "a/b c a b",
        "localhost:5000/x": "localhost:5000/x latest localhost:5000 x",
        "oci://ghcr.io/x/y:z": "ghcr.io/x/y z ghcr.io x/y",
        "ghcr.io/x/y:t@sha256:ab": "ghcr.io/x/y:t@sha256 ab ghcr.io x/y:t@sha256",
        "": " latest  ",
    }
    look = "{{ .repository }} {{ .tag }} {{ .registry }} {{ .baseRepository }}{{ end }}"
    texts = [f'{{{{ with imageRedirect "{image}" $ }}}}{look}' for image in expected]
    assert render_all(*texts) == list(expected.values())


def test_an_empty_list_of_pull_secrets_stays_a_list(render: Render) -> None:
    empty = Functions(image_redirects=(ImageRedirect("quay.io/", "", "", ()),))
    assert render('{{ toJson (imageRedirect "quay.io/a" $).imagePullSecrets }}', functions=empty) == "[]"
    assert render('{{ toJson (imageRedirect "gcr.io/a" $).imagePullSecrets }}', functions=empty) == "null"


def test_pull_secrets_are_a_list_of_strings_or_nil(render_all: Render) -> None:
    look = "{{ typeOf .imagePullSecrets }} {{ .imagePullSecrets }} {{ toYaml .imagePullSecrets }}"
    assert render_all(
        f'{{{{ with imageRedirect "docker.io/a" . }}}}{look}{{{{ end }}}}',
        f'{{{{ with imageRedirect "quay.io/a" . }}}}{look}{{{{ end }}}}',
    ) == ["[]string [s1 s2] - s1\n- s2", "[]string [] null"]


@pytest.mark.parametrize(
    "text",
    [
        '{{ (imageRedirect "a/b:c" $).tag }}',
        '{{ $i := imageRedirect "a/b:c" $ }}{{ $i.tag }}',
        '{{ $i := 1 }}{{ $i = imageRedirect "a/b:c" $ }}{{ $i.tag }}',
        '{{ $ | imageRedirect "a/b:c" | dig "tag" "" }}',
        '{{ with $i := imageRedirect "a/b:c" $ }}{{ $i.tag }}{{ end }}',
        '{{ with false }}{{ else with imageRedirect "a/b:c" $ }}{{ .tag }}{{ end }}',
        '{{ range $k, $v := imageRedirect "a/b:c" $ }}{{ if eq $k "tag" }}{{ $v }}{{ end }}{{ end }}',
        '{{ range list 1 }}{{ (((imageRedirect "a/b:c" $))).tag }}{{ end }}',
        '{{ get (imageRedirect (print "a/b:" (imageRedirect "x/y:c" $).tag) $) "tag" }}',
        '{{- /* } */ -}} {{- get (imageRedirect `a/b:c` $) `tag` -}} ',
        '{{ define "d" -}} \n {{ (imageRedirect "a/b:c" .).tag }}{{ end }}{{ template "d" . }}',
        '{{ define "d" }}{{ .tag }}{{ end }}{{ template "d" imageRedirect "a/b:c" $ }}',
        '{{ block "d" imageRedirect "a/b:c" $ }}{{ .tag }}{{ end }}',
        '{{ and true (imageRedirect "a/b:c" $) | dig "tag" "" }}',
        '{{(\n\timageRedirect\n\t"a/b:c"\n\t$\n).tag}}',
    ],
)  # fmt: skip
def test_a_function_is_replaced_in_every_command_position(render: Render, text: str) -> None:
    assert render(text) == "c"


def test_a_function_name_elsewhere_is_not_a_call(render: Render) -> None:
    text = '{{ .Parameters.imageRedirect }} {{ "resolveDNS" }} {{/* tpl */}}imageRedirect{{ $tpl := 1 }}{{ $tpl }}'
    assert render(text, parameters={"imageRedirect": "x"}) == "x resolveDNS imageRedirect1"


def test_the_most_specific_host_entry_is_used(render_all: Render) -> None:
    names = ["a.example.com", "A.Example.com.", "w.example.com", "x.y.w.example.com", "b.example.com", "v6.example.org"]
    names += ["10.1.2.3", "fd00::2", "::1"]
    assert render_all(*(f'{{{{ resolveDNS "{name}" }}}}{{{{ "{name}" | getHostByName }}}}' for name in names)) == [
        2 * address
        for address in (
            "10.0.0.1",
            "10.0.0.1",
            "10.0.0.2",
            "10.0.0.2",
            "10.0.0.3",
            "fd00::1",
            "10.1.2.3",
            "fd00::2",
            "::1",
        )
    ]


@pytest.mark.parametrize(
    ("written", "printed"),
    [
        ("FD00:0::1", "fd00::1"),
        ("0:0:0:0:0:0:0:0", "::"),
        ("1:0:0:2:0:0:0:3", "1:0:0:2::3"),
        ("0:0:1:0:0:1:0:0", "::1:0:0:1:0:0"),
        ("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"),
        ("2001:0db8::00a0", "2001:db8::a0"),
        ("::1.2.3.4", "::102:304"),
        ("::ffff:1.2.3.4", "1.2.3.4"),
        ("0:0:0:0:0:FFFF:0a0b:0C0d", "10.11.12.13"),
        ("fe80::1%eth0", "fe80::1"),
    ],
)
def test_an_address_is_printed_as_in_go(render: Render, written: str, printed: str) -> None:
    assert render(f'{{{{ resolveDNS "{written}" }}}} {{{{ getHostByName "{written}" }}}}') == f"{printed} {written}"


@pytest.mark.parametrize(
    "text",
    [
        *(":", ":::", "1:2:3", "12345::1", "1:2:3:4:5:6:7:8:9", "1:2:3:4::5:6:7:8", "1::2::3", ":1::2", "1::2:"),
        *("::1%", "::256.1.1.1", "1.2.3.4%eth0", "::g", "1.2.3", "01.2.3.4"),
    ],
)
def test_an_invalid_address_is_an_unknown_host(render: Render, text: str) -> None:
    assert render(f'{{{{ resolveDNS "{text}" }}}}').message == f"no address is known for the host '{text}'"


def test_an_unknown_host_is_an_error_with_a_hint_where_to_add_it(render_all: Render) -> None:
    hint = "add it to 'hosts' in kcd-gen.yaml, or pass it with --resolve"
    names = ["nowhere.org", "example.community", "", "256.1.1.1"]
    assert render_all(*(f'{{{{ resolveDNS "{name}" }}}}' for name in names)) == [
        TemplateFailure(f"no address is known for the host '{name}'", 1, 4, hint=hint, code="unknown-host", host=name)
        for name in names
    ]


def test_a_wrong_argument_is_an_error_at_its_position(render_all: Render) -> None:
    found = render_all(
        "{{ imageRedirect 5 $ }}",
        '{{ imageRedirect "a" .Parameters }}',
        '{{ imageRedirect "a" .Parameters.missing }}',
        "\n {{ resolveDNS ( .Parameters.missing ) }}",
        '{{ imageRedirect "nginx:1.2" $ }}',
        '{{ imageRedirect "a" }}',
        "{{ list imageRedirect }}",
        "{{ resolveDNS.x }}",
    )
    assert [(error.message, error.line, error.column) for error in found] == [
        ("expected a string; found int", 1, 18),
        ("expected the model, $; found a map without ImageRedirector", 1, 4),
        ("expected the model, $; found <nil>", 1, 33),
        ("expected a string; found no value", 2, 18),
        ("invalid image name: nginx:1.2", 1, 4),
        ("wrong number of args for imageRedirect: want 2 got 1", 1, 4),
        ("wrong number of args for imageRedirect: want 2 got 0", 1, 9),
        ("wrong number of args for resolveDNS: want 1 got 0", 1, 4),
    ]


def test_an_unsupported_function_is_an_error_when_it_is_reached(render_all: Render) -> None:
    found = render_all(
        '{{ include "x" . }}',
        '\n{{ "x" | tpl . }}',
        '{{ list (readFile "x") }}',
        '{{ if false }}{{ include "x" . }}{{ end }}ok',
    )
    assert [(error.message, error.code, error.line, error.column) for error in found[:3]] == [
        ("the function 'include' is not supported", "unsupported-function", 1, 4),
        ("the function 'tpl' is not supported", "unsupported-function", 2, 10),
        ("the function 'readFile' is not supported", "unsupported-function", 1, 10),
    ]
    assert all(error.hint for error in found[:3])
    assert found[3] == "ok"


def test_the_functions_that_kubocd_adds_to_sprig_are_available(render_all: Render) -> None:
    texts = {
        "{{ (fromYaml `a: [1]`).a }}": "[1]",
        "{{ fromYamlArray `[1, a]` | len }}": "2",
        '{{ (fromJson `{"a": 1}`).a }}': "1",
        "{{ fromJsonArray `[1, 2]` | last }}": "2",
        "{{ dict `a` `b` | toToml }}": 'a = "b"\n',
        "{{ dict `a` (list 1) | toYaml }}": "a:\n- 1",
        "{{ required `message` `given` }}": "given",
    }
    assert render_all(*texts) == list(texts.values())


@pytest.mark.parametrize("name", ["toYamlPretty", "mustToYaml", "fromToml", "env", "expandenv", "toYml"])
def test_a_function_that_kubocd_lacks_is_undefined(render: Render, name: str) -> None:
    error = render(f"\n{{{{ {name} . }}}}")
    assert (error.message, error.line, error.code) == (f'function "{name}" not defined', 2, "template-parse")


def test_the_right_name_of_a_misspelled_function_is_suggested(render: Render) -> None:
    assert render("{{ toYml . }}").hint == "did you mean 'toYaml'?"
