"""HTML from templates.

The law: every value is escaped unless a template of ours says otherwise, an undefined one is an error, and a template
gets plain values, never a store or a request.
"""

from __future__ import annotations

from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

CONTENT_TYPE: Final = "text/html; charset=utf-8"


class Renderer:
    """Render the templates in ``crawlsock/web/templates``; one for each web side.

    :ivar environment: Jinja2's, for filters and globals of those who add pages.
    """

    def __init__(self) -> None:
        self.environment = Environment(
            loader=PackageLoader("crawlsock.web", "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    def render(self, template: str, **values: Any) -> bytes:
        """Return a page."""
        return self.environment.get_template(template).render(**values).encode()
