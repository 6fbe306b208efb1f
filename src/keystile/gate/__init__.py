"""TODO."""

from .gate import Gate

__all__ = ["Gate"]
