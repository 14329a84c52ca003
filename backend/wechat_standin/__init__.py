"""A server of its own that behaves like WeChat's, for developing, trying and testing.

It answers the addresses of api.weixin.qq.com that the product calls, and a control API under
`/standin/` plays the phones: fake users, their `wx.login` codes, a clock that can be moved, errors on
demand. It knows nothing of the product and binds the loopback address alone.
"""

from backend.wechat_standin.app import create_standin_app

__all__ = ["create_standin_app"]
