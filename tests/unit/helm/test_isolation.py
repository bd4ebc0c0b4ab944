"""The invariant: a package's templates render the same alone and together with any other package.

`FUZZ_TEXTS=5000 python -m pytest tests/unit/helm/test_isolation.py` tests that number of generated templates.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from kubocd_gen.helm.engine import Helm
from kubocd_gen.helm.process import find_helm
from kubocd_gen.helm.template import Template, TemplateFailure, Unit
from tests.support.hostile_templates import FUNCTIONS, Hostile
from tests.support.thorough import count

TEXTS = int(os.environ.get("FUZZ_TEXTS") or count(10, 50))
BATCH = 50

# One object for all, because Releases of a cluster share a Context.
CONTEXT: dict[str, Any] = {
    "domain": "good.example.com",
    "tree": {"leaf": "good", "deep": {"list": [1, 2]}},
    "list": [{"leaf": "good"}, "x"],
}
HEADER = '{{ define "shared" }}[{{ .Context.domain }}]{{ end }}{{ define "kcd" }}{{ . }}{{ end }}'
VICTIM = (
    Template(HEADER, '{{ template "shared" . }}{{ toJson .Context }}{{ template "kcd" keys . | sortAlpha }}'),
    Template(
        '{{ define "shared" }}{{ upper .Context.tree.leaf }}{{ end }}{{ define "kcd/error" }}own{{ end }}',
        '{{ template "shared" . }}{{ template "kcd/error" }}{{ (imageRedirect "docker.io/a:1" $).repository }}'
        '{{ resolveDNS "a.example.com" }}{{ .ImageRedirector }}{{ range .Context.list }}{{ . }}{{ end }}',
    ),
    Template("", "{{ block `shared` .Context }}{{ .domain }}{{ end }}{{ (first .Context.list).leaf }}"),
)
EXPECTED = [
    '[good.example.com]{"domain":"good.example.com","list":[{"leaf":"good"},"x"],'
    '"tree":{"deep":{"list":[1,2]},"leaf":"good"}}[Context ImageRedirector Release]',
    "GOODownmirror.local:5000/hub/a10.0.0.10.0.0map[leaf:good]x",
    "good.example.comgood",
]

Outcome = str | TemplateFailure


def unit(*templates: Template) -> Unit:
    return Unit(CONTEXT, {"Release": {"metadata": {"name": "demo"}}}, templates)


def together(helm: Helm, texts: Sequence[str]) -> list[Outcome]:
    """Render each template, with a victim's Release before, between and after them."""
    units: list[Unit] = [unit(*VICTIM)]
    for number, text in enumerate(texts):
        units.append(unit(Template("", text)))
        if number % 10 == 9:
            units.append(unit(*VICTIM))
    units.append(unit(*VICTIM))
    rendered = helm.render(units, FUNCTIONS)
    for one, outcomes in zip(units, rendered, strict=True):
        if one.templates == VICTIM:
            assert outcomes == EXPECTED
    return [outcomes[0] for one, outcomes in zip(units, rendered, strict=True) if one.templates != VICTIM]


def batches(count: int, seed: int) -> Iterator[list[str]]:
    hostile = Hostile(seed)
    while count > 0:
        yield [hostile.text() for _ in range(min(count, BATCH))]
        count -= BATCH


def test_no_generated_template_changes_another_release() -> None:
    changed: list[str] = []
    for texts in batches(TEXTS, seed=13):
        there = together(Helm(find_helm()), texts)  # each batch is one run with its own limits
        # With other templates and in the opposite order, each template renders the same.
        back = together(Helm(find_helm()), texts[::-1])[::-1]
        changed += [text for text, one, other in zip(texts, there, back, strict=True) if one != other]
    assert changed == []


@settings(max_examples=count(2, 6))
@given(st.lists(st.integers(0, 1 << 32), min_size=1, max_size=8))
def test_a_template_renders_the_same_alone_and_next_to_others(seeds: list[int]) -> None:
    texts = [Hostile(seed).text() for seed in seeds]
    helm = Helm(find_helm())
    alone = [helm.render([unit(Template("", text))], FUNCTIONS)[0][0] for text in texts]
    assert together(helm, texts) == alone
