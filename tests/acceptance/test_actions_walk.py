"""The commands of docs/genesys-actions.md work, up to those that need an organisation."""

import os
import re
import subprocess
import sys

from tests.endpoint import ROOT, running_endpoint

PAGE = (ROOT / "docs" / "genesys-actions.md").read_text()


def _same(text):
    return re.sub(r"\d+ ms", "_ ms", text)


def test_the_walk_through_works_word_by_word(tmp_path, reader_url):
    walk = PAGE.partition("## From a tool folder")[2].partition("\n## ")[0]
    blocks = re.findall(r"```(\w+)(?: (\S+))?\n(.*?)```", walk, re.DOTALL)
    (tmp_path / "tools").mkdir()
    settings = {"PATH": os.defpath, "PYTHONPATH": str(ROOT), "LANG": "C.UTF-8"}
    settings |= {"DATABASE_URL": reader_url, "TOOLS_DIR": "tools"}

    def type_in(line):
        command = re.sub(r"^toolworker", f"{sys.executable} -m ops.cli", line)
        done = subprocess.run(
            ["/bin/sh", "-c", command], cwd=tmp_path, env=settings, capture_output=True, text=True
        )
        return done.stdout + done.stderr

    def follow(parts, *changes):
        for kind, file, content in parts:
            if kind != "console":
                (tmp_path / file).write_text(content)
                continue
            for line, told in re.findall(r"\$ (.*)\n((?:(?!\$ ).*\n)*)", content):
                assert _same(type_in(line.replace(*changes))) == _same(told), line

    (start,) = [n for n, (kind, _, _) in enumerate(blocks) if kind == "sh"]
    follow(blocks[:start], "", "")
    assert blocks[start][2].startswith(
        "ACTIONS_SECRETS=a-secret gunicorn -c python:actions.gunicorn"
    )
    tools, env = tmp_path / "tools", {"ACTIONS_SECRETS": "a-secret"}
    with running_endpoint(tmp_path / "endpoint", reader_url, tools, **env) as endpoint:
        follow(blocks[start + 1 :], "127.0.0.1:8001", f"127.0.0.1:{endpoint.port}")
    assert len(blocks) >= 12
