"""Charts, without Helm: what its refusals mean for whoever reads them."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cluster.provider import ClusterHandle
from harness.deploy.helm import HelmDeployer
from harness.errors import DeployError
from harness.settings.model import DeploySettings
from harness.testing import RecordingRunner

HANDLE = ClusterHandle("demo", "kind", Path("/k/config"), "kind-demo", Path("/bin/kubectl"))


@pytest.mark.parametrize(
    ("told", "hint"),
    [
        pytest.param("Error: release: not found", "`helm list --all-namespaces`", id="no such release"),
        pytest.param(
            'Error: INSTALLATION FAILED: Service "app" is invalid: spec.ports[0].port: Invalid value: 0: must be more',
            "correct the template",
            id="an invalid object",
        ),
        pytest.param(
            'Error: INSTALLATION FAILED: pods "app" is forbidden: exceeded quota: q', "quotas", id="a full quota"
        ),
        pytest.param("Error: Kubernetes cluster unreachable: EOF", "does the cluster answer", id="no answer"),
    ],
)
def test_a_refusal_says_what_to_try(told: str, hint: str) -> None:
    """The advice is about what Helm refused: another name, another template, more quota, or the cluster itself."""
    runner = RecordingRunner()
    runner.on("helm", stderr=told, exit_code=1)
    deployer = HelmDeployer(HANDLE, runner, DeploySettings(10.0, 10.0), helm=Path("/bin/helm"), home=Path("/h"))
    with pytest.raises(DeployError) as caught:
        deployer.list()
    assert hint in caught.value.hint
