"""Whether somebody works on the queue `knowledge`."""


def worker_answers(timeout_s: float = 2.0) -> bool:
    """Whether a Celery worker listens on the queue `knowledge`."""
    from celery import current_app

    try:
        queues = current_app.control.inspect(timeout=timeout_s).active_queues() or {}
    except OSError:
        return False
    return any(queue["name"] == "knowledge" for listed in queues.values() for queue in listed)
