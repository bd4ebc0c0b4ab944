"""What cosign gets to know."""

from __future__ import annotations

from pathlib import Path

import pytest

from kubocd_gen.packages import cosign


def test_without_permission_cosign_finds_no_login(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("DOCKER_CONFIG", "DOCKER_AUTH_CONFIG", "REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    with cosign._environment(anonymous=True) as environment:
        assert environment is not None
        assert not {"DOCKER_AUTH_CONFIG", "REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR"} & environment.keys()
        assert list(Path(environment["DOCKER_CONFIG"]).iterdir()) == []
    with cosign._environment(anonymous=False) as environment:
        assert environment is None
