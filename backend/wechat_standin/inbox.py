"""The control API of subscribe messages: templates, agreements and inboxes."""

from __future__ import annotations

import re

from aiohttp import web

from backend.wechat_standin.asking import Refused, answer, body_of, flag, text, user_of
from backend.wechat_standin.state import Standin
from backend.wechat_standin.subscriptions import Template

_TEMPLATE_ID = re.compile(r"^[\w-]{1,64}$", re.ASCII)
_MOST_TEMPLATES = 50  # as many as a mini-program may have


class Inbox:
    """Handlers of it."""

    def __init__(self, standin: Standin) -> None:
        self._standin = standin
        self._book = standin.subscriptions

    def routes(self) -> list[web.RouteDef]:
        """What is served under `/standin`."""
        person = "/standin/users/{user_id}"
        return [
            web.get("/standin/templates", self.list_templates),
            web.put("/standin/templates/{template_id}", self.put_template),
            web.get(f"{person}/subscriptions", self.list_subscriptions),
            web.post(f"{person}/subscriptions/{{template_id}}", self.agree),
            web.delete(f"{person}/subscriptions/{{template_id}}", self.refuse),
            web.get(f"{person}/messages", self.list_messages),
            web.delete(f"{person}/messages", self.clear_messages),
        ]

    async def list_templates(self, request: web.Request) -> web.Response:
        return answer({"templates": [template.to_json() for template in self._book.templates.values()]})

    async def put_template(self, request: web.Request) -> web.Response:
        """`title`, `keywords` (key → label) and `long_term`; agreements to an older shape stay."""
        template_id = request.match_info["template_id"]
        if not _TEMPLATE_ID.match(template_id):
            raise Refused("template id: letters, digits, underscores and hyphens, at most 64")
        if template_id not in self._book.templates and len(self._book.templates) >= _MOST_TEMPLATES:
            raise Refused(f"a mini-program has at most {_MOST_TEMPLATES} templates")
        asked = await body_of(request)
        keywords = asked.get("keywords")
        if not isinstance(keywords, dict) or not all(isinstance(label, str) for label in keywords.values()):
            raise Refused("keywords: an object of labels by key")
        try:
            template = Template(
                template_id, text(asked, "title", "", 40), keywords, flag(asked, "long_term", default=False)
            )
        except ValueError as error:
            raise Refused(str(error)) from error
        self._book.templates[template_id] = template
        return answer(template.to_json())

    async def list_subscriptions(self, request: web.Request) -> web.Response:
        """Every template with how many messages may still come; null means any number."""
        openid = user_of(self._standin, request).openid
        return answer(
            {
                "subscriptions": [
                    {**template.to_json(), "remaining": self._book.remaining(openid, template)}
                    for template in self._book.templates.values()
                ]
            }
        )

    async def agree(self, request: web.Request) -> web.Response:
        """One tap on 允许."""
        self._book.agree(user_of(self._standin, request).openid, self._template(request))
        return await self.list_subscriptions(request)

    async def refuse(self, request: web.Request) -> web.Response:
        """Takes every agreement to the template back."""
        self._book.refuse(user_of(self._standin, request).openid, self._template(request))
        return await self.list_subscriptions(request)

    async def list_messages(self, request: web.Request) -> web.Response:
        """The newest first, at most a hundred."""
        inbox = self._book.inbox(user_of(self._standin, request).openid)
        return answer({"messages": [message.to_json() for message in inbox]})

    async def clear_messages(self, request: web.Request) -> web.Response:
        self._book.empty(user_of(self._standin, request).openid)
        return web.Response(status=204)

    def _template(self, request: web.Request) -> Template:
        template = self._book.templates.get(request.match_info["template_id"])
        if template is None:
            raise web.HTTPNotFound(text='{"error":"no such template"}', content_type="application/json")
        return template
