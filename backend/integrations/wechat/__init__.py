"""WeChat, reached over HTTP. wechatpy is the catalogue of endpoints, aiohttp the transport."""
