"""Settings: weakest to strongest layer, and every mistake names what is nearest to it."""

from pathlib import Path

import pytest

from folio.errors import SettingsError
from folio.settings import described, known_keys, load, origins


def test_each_layer_wins_over_the_one_before(tmp_path: Path) -> None:
    file = tmp_path / "folio.toml"
    file.write_text("[ingest]\npages_max = 10\njpeg_quality = 50\nedge_pixels = 100\n")
    environment = {"FOLIO_INGEST__PAGES_MAX": "20", "FOLIO_INGEST__JPEG_QUALITY": "60", "PATH": "x"}
    settings = load(file=file, environment=environment, overrides={"ingest": {"pages_max": 30}})
    assert (settings.ingest.pages_max, settings.ingest.jpeg_quality, settings.ingest.edge_pixels) == (30, 60, 100)
    assert settings.ingest.documents_at_once == load(environment={}).ingest.documents_at_once
    origin = origins(file=file, environment=environment, overrides={"ingest": {"pages_max": 30}})
    assert origin == {
        "ingest.pages_max": "command line",
        "ingest.jpeg_quality": "environment",
        "ingest.edge_pixels": str(file),
    }


@pytest.mark.parametrize(
    ("environment", "near"),
    [
        ({"FOLIO_OCR__ENGIN": "rapid"}, "ocr.engine"),
        ({"FOLIO_OCRR__ENGINE": "rapid"}, "ocr.engine"),
        ({"FOLIO_DATTA": "x"}, "data"),
    ],
)
def test_an_unknown_setting_names_the_nearest_known_one(environment, near) -> None:
    with pytest.raises(SettingsError, match=f"did you mean {near}"):
        load(environment=environment)


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"FOLIO_INGEST__PAGES_MAX": "0"}, "ingest.pages_max"),
        ({"FOLIO_INGEST__DOCUMENT_SECONDS_MAX": "inf"}, "ingest.document_seconds_max"),
        ({"FOLIO_DATA": ""}, "data.*a folder is wanted"),
        ({"FOLIO_OCR__ENGINE": "magic"}, "ocr.engine"),
        ({"FOLIO_SERVER__PORT": "a"}, "server.port"),
        ({"FOLIO_INGEST__FETCH_ALLOW": "[https://a.org/]"}, r"ingest.fetch_allow .* no JSON list .* write a,b or"),
        ({"FOLIO_INGEST__FETCH_ALLOW": "[1]"}, "ingest.fetch_allow"),
        ({"FOLIO_CONFIG": "/nowhere/folio.toml"}, "no such settings file"),
    ],
)
def test_a_value_that_cannot_be_used_is_named(environment, says) -> None:
    with pytest.raises(SettingsError, match=says):
        load(environment=environment)


@pytest.mark.parametrize(
    ("variable", "expected"),
    [
        ("https://a.org/x/,10.0.0.0/8", ("https://a.org/x/", "10.0.0.0/8")),
        ("https://a.org/x/, 10.0.0.0/8,\n", ("https://a.org/x/", "10.0.0.0/8")),
        ("https://a.org/x/ 10.0.0.0/8", ("https://a.org/x/", "10.0.0.0/8")),
        (' ["https://a.org/x,y/", "file:///my scans/"]', ("https://a.org/x,y/", "file:///my scans/")),
        ("s3://b/", ("s3://b/",)),
        ("", ()),
        ("[]", ()),
    ],
)
def test_a_list_is_commas_blanks_or_json(variable: str, expected: tuple[str, ...]) -> None:
    settings = load(
        environment={"FOLIO_INGEST__FETCH_ALLOW": variable, "FOLIO_PROFILES__MINE__RULES": "lists,formulas"}
    )
    assert settings.ingest.fetch_allow == expected
    assert settings.profiles["mine"].rules == ("lists", "formulas")
    shown = {row["key"]: row["value"] for row in described(settings, environment={})}
    assert shown["ingest.fetch_allow"] == ",".join(expected)
    assert load(environment={}, overrides={"ingest": {"fetch_allow": list(expected)}}).ingest.fetch_allow == expected


@pytest.mark.parametrize("environment", [{"FOLIO_OCR": "x"}, {"FOLIO_OCR": "x", "FOLIO_OCR__ENGINE": "rapid"}])
def test_a_section_that_is_given_as_a_value_is_an_error_and_no_traceback(environment) -> None:
    for each in (environment, dict(reversed(environment.items()))):
        with pytest.raises(SettingsError, match="ocr"):
            load(environment=each)


@pytest.mark.parametrize("text", [b"[ingest", b"\xff", b"[ingest]\npages_max = 1\npages_max = 2"])
def test_a_file_that_is_not_toml_is_named(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "folio.toml").write_bytes(text)
    with pytest.raises(SettingsError, match="not valid TOML"):
        load(file=tmp_path / "folio.toml", environment={})


def test_variables_that_are_no_settings_are_left_alone() -> None:
    assert load(environment={"FOLIO_FAULT": "x", "FOLIO_TEST_DATA": "y", "OTHER": "z"}) == load(environment={})


def test_every_key_is_described_with_its_origin() -> None:
    rows = described(load(environment={"FOLIO_DATA": "x"}), environment={"FOLIO_DATA": "x"})
    assert [row["key"] for row in rows] == known_keys()
    assert next(row for row in rows if row["key"] == "data")["origin"] == "environment"
    assert next(row for row in rows if row["key"] == "ocr.engine")["origin"] == "default"


def test_secrets_reach_their_setting_and_are_never_shown() -> None:
    environment = {
        "FOLIO_KAFKA__PASSWORD": "hunter2",
        "FOLIO_SERVER__TOKEN": "hunter2",
        "FOLIO_INDEXER__API_KEY": "hunter2",
    }
    settings = load(environment=environment)
    assert settings.kafka.password == settings.indexer.api_key == "hunter2"
    assert "hunter2" not in str(described(settings, environment=environment))


def test_a_profile_is_a_bundle_and_what_is_set_beside_it_wins(tmp_path: Path) -> None:
    file = tmp_path / "folio.toml"
    file.write_text('[ocr]\nprofile = "bank"\n[profiles.bank]\nmode = "large"\nprompt = "ocr"\nrules = ["lists"]\n')
    environment = {"FOLIO_PROFILES__BANK__PREPROCESS": "off"}
    profile = load(file=file, environment=environment).profile
    assert (profile.mode, profile.prompt, profile.preprocess, profile.rules) == ("large", "ocr", "off", ("lists",))
    beside = load(file=file, environment={"FOLIO_OCR__MODE": "base", "FOLIO_OCR__PROMPT": "text"}).profile
    assert (beside.mode, beside.prompt, beside.rules) == ("base", "text", ("lists",))


def test_profiles_that_come_with_folio() -> None:
    assert load(environment={}).profile.mode == "auto"
    assert load(environment={"FOLIO_OCR__PROFILE": "finance"}).profile.mode == "large"
    own = load(environment={"FOLIO_OCR__PROFILE": "finance", "FOLIO_PROFILES__FINANCE__MODE": "base"})
    assert own.profile.mode == "base"


@pytest.mark.parametrize(
    ("environment", "near"),
    [
        ({"FOLIO_OCR__PROFILE": "finanze"}, "finance"),
        ({"FOLIO_OCR__MODE": "gundum"}, "gundam"),
        ({"FOLIO_PROFILES__MINE__MOD": "base"}, "profiles.mine.mode"),
        ({"FOLIO_PROFILES__MINE__MODE": "bass"}, "base"),
    ],
)
def test_an_unknown_name_in_a_profile_names_the_nearest(environment, near) -> None:
    with pytest.raises(SettingsError, match=f"did you mean {near}"):
        load(environment=environment)
