"""What Prometheus is told: requests as they are answered, and how clients, queue and workers stand.

A registry of its own, so that two applications in one process (tests have them) do not add up.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """The numbers of this process, and the last reading of the whole."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "ghostcrm_http_requests",
            "Requests answered.",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "ghostcrm_http_request_duration_seconds",
            "From a request's arrival to the end of its answer; streams are not counted.",
            ["method", "route"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.clients = self._gauge("ghostcrm_clients", "Clients by status.", "status")
        self.queue_length = self._gauge(
            "ghostcrm_queue_length", "Runs that wait for a worker or for their next attempt."
        )
        self.processing = self._gauge("ghostcrm_queue_processing", "Runs that are worked on.")
        self.oldest_wait = self._gauge(
            "ghostcrm_queue_oldest_wait_seconds",
            "How long the oldest of those that wait has waited.",
        )
        self.workers = self._gauge("ghostcrm_workers_alive", "Workers that show that they live.")
        self.time_to_ready = self._gauge(
            "ghostcrm_time_to_ready_seconds",
            "From registration to ready, over the clients of the last day.",
            "quantile",
        )

    def observe(
        self, method: str, route: str, status: int, seconds: float, *, is_stream: bool
    ) -> None:
        """Count an answer. ``route`` is a template: what callers make up must not become a label."""
        self._requests.labels(method, route, str(status)).inc()
        if not is_stream:
            self._seconds.labels(method, route).observe(seconds)

    def text(self) -> bytes:
        """The exposition format of Prometheus."""
        return generate_latest(self.registry)

    def _gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        return Gauge(name, meaning, labels, registry=self.registry)
