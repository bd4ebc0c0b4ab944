"""Kubernetes' rules for names: RFC 1123 labels and subdomains.

https://kubernetes.io/docs/concepts/overview/working-with-objects/names/
"""

from __future__ import annotations

import re

LABEL_PATTERN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
SUBDOMAIN_PATTERN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
LABEL = "an RFC 1123 label"
SUBDOMAIN = "an RFC 1123 subdomain"
LABEL_HINT = "use at most 63 lowercase letters, digits, and '-' between them"
SUBDOMAIN_HINT = "use at most 253 lowercase letters, digits, and '-' or '.' between them"
_LABEL = re.compile(LABEL_PATTERN)
_SUBDOMAIN = re.compile(SUBDOMAIN_PATTERN)


def is_label(text: str) -> bool:
    """Return whether `text` is valid as the name of a namespace, a Service or a cluster."""
    return len(text) <= 63 and _LABEL.match(text) is not None and not text.endswith("\n")


def is_subdomain(text: str) -> bool:
    """Return whether `text` is valid as the name of most resources, or a host name in lowercase."""
    return len(text) <= 253 and _SUBDOMAIN.match(text) is not None and not text.endswith("\n")
