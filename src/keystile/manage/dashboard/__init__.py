"""Pages for people: the keys, projects and changes of a service, in a browser. Extra ``[dashboard]``.

The server writes all of it. Every action is a form, so it works without scripts; the one script adds what is pleasant.
The pages call the same operations as the management API, with the authority that the host gave, and never the store.

`site` answers a request; `routes` says which page answers which path; `pages` has the pages. `rules` are without I/O;
`texts` is every sentence that people read; `rendering` alone knows Jinja. `local` is how
the command `keystile dashboard` lets people in.
"""

from .entering import Redirect

__all__ = ["Redirect"]
