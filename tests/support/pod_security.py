"""The Pod Security Standards of Kubernetes (1.34), baseline and restricted, as rules for a pod's spec.

Each rule is one control of the standard, with the standard's name. Windows pods, which some controls exempt, are not
supported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

Spec = Mapping[str, Any]

_CAPABILITIES = {
    *("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE"),
    *("SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
}
_SYSCTLS = {
    *("kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start"),
    *("net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range", "net.ipv4.ip_local_reserved_ports"),
    *("net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl"),
    *("net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"),
}
_VOLUMES = {
    *("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"),
    "image",
}
_SELINUX_TYPES = {None, "", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
_HOOKS = ("postStart", "preStop")
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")


def violations(spec: Spec) -> list[str]:
    """Return the controls that a pod's spec violates, of the restricted standard including baseline."""
    return [name for name, holds in RULES.items() if not holds(spec)]


def _containers(spec: Spec) -> Iterator[Spec]:
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        yield from spec.get(kind) or ()


def _contexts(spec: Spec) -> Iterator[Spec]:
    """Return the securityContext of the pod and of each container."""
    yield spec.get("securityContext") or {}
    for container in _containers(spec):
        yield container.get("securityContext") or {}


def _each(spec: Spec, *path: str) -> list[Any]:
    """Return the value at `path` in the securityContext of the pod and of each container; None if it is not set."""
    found: list[Any] = []
    for context in _contexts(spec):
        value: Any = context
        for step in path:
            value = (value or {}).get(step)
        found.append(value)
    return found


def _added(spec: Spec) -> set[str]:
    return {name for names in _each(spec, "capabilities", "add") for name in names or ()}


def _actions(spec: Spec) -> Iterator[Spec]:
    for container in _containers(spec):
        for name in _PROBES:
            yield container.get(name) or {}
        for name in _HOOKS:
            yield (container.get("lifecycle") or {}).get(name) or {}


def _effective(spec: Spec, *path: str) -> list[Any]:
    """Return the effective value for each container: its own, or the pod's if it has none."""
    pod, *own = _each(spec, *path)
    return [pod if value is None else value for value in own]


RULES: Mapping[str, Callable[[Spec], bool]] = {
    "HostProcess": lambda pod: not any(_each(pod, "windowsOptions", "hostProcess")),
    "Host Namespaces": lambda pod: not any(pod.get(name) for name in ("hostNetwork", "hostPID", "hostIPC")),
    "Privileged Containers": lambda pod: not any(_each(pod, "privileged")),
    "Capabilities (baseline)": lambda pod: _added(pod) <= _CAPABILITIES,
    "HostPath Volumes": lambda pod: not any("hostPath" in volume for volume in pod.get("volumes") or ()),
    "Host Ports": lambda pod: (
        not any(port.get("hostPort") for one in _containers(pod) for port in one.get("ports") or ())
    ),
    "Host Probes / Lifecycle Hooks": lambda pod: (
        not any((action.get(kind) or {}).get("host") for action in _actions(pod) for kind in ("httpGet", "tcpSocket"))
    ),
    "AppArmor": lambda pod: set(_each(pod, "appArmorProfile", "type")) <= {None, "RuntimeDefault", "Localhost"},
    "SELinux": lambda pod: (
        set(_each(pod, "seLinuxOptions", "type")) <= _SELINUX_TYPES
        and not any(_each(pod, "seLinuxOptions", "user") + _each(pod, "seLinuxOptions", "role"))
    ),
    "/proc Mount Type": lambda pod: set(_each(pod, "procMount")) <= {None, "Default"},
    "Seccomp (baseline)": lambda pod: "Unconfined" not in _each(pod, "seccompProfile", "type"),
    "Sysctls": lambda pod: {one["name"] for one in (pod.get("securityContext") or {}).get("sysctls") or ()} <= _SYSCTLS,
    "Volume Types": lambda pod: all(volume.keys() - {"name"} <= _VOLUMES for volume in pod.get("volumes") or ()),
    "Privilege Escalation": lambda pod: all(
        (one.get("securityContext") or {}).get("allowPrivilegeEscalation") is False for one in _containers(pod)
    ),
    "Running as Non-root": lambda pod: all(value is True for value in _effective(pod, "runAsNonRoot")),
    "Running as Non-root user": lambda pod: 0 not in _each(pod, "runAsUser"),
    "Seccomp": lambda pod: set(_effective(pod, "seccompProfile", "type")) <= {"RuntimeDefault", "Localhost"},
    "Capabilities": lambda pod: (
        all("ALL" in (names or ()) for names in _each(pod, "capabilities", "drop")[1:])
        and _added(pod) <= {"NET_BIND_SERVICE"}
    ),
}
