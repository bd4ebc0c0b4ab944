from __future__ import annotations

from pathlib import Path

from kubocd_gen.helm.process import run_helm


def test_a_helm_that_nobody_ends_is_ended_by_the_system(tmp_path: Path) -> None:
    helm = tmp_path / "helm"
    helm.write_text("#!/bin/sh\nwhile [ $(ulimit -t) = unlimited ]; do :; done\nulimit -t\n")
    helm.chmod(0o755)
    assert int(run_helm(helm, [], tmp_path, 5.0).stdout) == 15
