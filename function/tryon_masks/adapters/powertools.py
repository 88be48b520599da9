"""CloudWatch metrics and X-Ray traces by Powertools for AWS Lambda."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from aws_lambda_powertools import Tracer
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from tryon_masks.ports import Dimensions
from tryon_masks.telemetry import SERVICE

NAMESPACE = "TryonMasks"


class Powertools:
    """Prints metrics to stdout in CloudWatch's embedded format, and sends steps to X-Ray.

    Powertools itself decides whether there is anybody to send to (POWERTOOLS_TRACE_DISABLED, SAM
    local).
    """

    def __init__(self) -> None:
        self._tracer = Tracer(service=SERVICE, auto_patch=False)

    def line_fields(self) -> Mapping[str, str]:
        """Return the id of the trace that this call belongs to."""
        for field in os.environ.get("_X_AMZN_TRACE_ID", "").split(";"):
            name, _, value = field.partition("=")
            if name == "Root":
                return {"xray_trace_id": value}
        return {}

    def segment(self, name: str) -> AbstractContextManager[Any]:
        """Open a subsegment of the current one."""
        segment: AbstractContextManager[Any] = self._tracer.provider.in_subsegment(name)
        return segment

    def publish(
        self,
        request_id: str,
        durations: Mapping[str, Sequence[float]],
        counts: Mapping[tuple[str, Dimensions], float],
    ) -> None:
        """Print one object for each set of dimensions."""
        groups: dict[Dimensions, EphemeralMetrics] = {}
        for dimensions in {(), *(key[1] for key in counts)}:
            group = EphemeralMetrics(namespace=NAMESPACE, service=SERVICE)
            for key, value in dimensions:
                group.add_dimension(key, value)
            group.add_metadata("request_id", request_id)
            groups[dimensions] = group
        for name, values in durations.items():
            for seconds in values:
                groups[()].add_metric(name, MetricUnit.Seconds, seconds)
        for (name, dimensions), total in counts.items():
            groups[dimensions].add_metric(name, MetricUnit.Count, total)
        for group in groups.values():
            if group.metric_set:
                group.flush_metrics()
