"""The settings that make editors use the schemas; `acceptance/test_editors.py` tests them in an editor."""

from __future__ import annotations

import pytest

from kubocd_gen.editors.settings import (
    modeline,
    source_globs,
    vscode_extensions,
    vscode_settings,
)


@pytest.mark.parametrize(
    ("source", "globs"),
    [
        ("clusters/prod", ["clusters/prod/**/*.yaml", "clusters/prod/**/*.yml"]),
        ("./clusters/prod/", ["clusters/prod/**/*.yaml", "clusters/prod/**/*.yml"]),
        (".", ["**/*.yaml", "**/*.yml"]),
        ("releases/web.yaml", ["releases/web.yaml"]),
        ("clusters/*/releases", ["clusters/*/releases/**/*.yaml", "clusters/*/releases/**/*.yml"]),
        ("releases/*.yml", ["releases/*.yml"]),
    ],
)
def test_a_source_becomes_globs(source: str, globs: list[str]) -> None:
    assert source_globs([source, source]) == globs


def test_the_project_can_be_below_the_root_of_the_workspace() -> None:
    assert vscode_settings(["cluster"], directory="platform") == {
        "yaml.schemas": {
            "./platform/kcd-gen.schema.json": [
                "platform/kcd-gen.yaml",
                "platform/cluster/**/*.yaml",
                "platform/cluster/**/*.yml",
            ]
        }
    }


def test_vs_code_recommends_the_extension() -> None:
    assert vscode_extensions() == {"recommendations": ["redhat.vscode-yaml"]}


def test_a_comment_names_a_schema() -> None:
    assert modeline() == "# yaml-language-server: $schema=kcd-gen.schema.json"
