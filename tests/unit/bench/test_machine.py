"""Description of the machine beside the benchmark's figures."""

import pytest

from bench import machine


@pytest.mark.parametrize(
    ("configured_with", "shown"),
    [
        ("'--enable-shared' '--enable-optimizations'", "3.13.5 (--enable-optimizations)"),
        ("'--enable-shared'", "3.13.5"),
        ("", "3.13.5"),
    ],
)
def test_figures_name_the_build_of_a_python_that_was_built_for_speed(configured_with, shown):
    assert machine.python_build("3.13.5", configured_with) == shown
