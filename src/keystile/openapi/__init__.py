"""What a gate adds to the OpenAPI document of the app behind it (OpenAPI 3.0, 3.1 and 3.2).

`describe` takes a document and gives another: schemes, `security` for each operation by the rules of its path, the
gate's refusals, the headers with limits, and the envelope around the app's own schemas. `components` gives the parts
alone. Both are plain functions on plain values, for any framework that makes a document.
"""

from .described import Described, templates_of
from .describing import components, describe
from .schemes import REQUIRED

__all__ = ["REQUIRED", "Described", "components", "describe", "templates_of"]
