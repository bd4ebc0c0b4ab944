"""Reading the rendered templates of a package."""

from __future__ import annotations

from typing import Any

import pytest

from kubocd_gen.compiler.rendered import read_rendered
from kubocd_gen.diagnostics.problems import Problem, ProblemsError
from kubocd_gen.model.compilation import RenderedModule, RenderedPackage
from tests.support.records import package

PACKAGE = package(
    """\
    apiVersion: v1alpha1
    name: web
    tag: 1.0.0
    usage: {text: hello}
    modules:
      - name: main
        source: {helmRepository: {url: https://x, chart: web, version: 1.0.0}}
      - name: side
        source: {helmRepository: {url: https://x, chart: side, version: 1.0.0}}
    """
)


def read(**texts: str) -> RenderedPackage:
    """Read the package with the given rendered templates (`main__values`, `roles` …); the others are unrendered."""
    rendered = {source.path: source.text for _, source in PACKAGE.templates()}
    for name, text in texts.items():
        module, _, field = name.rpartition("__")
        index = {"main": 0, "side": 1}
        rendered[("modules", index[module], field) if module else (field,)] = text
    return read_rendered(PACKAGE, rendered)


def main(**texts: str) -> RenderedModule:
    return read(**{f"main__{field}": text for field, text in texts.items()}).modules[0]


def error(**texts: str) -> Problem:
    with pytest.raises(ProblemsError) as found:
        main(**texts)
    (one,) = found.value.problems
    return one


def test_nulls_and_empty_maps_of_values_and_spec_patch_are_pruned() -> None:
    module = main(values="a: {b: null}\nc: []\n", specPatch="install: {}\nmaxHistory: 3\n")
    assert (module.values, module.spec_patch) == ({"c": []}, {"maxHistory": 3})


@pytest.mark.parametrize("text", ["1", "t", "T", "TRUE", "true", "True", " true\n"])
def test_enabled_accepts_what_go_parses_as_true(text: str) -> None:
    assert main(enabled=text).enabled is True


@pytest.mark.parametrize("text", ["0", "f", "F", "FALSE", "false", "False", "\nfalse "])
def test_enabled_accepts_what_go_parses_as_false(text: str) -> None:
    assert main(enabled=text).enabled is False


@pytest.mark.parametrize("text", ["", "yes", "tRUE", "on", "null"])
def test_enabled_accepts_nothing_else(text: str) -> None:
    found = error(enabled=text)
    assert found.code == "bad-rendering"
    assert "module 'main', enabled must render to true or false" in found.message


def test_durations_are_printed_as_in_go_and_none_if_absent() -> None:
    module = main(timeout=" 90s\n", interval="")
    assert (module.timeout, module.interval) == ("1m30s", None)


def test_a_bad_duration_names_the_module_and_the_field() -> None:
    found = error(timeout="5 minutes")
    assert found.code == "invalid-duration"
    assert found.message.startswith("package web:1.0.0, module 'main', timeout must be a duration, ")
    assert found.position is not None
    assert found.position.path.startswith("oci://registry.example.com/demo/web:1.0.0/")


def test_a_duration_that_renders_to_nothing_is_an_error_unless_the_field_is_absent_or_empty() -> None:
    manifest = PACKAGE.text.replace("name: main\n", "name: main\n    timeout: '{{ .x }}'\n    interval: ''\n")
    given = package(manifest)
    rendered = {
        source.path: "" if source.path[-1] in ("timeout", "interval") else source.text
        for _, source in given.templates()
    }
    with pytest.raises(ProblemsError) as found:
        read_rendered(given, rendered)
    (one,) = found.value.problems
    assert one.code == "invalid-duration"
    assert "module 'main', timeout must render to a duration, but renders to nothing" in one.message


def test_the_target_namespace_and_the_strategy_are_trimmed_as_in_go() -> None:
    module = main(targetNamespace="\u2003apps\x85\n", onFailureStrategy="\tstop\x1f ")
    assert (module.target_namespace, module.on_failure_strategy) == ("apps", "stop\x1f")


@pytest.mark.parametrize(("field", "code"), [("enabled", "bad-rendering"), ("timeout", "invalid-duration")])
def test_separators_of_ascii_are_not_white_space(field: str, code: str) -> None:
    assert error(**{field: "\x1c1\x1f"}).code == code


@pytest.mark.parametrize("field", ["values", "specPatch", "timeout", "targetNamespace", "enabled", "onFailureStrategy"])
def test_bytes_that_are_not_utf8_are_an_error(field: str) -> None:
    found = error(**{field: "a: 1\n# \udcc3\n"})
    assert found.code == "bad-rendering"
    assert (found.hint or "").endswith("line 2 of the rendered template: # \ufffd")


def test_in_usage_and_description_each_byte_that_is_not_utf8_is_a_replacement_character() -> None:
    texts = {source.path: source.text for _, source in PACKAGE.templates()}
    found = read_rendered(PACKAGE, {**texts, ("usage", "text"): "\udcf0\udc9fé", ("description",): "\udcff"})
    assert (found.usage, found.description) == ({"text": "\ufffd\ufffdé"}, "\ufffd")


@pytest.mark.parametrize(("printed", "created"), [("bool true", True), ("bool false", False)])
def test_create_namespace_is_read_from_the_model(printed: str, created: bool) -> None:
    assert main(createNamespace=printed).create_namespace is created
    assert main().create_namespace is None


@pytest.mark.parametrize("printed", ["string true", "invalid ", "float64 1"])
def test_a_create_namespace_that_is_not_a_boolean_is_an_error(printed: str) -> None:
    found = error(createNamespace=printed)
    assert found.code == "bad-rendering"
    assert "module 'main'" in found.message


def test_a_module_can_depend_on_another_or_itself() -> None:
    assert main(dependsOn="[side, main]").depends_on == ("side", "main")


def test_a_module_that_does_not_exist_is_an_error_with_the_nearest_name() -> None:
    found = error(dependsOn="[sied]")
    assert (found.code, found.hint) == ("unknown-module", "did you mean 'side'?")


@pytest.mark.parametrize(
    ("text", "roles"),
    [
        ("[a, b]", ("a", "b")),
        ("", ()),
        ("null", ()),
        ("- 1.10\n- true\n- null\n- 12345678901234567890\n", ("1.1", "true", "", "12345678901234567890")),
    ],
)
def test_roles_are_a_list_whose_scalars_become_strings(text: str, roles: tuple[str, ...]) -> None:
    assert read(roles=text).roles == roles


@pytest.mark.parametrize("text", ["a", "{a: b}", "[[a]]", "[{a: b}]"])
def test_roles_of_another_type_are_an_error(text: str) -> None:
    with pytest.raises(ProblemsError, match="roles must render to a list of names"):
        read(roles=text)


def test_description_and_usage_are_the_rendered_strings() -> None:
    rendered_texts: dict[tuple[Any, ...], str] = {source.path: source.text for _, source in PACKAGE.templates()}
    rendered_texts["description",] = " [no YAML\n"
    found = read_rendered(PACKAGE, rendered_texts)
    assert (found.description, found.usage) == (" [no YAML\n", {"text": "hello"})


def test_every_unreadable_field_is_reported_including_disabled_modules() -> None:
    with pytest.raises(ProblemsError) as found:
        read(main__values="[", main__timeout="x", side__enabled="false", side__interval="5", roles="{}")
    assert [one.code for one in found.value.problems] == [
        "bad-rendering",
        "bad-rendering",
        "invalid-duration",
        "invalid-duration",
    ]


def test_a_template_that_failed_hides_no_other_problem() -> None:
    texts: dict[tuple[Any, ...], str] = {source.path: source.text for _, source in PACKAGE.templates()}
    del texts["modules", 0, "values"]
    texts["modules", 0, "timeout"] = "soon"
    with pytest.raises(ProblemsError) as found:
        read_rendered(PACKAGE, texts)
    assert [one.code for one in found.value.problems] == ["invalid-duration"]
