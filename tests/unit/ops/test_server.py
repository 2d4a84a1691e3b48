"""Ports of servers: each is given out once, by one process of all."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
# lives until its input ends, so that both live at once
PROGRAM = """
import sys
from ops.dev.server import free_port
print(*(free_port() for _ in range(1_000)), flush=True)
sys.stdin.read()
"""


def test_no_two_processes_give_out_the_same_port():
    command = [sys.executable, "-c", PROGRAM]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    started = [subprocess.Popen(command, cwd=ROOT, **pipes) for _ in range(8)]
    given = [port for program in started for port in program.stdout.readline().split()]
    for program in started:
        program.communicate()
    assert len(given) == len(set(given)) == 8_000
    assert all(10_000 <= int(port) < 32_768 for port in given)
