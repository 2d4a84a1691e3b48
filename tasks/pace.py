"""How quick tools are, as far as this process has seen."""

QUICK_MS = 10.0
"""A message takes about as long to arrive on a busy machine: waiting behind such a call costs a
caller less."""
MOST = 3
"""Calls that may wait behind one: four lines of a large run are worth more than fewer messages."""
_WEIGHT = 0.125


class Pace:
    """The moving mean of each tool's calls; an unknown tool is not quick."""

    def __init__(self) -> None:
        self._mean_ms: dict[str, float] = {}

    def note(self, tool: str, took_ms: float) -> None:
        """Remember how long a call took, however it ended."""
        mean_ms = self._mean_ms.get(tool, took_ms)
        self._mean_ms[tool] = mean_ms + _WEIGHT * (took_ms - mean_ms)

    def quick(self) -> dict[str, int]:
        """
        The tools whose next call will hardly be waited for.

        Returns:
            By tool, how many of its calls may follow one in place: with it, they take `QUICK_MS`.
        """
        return {
            tool: int(min(max(QUICK_MS / max(mean_ms, 0.1) - 1, 1), MOST))
            for tool, mean_ms in self._mean_ms.items()
            if mean_ms < QUICK_MS
        }
