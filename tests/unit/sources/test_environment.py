from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubocd_gen.diagnostics import KcdErrors, Position
from kubocd_gen.sources.environment import expand_environment

ENVIRONMENT = {"A": "one", "a_1": "two", "1": "three", "EMPTY": "", "NESTED": "${A}"}


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("x: ${A}", "x: one"),
        ("${A}${a_1}${1}", "onetwothree"),
        ("# ${A}", "# one"),
        ("$${A}", "$${A}"),
        ("$A ${a-b} ${} ${ A } $(A) ${A", "$A ${a-b} ${} ${ A } $(A) ${A"),
        ("${NESTED}", "${A}"),
        ("{{ ${A} }}", "{{ one }}"),
    ],
)
def test_only_a_name_in_braces_is_expanded(text: str, expanded: str) -> None:
    assert expand_environment(text, "f.yaml", ENVIRONMENT) == expanded


def test_every_variable_that_is_unset_or_empty_is_an_error_at_its_place() -> None:
    with pytest.raises(KcdErrors) as caught:
        expand_environment("a: ${NONE}\nb: ${A} ${EMPTY}\n# ${2}\n", "f.yaml", ENVIRONMENT)
    assert [(error.message, error.position) for error in caught.value.errors] == [
        ("the environment variable 'NONE' is not set or is empty", Position("f.yaml", 1, 4)),
        ("the environment variable 'EMPTY' is not set or is empty", Position("f.yaml", 2, 9)),
        ("the environment variable '2' is not set or is empty", Position("f.yaml", 3, 3)),
    ]
    assert caught.value.errors[0].hint == "set it, as with: export NONE=…"


@given(st.text())
def test_a_text_without_a_variable_stays_as_it_is(text: str) -> None:
    text = text.replace("${", "$ {")
    assert expand_environment(text, "f.yaml", {}) == text


@given(st.text(), st.text(), st.text(min_size=1))
def test_what_stands_around_a_variable_stays_as_it_is(before: str, after: str, value: str) -> None:
    before, after = before.replace("$", ""), after.replace("$", "")
    assert expand_environment(f"{before}${{X}}{after}", "f.yaml", {"X": value}) == before + value + after


@pytest.mark.parametrize(
    "name",
    [
        *(
            "GITHUB_TOKEN",
            "KCD_OCI_QUAY_IO_SECRET",
            "KCD_OCI_USER",
            "CI_JOB_JWT",
            "CI_COMMIT_SHA",
            "DB_PASSWORD",
            "MY_TOKEN",
        ),
        *(
            "MY_TOKEN",
            "MY_SECRET",
            "AWS_SECRET_ACCESS_KEY",
            "ACTIONS_RUNTIME_URL",
            "SSH_AUTH_SOCK",
            "api_key",
            "GH_PAT",
        ),
    ],
)
def test_a_variable_that_can_hold_a_credential_is_never_expanded(name: str) -> None:
    for allowed in (None, {name}):
        with pytest.raises(KcdErrors) as caught:
            expand_environment(f"a: ${{{name}}}", "f.yaml", {name: "hunter2"}, allowed)
        (error,) = caught.value.errors
        assert (error.code, error.position) == ("secret-variable", Position("f.yaml", 1, 4))
        assert "hunter2" not in f"{error.message} {error.hint}"


def test_a_variable_that_is_not_listed_is_an_error_with_the_flag() -> None:
    text = "a: ${REGION}\nb: ${ZONE}"
    environment = {"REGION": "eu", "ZONE": "a"}
    assert expand_environment(text, "f.yaml", environment, {"REGION", "ZONE"}) == "a: eu\nb: a"
    with pytest.raises(KcdErrors) as caught:
        expand_environment(text, "f.yaml", environment, {"REGION"})
    (error,) = caught.value.errors
    assert (error.code, error.position) == ("unlisted-variable", Position("f.yaml", 2, 4))
    assert "--expand-env ZONE" in str(error.hint)
