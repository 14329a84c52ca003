"""mongod and redis-server as children of this process, for one machine.

For trying, developing and testing only: production points MONGO_URL and REDIS_URL at real
servers. Both classes are synchronous context managers that keep everything they write below one
folder and stop what they started:

    with EmbeddedMongo(var / "mongo") as mongo, EmbeddedRedis(var / "redis") as redis:
        connect(mongo.url, redis.url)
"""

from backend.embedded.errors import EmbeddedError
from backend.embedded.mongo_server import EmbeddedMongo
from backend.embedded.redis_server import EmbeddedRedis

__all__ = ["EmbeddedError", "EmbeddedMongo", "EmbeddedRedis"]
