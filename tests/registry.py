"""Helper: check a trace's spans for one whole tree, and for names of OpenTelemetry's registry."""

EXECUTE_TOOL = "execute_tool"
ATTRIBUTES = {
    "db.operation.name",
    "db.system.name",
    "error.type",
    "gen_ai.operation.name",
    "gen_ai.tool.call.id",
    "gen_ai.tool.name",
    "gen_ai.tool.type",
    "http.request.method",
    "http.request.resend_count",
    "http.response.status_code",
}
"""Those of https://opentelemetry.io/docs/specs/semconv/registry/ that a run's spans may have."""


def problems(spans, calls):
    """What keeps the spans of a trace, by id, from being one whole tree by the conventions."""
    roots = [span for span in spans.values() if span["parent"] not in spans]
    if [root["name"] for root in roots] != ["run"]:
        return [f"roots: {[root['name'] for root in roots]}"]
    found = []
    tools = [span for span in spans.values() if span["name"].startswith("execute_tool ")]
    if len(tools) != calls:
        found.append(f"{len(tools)} calls of {calls}")
    for tool in tools:
        of = tool["attributes"]
        if of["gen_ai.operation.name"] != EXECUTE_TOOL or not of["gen_ai.tool.call.id"]:
            found.append(f"execute_tool: {of}")
        if tool["name"] != f"execute_tool {of['gen_ai.tool.name']}":
            found.append(f"name: {tool['name']}")
        if tool["is_error"] != ("error.type" in of):
            found.append(f"error: {of}")
    names = {name for span in spans.values() for name in span["attributes"]}
    unknown = {name for name in names if not name.startswith("toolworker.")} - ATTRIBUTES
    found += [f"not in the registry: {name}" for name in sorted(unknown)]
    if not {"receive", "wait", "POST"} <= {span["name"] for span in spans.values()}:
        found.append("receive, wait or POST is missing")
    for span in spans.values():
        if not roots[0]["start"] <= span["start"] <= span["end"] <= roots[0]["end"]:
            found.append(f"times: {span}")
    return found
