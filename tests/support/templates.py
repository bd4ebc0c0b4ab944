"""Templates to render, each as a separate unit."""

from __future__ import annotations

from kubocd_gen.helm.template import Template, Unit

LOOP = "{{ range until 60000 }}{{ range until 60000 }}{{ end }}{{ end }}"


def units(texts: list[str], header: str = "") -> list[Unit]:
    return [Unit({}, {}, (Template(header, text),)) for text in texts]
