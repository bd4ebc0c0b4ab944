from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.oci.reference import Reference, parse_reference


def test_a_reference_has_a_registry_a_repository_and_a_tag() -> None:
    reference = parse_reference("quay.io/kubodoc/packages/podinfo:6.7.1-p01")
    assert reference == Reference("quay.io", "kubodoc/packages/podinfo", "6.7.1-p01")


@pytest.mark.parametrize(
    "text",
    [
        "quay.io/kubodoc/packages/podinfo:6.7.1-p01",
        "registry.example.com/p:1.0.0",
        "registry.example.com:5000/p:1",
        "localhost/p:latest",
        "localhost:5000/a/b:v1",
        "registry/p:1",
        "my_registry:5000/p:1",
        "10.0.0.1:5000/p:1",
        "[fd00::1]:5000/p:1",
        "REGISTRY.example.com/p:1",
        "xn--bcher-kva.example/p:1",
        "x.io/a.b/c_d/e__f/g-h/i--j:1",
        "x.io/p:_" + "A" * 127,
        "x.io/p:1.0.0-rc.1_build-7",
    ],
)
def test_a_valid_reference_is_printed_as_it_was_written(text: str) -> None:
    assert str(parse_reference(text)) == text


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "has no repository"),
        ("podinfo:1", "has no repository"),
        ("quay.io:443", "has no repository"),
        ("oci://quay.io/p:1", "starts with a scheme"),
        ("https://quay.io/p:1", "starts with a scheme"),
        ("quay.io/p", "has no tag"),
        ("quay.io:5000/p", "has no tag"),
        ("quay.io/p:", "invalid tag: ''"),
        ("quay.io/p:-1", "invalid tag: '-1'"),
        ("quay.io/p:.1", "invalid tag: '.1'"),
        ("quay.io/p:1+2", "invalid tag: '1+2'"),
        ("quay.io/p:1:2", "has two tags"),
        ("quay.io/p:${TAG}", "contains a variable"),
        ("${REGISTRY}/p:1", "contains a variable"),
        ("quay.io/p:1/2", "invalid tag: '1/2'"),
        ("quay.io/p:1 ", "invalid tag: '1 '"),
        ("quay.io/p:1\n", r"invalid tag: '1\n'"),
        ("quay.io/p:" + "1" * 129, "invalid tag"),
        ("quay.io/p:ⅷ", "invalid tag"),
        ("quay.io/p@sha256:" + "0" * 64, "contains a digest"),
        ("/p:1", "invalid registry host: ''"),
        ("quay..io/p:1", "invalid registry host"),
        ("../p:1", "invalid registry host"),
        ("quay.io:/p:1", "invalid registry host"),
        ("quay.io:http/p:1", "invalid registry host"),
        ("a:b:c:d/p:1.0.0", "invalid registry host"),
        ("-quay.io/p:1", "invalid registry host"),
        (" quay.io/p:1", "invalid registry host"),
        ("user@quay.io/p:1", "contains a digest"),
        ("quay.io//p:1", "invalid repository component: ''"),
        ("quay.io/:1", "invalid repository component: ''"),
        ("quay.io/p/:1", "invalid repository component: ''"),
        ("quay.io/../p:1", "invalid repository component: '..'"),
        ("quay.io/a..b:1", "invalid repository component: 'a..b'"),
        ("quay.io/a___b:1", "invalid repository component: 'a___b'"),
        ("quay.io/-p:1", "invalid repository component: '-p'"),
        ("quay.io/p-:1", "invalid repository component: 'p-'"),
        ("quay.io/a b:1", "invalid repository component: 'a b'"),
        ("quay.io/a\x1b[31m:1", r"invalid repository component: 'a\x1b[31m'"),
        ("quay.io/a\u202eb:1", r"invalid repository component: 'a\u202eb'"),
        ("quay.io/Podinfo:1", "it must be lowercase"),
        ("quay.io/" + "a" * 248 + ":1", "more than 255 characters"),
    ],
)
def test_an_invalid_reference_is_refused_with_a_reason(text: str, sentence: str) -> None:
    with pytest.raises(ProblemsError) as caught:
        parse_reference(text)
    assert caught.value.problem.code == "bad-reference"
    assert sentence in caught.value.problem.message
    assert caught.value.problem.message.isprintable()


_component = st.from_regex(r"[a-z0-9]{1,6}(?:(?:\.|_|__|-{1,3})[a-z0-9]{1,6}){0,3}", fullmatch=True)
_host = st.from_regex(r"[a-z0-9]{1,6}(?:[.-][a-z0-9]{1,6}){0,4}(?::[0-9]{1,5})?", fullmatch=True)
_tag = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,20}", fullmatch=True)


@given(_host, st.lists(_component, min_size=1, max_size=4), _tag)
def test_any_valid_reference_is_parsed_and_printed_back(host: str, components: list[str], tag: str) -> None:
    repository = "/".join(components)
    assume(len(host) + 1 + len(repository) <= 255)
    reference = parse_reference(f"{host}/{repository}:{tag}")
    assert (reference.registry, reference.repository, reference.tag) == (host, repository, tag)
    assert str(reference) == f"{host}/{repository}:{tag}"


@given(st.text(alphabet="ab/:.@-_ \x1b\n[]é%0", max_size=40))
def test_any_string_is_a_reference_or_refused(text: str) -> None:
    try:
        reference = parse_reference(text)
    except ProblemsError as error:
        assert error.problem.code == "bad-reference"
        assert error.problem.message.isprintable()
    else:
        assert str(reference) == text
