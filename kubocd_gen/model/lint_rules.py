"""The rules of `kcd-gen lint`, which its help lists."""

from __future__ import annotations

RULES = (
    "chart-version-suffix",
    "dns-function",
    "empty-lookup",
    "floating-tag",
    "helm-dependent",
    "large-artifact",
    "large-chart",
    "literal-secret",
    "long-name",
    "missing-namespace",
    "not-locked",
    "unordered-list",
    "unsupported-function",
    "unused-context",
    "variable-in-manifest",
    "varying-function",
)
"""The codes that can be ignored as warnings or notes. Errors with the same code are always reported."""
