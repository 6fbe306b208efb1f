"""Pages of a list, for handlers: what a client asks for, and what it gets.

`keystile.keyset` makes them from SQLAlchemy selects.
"""

from .answers.cursors import Cursor
from .answers.pages import Page, PageParams

__all__ = ["Cursor", "Page", "PageParams"]
