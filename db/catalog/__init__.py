"""Read and check tool folders, and validate the arguments of their calls."""

from db.catalog.loader import Catalog, Tool, load

__all__ = ["Catalog", "Tool", "load"]
