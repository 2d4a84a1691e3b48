"""Settings of Genesys: regions, URLs, and all mistakes at once."""

from pathlib import Path

import pytest

from genesys.client import from_settings
from genesys.pacing import rate_limiter
from genesys.regions import REGIONS, endpoints
from runtime.settings import Secret, Settings, SettingsError

ROOT = Path(__file__).resolve().parents[3]


def test_a_region_has_its_two_hosts_and_an_unknown_one_names_the_closest():
    found = endpoints("mypurecloud.de", None, None)
    assert (found.api, found.login) == (
        "https://api.mypurecloud.de",
        "https://login.mypurecloud.de",
    )
    with pytest.raises(ValueError, match=r"did you mean mypurecloud.ie"):
        endpoints("mypurecloud.ei", None, None)


def test_http_is_taken_for_loopback_alone():
    assert endpoints(None, "http://127.0.0.1:1", "http://localhost:2").api == "http://127.0.0.1:1"
    with pytest.raises(ValueError, match="https"):
        endpoints(None, "http://example.com", "https://example.com")
    with pytest.raises(ValueError, match="https"):
        endpoints(None, "http://127.0.0.1.example.com", "https://example.com")


def test_all_mistakes_of_the_settings_come_at_once():
    settings = Settings(
        genesys_region="mars", genesys_submit_path="runs", genesys_list_key="tool calls"
    )
    with pytest.raises(SettingsError) as failed:
        from_settings(settings)
    names = [line.partition(":")[0] for line in str(failed.value).splitlines()]
    assert names == [
        "GENESYS_REGION",
        "GENESYS_CLIENT_ID",
        "GENESYS_CLIENT_SECRET",
        "GENESYS_SUBMIT_PATH",
        "GENESYS_LIST_KEY",
    ]


# PureCloudRegionHosts of Genesys' own Python SDK 269.0.0; `make conformance` holds them to it
SDK_REGIONS = {
    "mypurecloud.com", "mypurecloud.ie", "mypurecloud.com.au", "mypurecloud.jp", "mypurecloud.de",
    "usw2.pure.cloud", "cac1.pure.cloud", "apne2.pure.cloud", "euw2.pure.cloud", "aps1.pure.cloud",
    "use2.us-gov-pure.cloud", "sae1.pure.cloud", "mec1.pure.cloud", "apne3.pure.cloud",
    "euc2.pure.cloud", "mxc1.pure.cloud", "apse1.pure.cloud", "edee1.eusc-pure.cloud",
}  # fmt: skip


def test_the_regions_are_genesys_own_and_each_is_found_in_any_case():
    assert set(REGIONS) == SDK_REGIONS
    for region in SDK_REGIONS:
        found = endpoints(f" {region.upper()} ", None, None)
        assert (found.api, found.login) == (f"https://api.{region}", f"https://login.{region}")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "[::1]"])
def test_plain_http_is_taken_for_loopback(host):
    assert endpoints(None, f"http://{host}:1", f"http://{host}:2").login == f"http://{host}:2"


def test_plain_http_is_taken_for_any_host_when_that_is_allowed():
    found = endpoints(None, "http://simulator:1", "http://simulator:1/", allow_http=True)
    assert (found.api, found.login) == ("http://simulator:1", "http://simulator:1")


@pytest.mark.parametrize(
    "url",
    [
        "api.example.com",
        "ftp://example.com",
        "https://",
        "https://[::1",
        "https://example.com:99999",
        "https://user:planted@example.com",
        "https://example.com?a=1",
        "https://example.com/#a",
        "https://exa mple.com",
        "https://example.com/\n",
    ],
)
def test_a_url_that_cannot_be_meant_is_refused_without_repeating_it(url):
    with pytest.raises(ValueError, match=r"^GENESYS_LOGIN_URL: ") as failed:
        endpoints(None, "https://example.com", url)
    assert "planted" not in str(failed.value)


def test_both_urls_are_checked_at_once():
    with pytest.raises(ValueError, match="GENESYS_BASE_URL") as failed:
        endpoints(None, "http://a.example.com", "http://b.example.com")
    assert "GENESYS_LOGIN_URL" in str(failed.value)


@pytest.mark.parametrize(
    ("path", "is_taken"),
    [
        ("/runs/{run_id}/tool_outputs", True),
        ("/runs", False),
        ("/{run_id}/{run_id}", False),
        ("runs/{run_id}", False),
        ("/runs/{run_id}?a=b", False),
        ("/runs/{run_id}#a", False),
        ("/my runs/{run_id}", False),
        ("/ö/{run_id}", False),
        ("", False),
    ],
)
def test_the_submission_path_is_checked_at_start(path, is_taken):
    settings = _settings(genesys_submit_path=path)
    if is_taken:
        assert from_settings(settings)
        return
    with pytest.raises(SettingsError, match=r"^GENESYS_SUBMIT_PATH: "):
        from_settings(settings)


def test_a_secret_that_cannot_be_sent_is_named_but_not_shown():
    with pytest.raises(SettingsError) as failed:
        from_settings(_settings(genesys_client_secret=Secret("planted\nsecret")))
    assert str(failed.value).startswith("GENESYS_CLIENT_SECRET: ")
    assert "planted" not in str(failed.value)


def test_the_fleets_status_is_read_without_the_client_secret():
    without = {"genesys_client_secret": None, "redis_url": Secret("redis://127.0.0.1:1")}
    assert rate_limiter.from_settings(_settings(**without))
    with pytest.raises(SettingsError) as failed:
        rate_limiter.from_settings(
            _settings(**without, genesys_region="mars", genesys_client_id=None, genesys_scope="\n")
        )
    names = [line.partition(":")[0] for line in str(failed.value).splitlines()]
    assert names == ["GENESYS_REGION", "GENESYS_CLIENT_ID", "GENESYS_SCOPE"]


def _settings(**changes):
    good = {
        "genesys_region": "mypurecloud.de",
        "genesys_client_id": "id",
        "genesys_client_secret": Secret("secret"),
    }
    return Settings(**{**good, **changes})


def test_plain_http_to_another_host_needs_a_setting():
    urls = {"genesys_base_url": "http://gateway:1", "genesys_login_url": "http://gateway:2"}
    with pytest.raises(SettingsError, match="must be https"):
        from_settings(_settings(**urls))
    assert from_settings(_settings(**urls, genesys_allow_http=True))


def test_the_compose_demo_reaches_its_simulator():
    lines = (ROOT / ".env.demo").read_text(encoding="utf-8").splitlines()
    demo = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    secret = (ROOT / demo["SECRETS_DIR"] / "genesys_client_secret").read_text().strip()
    values = {name.lower(): value for name, value in demo.items() if name.startswith("GENESYS_")}
    values["genesys_allow_http"] = values["genesys_allow_http"] == "true"
    assert from_settings(Settings(**values, genesys_client_secret=Secret(secret)))
    assert "GENESYS_ALLOW_HTTP:" in (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
