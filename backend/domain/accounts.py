"""Who uses the product: citizens, staff, their sessions, and the rules of logging in."""

from __future__ import annotations

from backend.domain.errors import InvalidInput


class LoginCodeInvalid(InvalidInput):
    """The `wx.login` code is wrong, used or older than five minutes: the phone fetches a new one."""

    code = "login-code-invalid"
    title = "微信登录凭证已失效，请重新登录"
