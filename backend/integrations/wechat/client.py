"""wechatpy's client over aiohttp, with one base URL, a stable token and bounded requests.

wechatpy (1.8.18) is synchronous, has no setting for its base URL, fetches tokens without a timeout and
without a lock, and retries an invalid token without end. All its endpoint methods go through
`_request`, so overriding that one as a coroutine function turns every `client.wxa.…` and
`client.message.…` into an awaitable while the rest of the library stays of use.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

import aiohttp
import orjson
import structlog
from wechatpy.client import WeChatClient
from wechatpy.exceptions import APILimitedException, WeChatClientException

OFFICIAL = "https://api.weixin.qq.com"
#: the token was refused: not the latest, invalid, expired
TOKEN_REFUSED = frozenset({40001, 40014, 42001})
SYSTEM_BUSY = -1
RATE_CODES = frozenset({45009, 45011})
_MARGIN = 60.0  # seconds before its end at which a token is no longer used
_BODY_LIMIT = 4 * 1024 * 1024

log = structlog.get_logger()


class WeChatAway(WeChatClientException):  # type: ignore[misc]  # wechatpy has no types
    """WeChat did not give an answer that can be understood: refused, late, cut, a gateway's page.

    Never carries the request: its address contains the app secret.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(None, reason)
        self.reason = reason


class AsyncWeChatClient(WeChatClient):  # type: ignore[misc]  # wechatpy has no types
    """Every endpoint of wechatpy as an awaitable.

    `base_url` replaces https://api.weixin.qq.com wherever wechatpy has it written down. `timeout` is
    for one whole request in seconds. Raises `WeChatClientException` with WeChat's `errcode`,
    `APILimitedException` for 45009 and 45011, `WeChatAway` without an understandable answer. Endpoints
    that upload files or work on their answer synchronously (`media.upload`, `jsapi.get_ticket`) are
    not served.

    Use as an async context manager, or call `aclose`.
    """

    def __init__(self, *, appid: str, secret: str, base_url: str = OFFICIAL, timeout: float = 5.0) -> None:
        # The parent's __init__ is left out on purpose: it makes a requests.Session, and a path that
        # still reached for it should fail at once rather than block the event loop.
        self.appid = appid
        self.secret = secret
        self.timeout = timeout
        self.auto_retry = False
        self._base_url = base_url.rstrip("/")
        self._session: aiohttp.ClientSession | None = None
        self._token: str | None = None
        self._token_ends = 0.0
        self._token_lock = asyncio.Lock()

    @property
    def access_token(self) -> str:
        """wechatpy's blocking property. It has no meaning here: `get_access_token` is awaited instead.

        `WeChatClient.__new__` evaluates every property before `__init__` and tolerates AttributeError
        alone.
        """
        raise AttributeError("access_token: await get_access_token() instead")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections. Safe to call again."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def get_access_token(self) -> str:
        """The stable token; any number of callers at its end cause one fetch.

        `stable_token` in its normal mode gives every process the same token, so that processes need
        no lock between them.
        """
        if self._token is not None and time.monotonic() < self._token_ends:
            return self._token
        async with self._token_lock:
            if self._token is not None and time.monotonic() < self._token_ends:
                return self._token
            return await self._fetch_stable_token()

    async def _fetch_stable_token(self) -> str:
        asked = {"grant_type": "client_credential", "appid": self.appid, "secret": self.secret}
        result = _result(
            await self._exchange("POST", f"{self._base_url}/cgi-bin/stable_token", data=orjson.dumps(asked))
        )
        if not isinstance(result, dict) or not isinstance(result.get("access_token"), str):
            raise WeChatAway("stable_token without a token")
        token: str = result["access_token"]
        self._token = token
        self._token_ends = time.monotonic() + max(0.0, float(result.get("expires_in", 0)) - _MARGIN)
        return token

    def _forget(self, token: str | None) -> None:
        """Drop `token` unless another caller has replaced it already."""
        if token is not None and self._token == token:
            self._token = None

    async def _request(self, method: str, url_or_endpoint: str, **kwargs: Any) -> Any:
        """One call, repeated at most once: for a refused token, or when WeChat says it is busy.

        The one repetition is enough: after 40001 the stable token's normal mode may hand out the same
        token again, and a second repetition would change nothing.
        """
        url = self._url(url_or_endpoint, kwargs.pop("api_base_url", self.API_BASE_URL))
        processor: Callable[[Any], Any] | None = kwargs.pop("result_processor", None)
        given: Mapping[str, Any] = kwargs.pop("params", None) or {}
        data = kwargs.pop("data", None)
        kwargs.pop("timeout", None)
        if kwargs:
            raise TypeError(f"not served by this client: {', '.join(sorted(kwargs))}")
        body = orjson.dumps(data) if isinstance(data, dict) else data
        own_credentials = "access_token" in given or "secret" in given
        for last in (False, True):
            token = None if own_credentials else await self.get_access_token()
            params = {**given, "access_token": token} if token is not None else dict(given)
            try:
                result = _result(await self._exchange(method, url, params=params, data=body))
            except WeChatClientException as error:
                if error.errcode in TOKEN_REFUSED:
                    self._forget(token)
                repeatable = error.errcode == SYSTEM_BUSY or (error.errcode in TOKEN_REFUSED and not own_credentials)
                if last or not repeatable:
                    raise
                log.info("wechat_call_repeated", errcode=error.errcode)
            else:
                return processor(result) if processor is not None else result
        raise AssertionError("unreachable")

    def _url(self, url_or_endpoint: str, api_base_url: str) -> str:
        url = url_or_endpoint
        if not url.startswith(("http://", "https://")):
            url = f"{api_base_url}{url}"
        if not url.startswith(f"{OFFICIAL}/"):
            raise ValueError("an address outside of api.weixin.qq.com")
        return self._base_url + url.removeprefix(OFFICIAL)

    async def _exchange(
        self, method: str, url: str, *, params: Mapping[str, Any] | None = None, data: bytes | None = None
    ) -> bytes:
        """The bytes of one HTTP answer. Raises `WeChatAway`, without the cause: it names the address."""
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=self.timeout))
        query = {name: str(value) for name, value in (params or {}).items() if value is not None}
        reason: str
        try:
            async with self._session.request(
                method.upper(), url, params=query, data=data, allow_redirects=False
            ) as response:
                if response.status == 200:
                    return await _limited(response)
                reason = f"HTTP {response.status}"
        except TimeoutError:
            reason = "timeout"
        except aiohttp.ClientError as error:
            reason = type(error).__name__
        log.warning("wechat_gave_no_answer", reason=reason)
        raise WeChatAway(reason)


async def _limited(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_chunked(65536):
        body += chunk
        if len(body) > _BODY_LIMIT:
            raise aiohttp.ClientPayloadError("answer over the limit")
    return bytes(body)


def _result(body: bytes) -> Any:
    """What the bytes are: a document, or the bytes themselves (images).

    Only the bytes tell: jscode2session sends JSON as text/plain, and an image address answers errors
    as JSON.
    """
    if not body.lstrip().startswith(b"{"):
        return body
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise WeChatAway("broken JSON") from None
    errcode = document.get("errcode", 0)
    try:
        errcode = int(errcode)
    except (TypeError, ValueError):
        raise WeChatAway("errcode is not a number") from None
    if errcode == 0:
        return document
    kind = APILimitedException if errcode in RATE_CODES else WeChatClientException
    raise kind(errcode, str(document.get("errmsg", "")))
