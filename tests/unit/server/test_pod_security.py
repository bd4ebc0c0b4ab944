"""The rules for the pods of the Deployment are tested: each is violated once."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import pytest

from tests.support.pod_security import RULES, violations

GOOD: Mapping[str, Any] = {
    "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    "containers": [
        {
            "name": "a",
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        }
    ],
    "volumes": [{"name": "a", "emptyDir": {}}],
}
PROBES = "Host Probes / Lifecycle Hooks"
CONTAINER = ("containers", 0, "securityContext")

# A value, its path, and the controls that it violates.
BROKEN: list[tuple[tuple[str | int, ...], Any, set[str]]] = [
    (("securityContext", "windowsOptions"), {"hostProcess": True}, {"HostProcess"}),
    ((*CONTAINER, "windowsOptions"), {"hostProcess": True}, {"HostProcess"}),
    (("hostNetwork",), True, {"Host Namespaces"}),
    (("hostPID",), True, {"Host Namespaces"}),
    (("hostIPC",), True, {"Host Namespaces"}),
    ((*CONTAINER, "privileged"), True, {"Privileged Containers"}),
    (
        (*CONTAINER, "capabilities"),
        {"drop": ["ALL"], "add": ["SYS_ADMIN"]},
        {"Capabilities (baseline)", "Capabilities"},
    ),
    ((*CONTAINER, "capabilities"), {"drop": ["ALL"], "add": ["CHOWN"]}, {"Capabilities"}),
    ((*CONTAINER, "capabilities"), {"drop": ["NET_RAW"]}, {"Capabilities"}),
    ((*CONTAINER, "capabilities"), None, {"Capabilities"}),
    (("volumes", 0), {"name": "a", "hostPath": {"path": "/"}}, {"HostPath Volumes", "Volume Types"}),
    (("volumes", 0), {"name": "a", "nfs": {"server": "a", "path": "/"}}, {"Volume Types"}),
    (("containers", 0, "ports"), [{"containerPort": 80, "hostPort": 80}], {"Host Ports"}),
    (("containers", 0, "livenessProbe"), {"httpGet": {"host": "10.0.0.1", "port": 80}}, {PROBES}),
    (("containers", 0, "lifecycle"), {"preStop": {"tcpSocket": {"host": "a", "port": 1}}}, {PROBES}),
    (("securityContext", "appArmorProfile"), {"type": "Unconfined"}, {"AppArmor"}),
    (("securityContext", "seLinuxOptions"), {"type": "spc_t"}, {"SELinux"}),
    ((*CONTAINER, "seLinuxOptions"), {"user": "root"}, {"SELinux"}),
    ((*CONTAINER, "procMount"), "Unmasked", {"/proc Mount Type"}),
    ((*CONTAINER, "seccompProfile"), {"type": "Unconfined"}, {"Seccomp (baseline)", "Seccomp"}),
    (("securityContext", "seccompProfile"), None, {"Seccomp"}),
    (("securityContext", "sysctls"), [{"name": "kernel.msgmax", "value": "1"}], {"Sysctls"}),
    ((*CONTAINER, "allowPrivilegeEscalation"), None, {"Privilege Escalation"}),
    ((*CONTAINER, "runAsNonRoot"), False, {"Running as Non-root"}),
    (("securityContext", "runAsNonRoot"), None, {"Running as Non-root"}),
    (("securityContext", "runAsUser"), 0, {"Running as Non-root user"}),
    ((*CONTAINER, "runAsUser"), 0, {"Running as Non-root user"}),
    (("initContainers",), [{"name": "b"}], {"Privilege Escalation", "Capabilities"}),
]  # fmt: skip


def test_a_compliant_pod_violates_no_control() -> None:
    assert violations(GOOD) == []


@pytest.mark.parametrize(("path", "value", "broken"), BROKEN, ids=[f"{path}={value}" for path, value, _ in BROKEN])
def test_a_pod_that_violates_a_control_is_reported(path: tuple[str | int, ...], value: Any, broken: set[str]) -> None:
    pod: Any = deepcopy(GOOD)
    at = pod
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    assert set(violations(pod)) == broken


def test_every_control_is_tested() -> None:
    assert set().union(*(broken for _, _, broken in BROKEN)) == RULES.keys()
