from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubocd_gen.diagnostics.problems import Position, ProblemsError
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


def test_every_unset_or_empty_variable_is_an_error_at_its_position() -> None:
    with pytest.raises(ProblemsError) as caught:
        expand_environment("a: ${NONE}\nb: ${A} ${EMPTY}\n# ${2}\n", "f.yaml", ENVIRONMENT)
    assert [(error.message, error.position) for error in caught.value.problems] == [
        ("the environment variable 'NONE' is not set or is empty", Position("f.yaml", 1, 4)),
        ("the environment variable 'EMPTY' is not set or is empty", Position("f.yaml", 2, 9)),
        ("the environment variable '2' is not set or is empty", Position("f.yaml", 3, 3)),
    ]
    assert "export NONE=…" in (caught.value.problems[0].hint or "")


@given(st.text())
def test_a_string_without_a_variable_is_unchanged(text: str) -> None:
    text = text.replace("${", "$ {")
    assert expand_environment(text, "f.yaml", {}) == text


@given(st.text(), st.text(), st.text(min_size=1))
def test_the_text_around_a_variable_is_unchanged(before: str, after: str, value: str) -> None:
    before, after = before.replace("$", ""), after.replace("$", "")
    assert expand_environment(f"{before}${{X}}{after}", "f.yaml", {"X": value}) == before + value + after


SECRETS = [
    *(
        "DOCKER_AUTH_CONFIG",
        "KCD_OCI_QUAY_IO_USER",
        "KCD_OCI_USER",
        "GITHUB_TOKEN",
        "CI_JOB_TOKEN",
        "CI_REGISTRY_USER",
        "ci_job_jwt",
    ),
    *("NPM_TOKEN", "APP_SECRET", "DB_PASSWORD", "db_password", "AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"),
    *("TOKEN", "PASSWORD", "SSH_AUTH_SOCK", "GOOGLE_APPLICATION_CREDENTIALS", "PGPASSWORD", "API_KEY", "DB_PW"),
]


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("allowed", [None, frozenset(SECRETS)])
def test_a_credential_is_never_expanded(name: str, allowed: frozenset[str] | None) -> None:
    with pytest.raises(ProblemsError) as caught:
        expand_environment(f"a: ${{{name}}}", "f.yaml", {name: "hunter2"}, allowed)
    (error,) = caught.value.problems
    assert (error.code, error.position) == ("secret-variable", Position("f.yaml", 1, 4))
    assert "hunter2" not in f"{error.message}{error.hint}"


def test_messages_do_not_reveal_whether_an_unlisted_variable_is_set() -> None:
    message = []
    for environment in ({}, {"HOST": "build-7"}):
        with pytest.raises(ProblemsError) as caught:
            expand_environment("${HOST}", "f.yaml", environment, frozenset({"A"}))
        message.append([(error.code, error.message, error.hint) for error in caught.value.problems])
    assert message[0] == message[1]
    assert message[0][0][0] == "unlisted-variable"


@pytest.mark.parametrize("name", ["DOMAIN", "REGION", "CLUSTER", "KEYCLOAK_HOST", "PATIENT", "CIRCLE", "MONKEYS"])
def test_harmless_names_are_expanded(name: str) -> None:
    assert expand_environment(f"${{{name}}}", "f.yaml", {name: "x"}, frozenset({name})) == "x"
