"""The files for several machines name settings, paths and programs that exist."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from phoenix_compat.server.process.settings import Settings
from tests.integration.operations.commands import ROOT
from tests.services.programs import program

COMPOSE = ROOT / "packaging/compose/compose.yaml"
KUBERNETES = ROOT / "packaging/kubernetes/phoenix-compat.yaml"
NODE_IMAGE = ROOT / "packaging/container/Containerfile.nodes"
SECRETS = {"PHOENIX_COMPAT_DATABASE_URL", "REPLICATE_API_TOKEN"}


def _compose() -> Any:
    return yaml.safe_load(COMPOSE.read_text())


def _kubernetes() -> dict[str, Any]:
    documents = yaml.safe_load_all(KUBERNETES.read_text())
    return {document["kind"]: document for document in documents}


def _container() -> Any:
    [container] = _kubernetes()["Deployment"]["spec"]["template"]["spec"]["containers"]
    return container


def _known_variables() -> set[str]:
    known = {f"PHOENIX_COMPAT_{name.upper()}" for name in Settings.model_fields}
    return known | {"REPLICATE_API_TOKEN_FILE"}


@pytest.mark.parametrize("service", ["node1", "node2", "node3"])
def test_the_nodes_of_compose_use_settings_that_exist(service: str) -> None:
    """Each variable is a setting's, and secrets are in files."""
    environment = _compose()["services"][service]["environment"]

    assert set(environment) <= _known_variables()
    assert not SECRETS & set(environment)


def test_compose_publishes_the_proxy_alone_on_loopback() -> None:
    """Databases and nodes are reachable in its network only."""
    ports = {name: one.get("ports") for name, one in _compose()["services"].items()}

    assert {name for name, published in ports.items() if published} == {"nginx"}
    assert all(port.startswith("127.0.0.1:") for port in ports["nginx"])


def test_a_stop_has_the_time_of_a_drain() -> None:
    """Nodes are not killed while they drain."""
    assert _compose()["services"]["node1"]["stop_grace_period"] == "100s"
    pod = _kubernetes()["Deployment"]["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] > 100


def test_kubernetes_uses_settings_that_exist() -> None:
    """Each variable is a setting's; secrets are files of the volume that is mounted."""
    data = _kubernetes()["ConfigMap"]["data"]
    mounts = {mount["name"]: mount["mountPath"] for mount in _container()["volumeMounts"]}

    assert set(data) <= _known_variables()
    assert not SECRETS & set(data)
    files = [value for name, value in data.items() if name.endswith("_FILE")]
    assert files
    assert all(file.startswith(f"{mounts['secrets']}/") for file in files)


def test_the_probes_ask_what_they_mean() -> None:
    """A node without its database gets no requests, and is not restarted for it."""
    container = _container()

    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert container["lifecycle"]["preStop"]["exec"]["command"][0] == "sleep"
    [port] = container["ports"]
    assert {
        container[probe]["httpGet"]["port"] for probe in ("readinessProbe", "livenessProbe")
    } == {port["name"]}


def test_all_objects_select_the_same_pods() -> None:
    """The service, the disruption budget and the deployment mean the same."""
    objects = _kubernetes()
    labels = objects["Deployment"]["spec"]["template"]["metadata"]["labels"]

    assert objects["Service"]["spec"]["selector"] == labels
    assert objects["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    [rule] = objects["Ingress"]["spec"]["rules"]
    [path] = rule["http"]["paths"]
    assert path["backend"]["service"]["name"] == objects["Service"]["metadata"]["name"]


def test_the_image_has_the_drivers() -> None:
    """The extras that the wheel is installed with are those of the files' URLs."""
    [extras] = re.findall(r"\[([a-z0-9,]+)\]", NODE_IMAGE.read_text())

    assert set(extras.split(",")) == {"server", "postgres", "redis", "s3"}


def test_nginx_accepts_its_file(tmp_path: Path) -> None:
    """The file of compose.yaml, with addresses that this machine can resolve."""
    text = (COMPOSE.parent / "nginx.conf").read_text()
    text = re.sub(r"node\d:4000", "127.0.0.1:4000", text).replace(
        "listen 80", "listen 127.0.0.1:80"
    )
    path = tmp_path / "nginx.conf"
    path.write_text(f"pid {tmp_path}/pid; events {{}} http {{ {text} }}")

    checked = subprocess.run(  # noqa: S603 - Debian's program
        [program("nginx", "nginx-light"), "-t", "-c", str(path), "-e", f"{tmp_path}/log"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert "syntax is ok" in checked.stderr
