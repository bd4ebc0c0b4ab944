"""Reading the written file of a suspended Release, and the documents that are refused in it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubocd_gen.budget.limits import Limits
from kubocd_gen.budget.spending import Budget, BudgetExceededError
from kubocd_gen.compiler.flux_objects import helm_release, typed_spec
from kubocd_gen.diagnostics.problems import Problem, ProblemsError
from kubocd_gen.kube_yaml.emitter import emit_documents
from kubocd_gen.kube_yaml.reader import read_documents
from kubocd_gen.output.inventory import record_content, record_path
from kubocd_gen.pipeline.suspended import (
    MAX_BYTES,
    MAX_DOCUMENTS,
    Suspended,
    Written,
    check_record,
    differences,
    kept_documents,
    written_path,
)
from tests.support.records import release

WEB = release(suspended=True)
PATH = "deploy/flux/default/web.yaml"
CASES = Path(__file__).parents[2] / "acceptance/cases"

Document = dict[str, Any]


def document(name: str = "web-main", *, protected: bool = False, **fields: Any) -> Document:
    """Return a HelmRelease as a build writes it."""
    source = {"kind": "HelmRepository", "name": "kcd-web", "namespace": "default"}
    chart = {"chart": "main", "version": "1.0.0", "sourceRef": source, "interval": "5m0s"}
    spec = {"chart": {"spec": chart}, "interval": "5m0s", "releaseName": name, "values": {"replicas": 2}, **fields}
    typed, violations = typed_spec("helmrelease-v2", spec)
    assert not violations
    return helm_release(WEB, name, typed, protected=protected)


def source(kind: str = "HelmRepository", name: str = "kcd-web", namespace: str = "default") -> Document:
    return {
        "apiVersion": "source.toolkit.fluxcd.io/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {},
    }


def kept(text: str | bytes) -> tuple[Any, ...]:
    return kept_documents(text.encode() if isinstance(text, str) else text, PATH, Suspended(WEB))


def refusal(text: str | bytes) -> Problem:
    with pytest.raises(ProblemsError) as error:
        kept(text)
    assert error.value.problem.code == "suspended-output"
    assert error.value.problem.position is not None
    assert error.value.problem.position.path == PATH
    assert error.value.problem.hint is not None
    return error.value.problem


def test_a_written_file_is_kept_unchanged() -> None:
    documents = [document(), document("web-db", protected=True, dependsOn=[{"name": "web-main"}]), document("web")]
    text = emit_documents([source("OCIRepository"), source(), *documents])
    assert emit_documents([source("OCIRepository"), source(), *kept(text)]) == text


@pytest.mark.parametrize(
    "path", sorted(CASES.glob("*/output/flux/*/*.yaml")), ids=lambda path: f"{path.parts[-5]}-{path.stem}"
)
def test_every_golden_output_can_be_kept(path: Path) -> None:
    one = release(path.stem, namespace=path.parent.name)
    text = path.read_text()
    documents = [document.value for document in read_documents(text, "")]
    written = [document for document in documents if document["kind"] == "HelmRelease"]
    found = kept_documents(text.encode(), PATH, Suspended(one))
    assert emit_documents(found) == emit_documents(written)
    assert emit_documents([*documents[: len(documents) - len(written)], *found]) == text


TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]) | st.sampled_from("\n\t"), max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**62), 2**62) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=10,
)


@given(values=st.dictionaries(TEXTS, VALUES, max_size=4))
def test_keeping_a_kept_file_changes_nothing(values: Document) -> None:
    once = emit_documents(kept(emit_documents([document(values=values)])))
    assert emit_documents(kept(once)) == once


def changed(*keys: str, value: Any) -> Callable[[Document], None]:
    def change(one: Document) -> None:
        at = one
        for key in keys[:-1]:
            at = at[key]
        at[keys[-1]] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        changed("kind", value="ClusterRoleBinding"),
        changed("kind", value="List"),
        changed("kind", value=None),
        changed("apiVersion", value="helm.toolkit.fluxcd.io/v2beta1"),
        changed("apiVersion", value="example.com/v2"),
        changed("status", value={}),
        changed("items", value=[]),
        changed("metadata", value=None),
        changed("metadata", "name", value="other-main"),
        changed("metadata", "name", value="webhook"),
        changed("metadata", "name", value="web-Main"),
        changed("metadata", "name", value="web-main\n"),
        changed("metadata", "name", value=7),
        changed("metadata", "namespace", value="kube-system"),
        changed("metadata", "labels", "more", value="x"),
        changed("metadata", "labels", value={}),
        changed("metadata", "annotations", "kcd-gen.kubocd.io/release", value="default/other"),
        changed("metadata", "annotations", "more", value="x"),
        changed("metadata", "annotations", "kustomize.toolkit.fluxcd.io/ssa", value="Ignore"),
        changed("metadata", "ownerReferences", value=[]),
        changed("metadata", "finalizers", value=["x"]),
        changed("spec", value=None),
        changed("spec", "more", value=1),
        changed("spec", "interval", value="soon"),
        changed("spec", "chartRef", value={"kind": "OCIRepository", "name": "x"}),
        changed("spec", "chart", "spec", "sourceRef", "name", value="elsewhere"),
        changed("spec", "chart", "spec", "sourceRef", "namespace", value="elsewhere"),
        changed("spec", "chart", "spec", "sourceRef", "kind", value="GitRepository"),
    ],
)
def test_a_document_that_no_build_writes_for_the_release_is_refused(change: Callable[[Document], None]) -> None:
    one = document()
    change(one)
    first = document("web-first")
    text = emit_documents([first])
    lines = text.count("\n")
    position = refusal(text + emit_documents([one])).position
    assert position is not None
    assert position.line is not None
    assert position.line > lines  # in the second document


GOOD = emit_documents([document()])


@pytest.mark.parametrize(
    "text",
    [
        GOOD
        + "---\napiVersion: v1\nkind: Secret\nmetadata: {name: web-x, annotations: {x: '\nkind: HelmRelease\n'}}\n",
        GOOD + "---\na: |\n  x\nkind: HelmRelease\n",
        GOOD + "---\nkind: HelmRelease\nkind: ClusterRole\nmetadata: {name: web-main}\n",
        GOOD + '---\n{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "web-main"}}\n',
        GOOD + "---\n- kind: HelmRelease\n",
        GOOD + "---\n",
        GOOD + "--- text\n",
        GOOD + "...\n---\nkind: Pod\nmetadata: {name: web-main}\n",
        GOOD + GOOD,
        GOOD.replace("---\n", "%YAML 1.2\n---\n"),
        GOOD.replace("replicas: 2", "replicas: 2\n    replicas: 3"),
        GOOD.replace("  values:", "\tvalues:"),
        GOOD.replace("---\n", "---\r---\rkind: Pod\rmetadata: {name: web-main}\r---\n"),
        GOOD.replace("---\n", "--- # x\u2028kind: HelmRelease\n"),
        GOOD.replace("replicas: 2", "replicas: !!binary aGk\n    <<: 1"),
        GOOD.replace("replicas: 2", "a: " + "[" * 60_000),
        GOOD.replace(
            "replicas: 2",
            "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n"
            + "".join(
                f"    {new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n"
                for old, new in zip("abcdef", "bcdefg", strict=True)
            ),
        ),
        GOOD.encode() + b"# \xff\n",
        b"\x00" * 100,
        b"\x89PNG\r\n\x1a\n" + bytes(range(256)),
        GOOD + "# " + "x" * MAX_BYTES,
        "---\n" * 100_000,
        emit_documents([document(f"web-{number}") for number in range(MAX_DOCUMENTS + 1)]),
        emit_documents([source(), source()]),
        emit_documents([source(name="kcd-other")]),
        emit_documents([source(namespace="other")]),
        emit_documents([source("GitRepository")]),
        GOOD.replace("  values:", "<<<<<<< HEAD\n  values:"),
    ],
    ids=lambda text: str(text[-40:])[:40],
)
def test_a_file_that_no_build_writes_is_refused(text: str | bytes) -> None:
    refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        f"# a comment\n{GOOD}",
        f"\ufeff{GOOD}",
        GOOD.replace("\n", "\r\n"),
        GOOD.replace("---\n", "--- # kind: Pod\n"),
        GOOD.replace("replicas: 2", "{replicas: 2}").replace("  values:\n    ", "  values: "),
        GOOD.replace("replicas: 2", "&a replicas: 2"),
        f"{GOOD}...\n",
    ],
    ids=range(7),
)
def test_the_formatting_of_a_file_is_not_kept(text: str) -> None:
    assert text != GOOD
    assert emit_documents(kept(text)) == GOOD


def test_a_file_that_was_never_written_or_is_empty_has_no_helm_release() -> None:
    assert kept("") == ()
    assert kept(emit_documents([source()])) == ()


def test_a_file_is_verified_against_the_inventory() -> None:
    data = b"a\nb\n"
    digest = hashlib.sha256(data).hexdigest()
    check_record(data, digest, PATH, WEB)
    check_record(b"a\r\nb\r\n", digest, PATH, WEB)  # Git has changed the line breaks
    check_record(b"anything", None, PATH, WEB)  # the written content is unknown
    for other in (b"a\nc\n", b"", None):
        with pytest.raises(ProblemsError, match="after kcd-gen wrote it"):
            check_record(other, digest, PATH, WEB)


def test_the_verified_content_is_the_one_that_is_kept() -> None:
    path, good = written_path(WEB), GOOD.encode()
    record = record_path(WEB.namespace, WEB.name)
    listed = record_content({path: hashlib.sha256(good).hexdigest()})
    contents = iter([GOOD.replace("replicas: 2", "replicas: 3").encode(), good])  # replaced while it is read
    written = Written(lambda one: listed if one == record else next(contents), "deploy/{}".format)
    with pytest.raises(ProblemsError, match="after kcd-gen wrote it"):
        written.recorded_documents(Suspended(WEB))


def test_values_of_written_files_are_counted_in_the_budget_of_the_run() -> None:
    budget = Budget(Limits(yaml_values=100))
    written = Written(lambda _path: GOOD.encode(), "deploy/{}".format, budget=budget)
    with pytest.raises(BudgetExceededError):
        for _ in range(100):
            written.documents(Suspended(WEB))


def test_differences_between_two_versions_are_listed() -> None:
    old = [document(), document("web-db"), document("web-gone")]
    new = [document(), document("web-db", values={"replicas": 3}), document("web-new")]
    assert list(differences(old, new)) == [
        "HelmRelease 'web-db' was changed",
        "HelmRelease 'web-gone' was removed",
        "HelmRelease 'web-new' was added",
    ]
    assert list(differences(old, [*reversed(old)])) == []
