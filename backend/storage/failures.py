"""Which exceptions mean that the store is away, as opposed to a defect of ours."""

from __future__ import annotations

from pymongo.errors import AutoReconnect, ExecutionTimeout, PyMongoError, WTimeoutError


def is_storage_failure(error: BaseException) -> bool:
    """Whether `error` is MongoDB being away, failing over or too slow: right to try again later."""
    return isinstance(error, AutoReconnect | ExecutionTimeout | WTimeoutError) or (
        isinstance(error, PyMongoError)
        and (error.has_error_label("TransientTransactionError") or error.has_error_label("RetryableWriteError"))
    )
