"""Grafana dashboard, alert rules and runbooks name metrics and commands that exist."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import click
import promql_parser
import pytest
import yaml

from ops.cli import main
from runtime.metrics import COUNTERS, GAUGES, TIMINGS

_ROOT = Path(__file__).resolve().parents[3]
_MONITORING = _ROOT / "ops" / "monitoring"
_RUNBOOKS = _ROOT / "docs" / "runbooks"
_RULES = yaml.safe_load((_MONITORING / "alerts.yml").read_text())["groups"][0]["rules"]
_PANELS = json.loads((_MONITORING / "dashboard.json").read_text())["panels"]
_EXPRESSIONS = [rule["expr"] for rule in _RULES] + [
    target["expr"] for panel in _PANELS for target in panel["targets"]
]
_LABELS = {
    **{f"toolworker_{name}_total": labels for name, (_, labels) in COUNTERS.items()},
    **{
        f"toolworker_{name}_{suffix}": (*labels, *extra)
        for name, (_, labels, _) in TIMINGS.items()
        for suffix, extra in (("bucket", ("le",)), ("count", ()), ("sum", ()))
    },
    **{f"toolworker_{name}": labels for name, (_, labels) in GAUGES.items()},
}


@pytest.mark.parametrize("expression", _EXPRESSIONS)
def test_every_metric_and_label_that_is_queried_exists(expression):
    asked = re.findall(r"(toolworker_\w+|\bup\b)(?:\{([^}]*)\})?", expression)
    assert asked
    for name, matchers in asked:
        known = ("job", *_LABELS[name]) if name != "up" else ("job", "instance", "part")
        for label in re.findall(r"(\w+)\s*=~?", matchers):
            assert label in known
    for labels in re.findall(r"by \(([^)]*)\)", expression):
        known = {label for name, _ in asked for label in _LABELS[name]}
        assert {label.strip() for label in labels.split(",")} <= known


@pytest.mark.parametrize("expression", _EXPRESSIONS)
def test_an_expression_is_promql_that_reads_counters_as_rates_and_gauges_as_they_are(expression):
    promql_parser.parse(expression.replace("$__rate_interval", "5m"))  # Grafana's own variable
    series = r"(toolworker_\w+)(?:\{[^}]*\})?"
    # what was counted before the first scrape; an increase shows what came after it
    rest = re.sub(rf"({series}) unless \1 offset \d+m", "", expression)
    as_rates = set(re.findall(rf"(?:rate|increase)\({series}\[[^]]+\]\)", rest))
    rest = re.sub(rf"(?:rate|increase)\({series}\[[^]]+\]\)", "", rest)
    gauges = {f"toolworker_{name}" for name in GAUGES}
    assert not as_rates & gauges
    assert set(re.findall(series, rest)) <= gauges


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "rules", "alerts.yml"),
        ("test", "rules", "alerts_test.yml"),
        ("check", "config", "prometheus.yml"),
    ],
    ids=" ".join,
)
def test_promtool_finds_no_mistake(arguments):
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian's package prometheus has it)")
    done = subprocess.run(
        [promtool, *arguments], cwd=_MONITORING, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_tested_to_fire_within_90_s_of_its_cause():
    cases = yaml.safe_load((_MONITORING / "alerts_test.yml").read_text())["tests"]
    checks = [check for case in cases for check in case.get("alert_rule_test", ())]
    fired = {check["alertname"] for check in checks if check["exp_alerts"]}
    assert fired == {rule["alert"] for rule in _RULES}
    for rule in _RULES:
        # 10 s each until it is scraped and until the rule is evaluated
        assert _seconds(rule.get("for", "0s")) + 20 <= 90, rule["alert"]


def test_absent_parts_are_found_by_the_label_that_the_scrape_gives_them():
    (job,) = yaml.safe_load((_MONITORING / "prometheus.yml").read_text())["scrape_configs"]
    (discovery,) = job["dns_sd_configs"]
    named = {part for text in _EXPRESSIONS for part in re.findall(r'part="(\w+)"', text)}
    assert named == {"webhook", "worker"}
    assert named <= set(discovery["names"])
    assert {"source_labels": ["__meta_dns_name"], "target_label": "part"} in job["relabel_configs"]


def _seconds(text):
    return int(text[:-1]) * {"s": 1, "m": 60}[text[-1]]


def test_links_between_the_pages_lead_somewhere():
    pages = [*(_ROOT / "docs").rglob("*.md"), _ROOT / "README.md"]
    for page in pages:
        for link in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text()):
            file, _, anchor = link.partition("#")
            target = (page.parent / file).resolve() if file else page
            assert target.exists(), f"{page.name}: {link}"
            assert not anchor or anchor in _anchors(target), f"{page.name}: {link}"


def _anchors(page):
    """The anchors of a page's headings, as GitHub and others make them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_an_open_circuit_is_red_and_a_rate_limit_with_requests_left_is_not():
    (config,) = [p["fieldConfig"] for p in _PANELS if p["title"] == "Circuit and rate limit"]
    ((override, matcher),) = [(o["properties"], o["matcher"]) for o in config["overrides"]]
    assert _colours(config["defaults"]["thresholds"]) == [(None, "green"), (1, "red")]
    assert matcher == {"id": "byName", "options": "left of the limit"}
    assert _colours(override[0]["value"]) == [(None, "red"), (1, "green")]


def _colours(thresholds):
    return [(step["value"], step["color"]) for step in thresholds["steps"]]


def test_every_metric_is_on_the_dashboard_or_in_an_alert():
    shown = set(re.findall(r"toolworker_\w+?(?=_total|_bucket|_count|\b)", " ".join(_EXPRESSIONS)))
    every = {f"toolworker_{name}" for name in (*COUNTERS, *TIMINGS, *GAUGES)}
    assert {re.sub(r"_(total|bucket|count)$", "", name) for name in shown} == every


def test_every_alert_has_its_runbook_and_no_runbook_is_left_over():
    named = {rule["annotations"]["runbook"] for rule in _RULES}
    assert len(named) == len(_RULES)
    assert named == {f"docs/runbooks/{page.name}" for page in _RUNBOOKS.glob("*.md")}
    for rule in _RULES:
        page = (_ROOT / rule["annotations"]["runbook"]).read_text()
        assert f"Alert `{rule['alert']}`." in page
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["summary"]


def test_commands_in_the_pages_are_commands_that_there_are():
    pages = [*(_ROOT / "docs").rglob("*.md"), _ROOT / "README.md"]
    text = "\n".join(page.read_text() for page in pages)
    lines = re.findall(r"\btoolworker ((?:runs|tools|doctor|flower|send|up|demo)\b[^`|#\n]*)", text)
    assert len(lines) > 20
    for line in lines:
        command, *words = main.commands[line.split()[0]], *line.split()[1:]
        if isinstance(command, click.Group) and words and words[0][0].isalpha():
            command = command.commands[words.pop(0).split("|")[0]]
        known = {option for parameter in command.params for option in parameter.opts}
        for word in words:
            if word.startswith("-"):
                assert word.split("=")[0].rstrip(".,;)") in known, line
