"""What is deployed with no machine to try it on: the compose file and the image, checked against the code they run."""

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from console.cli import app
from folio.settings import load
from infra.roles import roles_of

ROOT = Path(__file__).parent.parent.parent
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"] == "folio"}
DOCKERFILE = (ROOT / "infra" / "deploy" / "Dockerfile").read_text(encoding="utf-8")
KEYS = set(
    "image build restart stop_grace_period security_opt cap_drop volumes profiles environment depends_on command"
    " healthcheck network_mode deploy".split()
)


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_made_of_what_compose_knows(name: str) -> None:
    service = SERVICES[name]
    assert set(service) <= KEYS
    assert set(service.get("profiles", ())) <= {"kafka", "gpu"}
    for volume in service.get("volumes", ()):
        source = volume.partition(":")[0]
        assert source in COMPOSE["volumes"] or source.startswith("./")
    assert set(service.get("depends_on", ())) <= set(SERVICES)
    for other, wanted in service.get("depends_on", {}).items():
        if wanted["condition"] == "service_healthy":
            assert "healthcheck" in SERVICES[other] or other in OURS


@pytest.mark.parametrize("name", OURS)
def test_a_service_of_ours_runs_a_command_that_there_is_with_settings_that_there_are(name: str) -> None:
    command = OURS[name].get("command", ["folio", "run"])
    words = shlex.split(re.search(r"folio [^|;]*", command[-1])[0]) if command[0] == "sh" else command  # type: ignore[index]
    settings = load(environment={key: str(value) for key, value in OURS[name].get("environment", {}).items()})
    assert words[0] == "folio"
    assert words[1] in typer.main.get_command(app).commands  # type: ignore[attr-defined]
    if words[1] == "run":
        assert roles_of(words[2:], settings) >= set(words[2:])


def test_the_stages_in_compose_are_all_there_are() -> None:
    run = [service["command"][2:] for service in OURS.values() if service.get("command", [""])[:2] == ["folio", "run"]]
    assert {role for roles in run for role in roles} == roles_of((), load(environment={}))


def test_nothing_of_ours_has_more_rights_than_it_needs() -> None:
    for service in OURS.values():
        assert service["cap_drop"] == ["ALL"]
        assert "no-new-privileges:true" in service["security_opt"]
    assert re.findall(r"^USER (.*)", DOCKERFILE, re.MULTILINE) == ["folio"]
    assert "HEALTHCHECK" in DOCKERFILE
    assert "/healthz" in DOCKERFILE


def test_the_image_holds_every_package() -> None:
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]
    copied = set(re.findall(r"^COPY (\w+) \w+$", DOCKERFILE, re.MULTILINE))
    assert set(packages["targets"]["wheel"]["packages"]) <= copied
