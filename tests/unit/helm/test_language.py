"""The template language of KuboCD, without access to the chart that contains the templates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kubocd_gen.helm.engine import Helm
from kubocd_gen.helm.template import Functions, Template, TemplateFailure, Unit

Render = Callable[..., Any]


def test_a_template_sees_only_the_model(render: Render) -> None:
    text = (
        "{{ keys . | sortAlpha | join `,` }}|{{ .Values }}{{ .Chart }}{{ .Files }}{{ .Capabilities }}{{ .Template }}|"
    )
    assert render(text) == "Context,ImageRedirector,Parameters,Release||"


def test_numbers_are_floats_and_keep_their_values(render: Render) -> None:
    parameters = {"a": 8080, "b": 1.5, "c": 12345678, "d": None, "e": 1e21, "f": -0.0}
    text = "{{ .Parameters.a }} {{ .Parameters.c }} {{ kindOf .Parameters.a }} {{ toJson .Parameters }}"
    assert render(text, parameters=parameters) == (
        '8080 1.2345678e+07 float64 {"a":8080,"b":1.5,"c":12345678,"d":null,"e":1e+21,"f":-0}'
    )


def test_strings_are_passed_unchanged(render: Render) -> None:
    nasty = "\u2028 \x00\x1f\x7f é 😀 </script> {{ .x }} \" ' ` \\ --- \n# x\r\n\ufeff"
    assert render("{{ .Parameters.s }}", parameters={"s": nasty}) == nasty


def test_a_lone_surrogate_becomes_the_replacement_character(render_all: Render) -> None:
    assert render_all("{{ .Parameters.s }}", "\ud800{{ `\udfff` }}", parameters={"s": "a\ud800b"}) == [
        "a\ufffdb",
        "\ufffd\ufffd",
    ]


def test_the_marker_no_value_is_removed(render_all: Render) -> None:
    assert render_all("a{{ .x }}b", "a<no value>b", "{{ `<no value>` }}") == ["ab", "ab", ""]


def test_a_template_keeps_its_whitespace(render_all: Render) -> None:
    texts = ["", "\n", "  {{/**/}} \n\n", "\ufeff{{ 1 }}", "a\r\n{{ 1 }}\r\n", "--- {{ 1 }}\n---\n"]
    assert render_all(*texts) == ["", "\n", "   \n\n", "\ufeff1", "a\r\n1\r\n", "--- 1\n---\n"]


def test_a_template_can_use_definitions_of_its_own_and_its_header(render: Render) -> None:
    assert (
        render('{{ template "h" . }}{{ template `t` }}{{ define "t" }}T{{ end }}', header='{{ define "h" }}H{{ end }}')
        == "HT"
    )


def test_no_template_sees_or_replaces_definitions_of_another(render_all: Render) -> None:
    mine, other, undefined = render_all(
        '{{ define "x" }}mine{{ end }}{{ template "x" }}',
        '{{ define "x" }}other{{ end }}{{ template "x" }}',
        '{{ template "x" }}',
    )
    assert (mine, other) == ("mine", "other")
    hint = "define it in the template itself or in the package's templateHeader"
    assert undefined == TemplateFailure('template "x" not defined at <{{template "x"}}>', 1, 13, hint=hint)


def test_an_unknown_template_name_is_an_error_only_when_it_is_reached(render: Render) -> None:
    assert render('{{ if false }}{{ template "x" }}{{ end }}ok') == "ok"


def test_the_empty_template_name_is_the_template_itself(render: Render) -> None:
    assert render('{{ if kindIs "map" . }}{{ template "" 2 }}{{ else }}{{ . }}{{ end }}') == "2"


def test_only_an_empty_definition_can_be_redefined(render_all: Render) -> None:
    good, bad = render_all(
        '{{ define "x" }} {{ end }}{{ define "x" }}{{ (imageRedirect "a/b" .).tag }}{{ end }}{{ template "x" . }}',
        '{{ define "x" }}1{{ end }}{{ define `x` }}2{{ end }}',
    )
    assert good == "latest"
    assert bad == TemplateFailure('multiple definition of template "x"', 1, code="template-parse")


def test_a_block_is_defined_and_rendered(render: Render) -> None:
    text = '{{ block "b" . -}}  [{{ (imageRedirect "a/b:1" .).tag }}]{{ end }}{{ template "b" . }}'
    assert render(text) == "[1][1]"


def test_functions_return_the_same_values_as_in_kubocd(render_all: Render) -> None:
    assert render_all(
        "{{ lookup `v1` `Pod` `a` `b` }}", "{{ toJson `<a>` }}", "{{ print nil }}", "{{ now.Location }}"
    ) == [
        "map[]",
        '"\\u003ca\\u003e"',
        "<nil>",
        "UTC",
    ]


def test_numbers_are_floats_in_printf_and_eq(render_all: Render) -> None:
    text, error = render_all('{{ printf "%d" .Parameters.n }}', "{{ eq .Parameters.n 8080 }}", parameters={"n": 8080})
    assert text == "%!d(float64=8080)"
    assert isinstance(error, TemplateFailure)
    assert "incompatible types for comparison" in error.message


def test_a_field_of_a_missing_value_is_an_error_unless_in_parentheses(render_all: Render) -> None:
    error, text = render_all("{{ .missing.foo }}", "{{ (.missing).foo }}")
    assert isinstance(error, TemplateFailure)
    assert "nil pointer evaluating interface {}.foo" in error.message
    assert text == ""


def test_templates_of_one_release_share_a_model_that_no_other_release_sees(helm: Helm) -> None:
    context = {"tree": {"a": 1}}
    model: dict[str, Any] = {"Parameters": {}}
    change = Template("", '{{ $_ := set .Context.tree "b" 2 }}{{ $_ := set .Parameters "p" 3 }}')
    look = Template("", "{{ toJson .Context }}{{ toJson .Parameters }}")
    rendered = helm.render(
        [
            Unit(context, model, (look,)),
            Unit(context, model, (look, change, look)),
            Unit(context, model, (look,)),
            Unit(context, model, (change, look)),
        ],
        Functions(),
    )
    before, after = '{"tree":{"a":1}}{}', '{"tree":{"a":1,"b":2}}{"p":3}'
    assert rendered == [[before], [before, "", after], [before], ["", after]]
    assert (context, model) == ({"tree": {"a": 1}}, {"Parameters": {}})


def test_each_release_has_its_own_image_redirector(render_all: Render) -> None:
    changed, seen = render_all('{{ $_ := .ImageRedirector.Scan "9.9.9" }}{{ . }}', "{{ .ImageRedirector }}")
    assert "9.9.9" in changed
    assert "9.9.9" not in seen


def test_the_parameters_template_has_a_nil_map_of_parameters_and_an_image_redirector(helm: Helm) -> None:
    texts = {
        "{{ keys . | sortAlpha | join `,` }}": "Context,ImageRedirector,Parameters,Release",
        "{{ .Parameters }} {{ toString .Parameters }} {{ kindOf .Parameters }}": "map[] map[] map",
        "{{ .Parameters.b }}|{{ (.Parameters.x).y }}|{{ .Parameters | toJson }}": "||null",
        "{{ kindOf .ImageRedirector }} {{ (imageRedirect `a/b:c` $).tag }}": "ptr c",
    }
    units = [Unit({}, {"Release": {}}, (), Template("", text)) for text in texts]
    assert helm.render(units, Functions()) == [[printed] for printed in texts.values()]
    (refused,) = helm.render([Unit({}, {"Release": {}}, (), Template("", "{{ set .Parameters `a` 1 }}"))], Functions())[
        0
    ]
    assert isinstance(refused, TemplateFailure)
    assert "assignment to entry in nil map" in refused.message


def test_a_parameters_template_changes_the_context_but_not_the_release_of_other_templates(helm: Helm) -> None:
    context, model = {"tree": {"a": 1}}, {"Parameters": {"p": 1}, "Release": {"spec": {"n": 10_000_000, "t": "<é>"}}}
    change = '{{ $_ := set .Context.tree "b" (kindOf .Parameters.p) }}{{ $_ := set .Release.spec "c" 2 }}'
    change += '{{ $_ := set . "Context" 1 }}{{ toJson .Release }}'
    look = Template("", "{{ toJson .Context }}{{ toJson .Parameters }}{{ toJson .Release }}")
    same = Template("", "{{ .Release.spec.t }}")
    rendered = helm.render(
        [Unit(context, model, (look,), Template("", change)), Unit(context, model, (look,), same)], Functions()
    )
    release = r'{"spec":{"n":10000000,"t":"\u003cé\u003e"}}'
    changed = r'{"spec":{"c":2,"n":10000000,"t":"\u003cé\u003e"}}'
    assert rendered == [
        [changed, '{"tree":{"a":1,"b":"invalid"}}{"p":1}' + release],
        ["<é>", '{"tree":{"a":1}}{"p":1}' + release],
    ]


def test_bytes_that_are_not_utf8_are_kept_and_joined_where_a_missing_value_was(render_all: Render) -> None:
    texts = ['{{ trunc 1 "é" }}|{{ b64dec "gA==" }}', '{{ trunc 1 "é" }}{{ .Context.missing }}{{ substr 1 2 "é" }}']
    assert render_all(*texts) == ["\udcc3|\udc80", "é"]


def test_data_larger_than_a_chart_file_is_passed_completely(helm: Helm) -> None:
    context = {"large": "é" * (1 << 20), "after": 1}  # 6 MiB of JSON
    template = Template("", "{{ len .Context.large }} {{ .Context.after }}")
    assert helm.render([Unit(context, {}, (template,))], Functions()) == [["2097152 1"]]


def test_yaml_is_printed_as_in_kubocd(helm: Helm) -> None:
    values = [{"b": 1.0, "a10": "true", "a9": None, "B": [1.5, "x\n"]}, [], "{{ .x }}", "k\n\n"]
    assert helm.to_yaml(values) == [
        'B:\n- 1.5\n- |\n  x\na9: null\na10: "true"\nb: 1\n',
        "[]\n",
        "'{{ .x }}'\n",
        "|+\n  k\n\n",
    ]
    assert helm.to_yaml([]) == []


def test_a_list_of_words_is_printed_as_in_helm(helm: Helm) -> None:
    words = ["pg-operator", "certManager", "a_b", "E1", "x0x1F", "Yes-man", "nullable", "A" * 41, "e3", "o-"]
    lists: list[list[str]] = [[], words, *([word] for word in words)]
    # One tree that is not a list of words sends everything through helm.
    asked = [{"list": value} for value in lists]
    assert [text.removeprefix("list:").lstrip("\n ") for text in helm.to_yaml(asked)] == helm.to_yaml(lists)


def test_a_list_with_an_ambiguous_word_is_printed_by_helm(helm: Helm) -> None:
    reserved = ["y", "NO", "on", "True", "null", "NaN", "inf", "1", "", "a b"]
    assert helm.to_yaml([[word] for word in reserved])[:3] == ['- "y"\n', '- "NO"\n', '- "on"\n']
