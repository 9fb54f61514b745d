"""What Prometheus is told: requests as they are answered, and how clients, queue and workers stand.

A registry of its own, so that two applications in one process (tests have them) do not add up.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest

from ghostcrm_provisioning.statistics.overview import Overview
from ghostcrm_provisioning.statistics.time_to_ready import ReadyTimes

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
        self.queue_length = self._gauge("ghostcrm_queue_length", "Runs that wait for a worker.")
        self.retrying = self._gauge(
            "ghostcrm_queue_retrying", "Runs that wait for their next attempt."
        )
        self.failed = self._gauge("ghostcrm_failed_runs_last_day", "Runs that failed in 24 hours.")
        self.processing = self._gauge("ghostcrm_queue_processing", "Runs that are worked on.")
        self.oldest_wait = self._gauge(
            "ghostcrm_queue_oldest_wait_seconds",
            "How long the oldest of those that wait has waited.",
        )
        self.workers = self._gauge(
            "ghostcrm_workers_alive", "Standing workers that show that they live."
        )
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

    def show(self, seen: Overview, times: ReadyTimes) -> None:
        """Take over how the whole stands; ``times`` are those of the last day."""
        self.clients.clear()
        for status, count in seen.clients.items():
            self.clients.labels(status).set(count)
        queue = seen.queue
        self.queue_length.set(queue.queued)
        self.processing.set(queue.running)
        self.retrying.set(queue.waiting)
        oldest = queue.longest_waiting
        self.oldest_wait.set(0 if oldest is None else oldest.wait_ms / 1000)
        self.workers.set(sum(worker.standing for worker in seen.workers))
        self.failed.set(queue.failed_last_day)
        self.time_to_ready.clear()
        for quantile, milliseconds in (("0.5", times.p50_ms), ("0.95", times.p95_ms)):
            if milliseconds is not None:  # no client became ready: a gap, not a zero
                self.time_to_ready.labels(quantile).set(milliseconds / 1000)

    def text(self) -> bytes:
        """The exposition format of Prometheus."""
        return generate_latest(self.registry)

    def _gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        return Gauge(name, meaning, labels, registry=self.registry)
