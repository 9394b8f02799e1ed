"""What the SAIL recipes share: samples of the current policy, in its own law."""

from typing import Any

ONE_STEP: dict[str, Any] = {
    "sample.prompts": 32,
    "sample.temperature": 1.0,
    "sample.top_p": 1.0,
    "learn.batch": 32,
    "learn.epochs": 1,
    "learn.init_from": "previous",
    "learn.reference": "pi0",
    "learn.data": "latest",
    "measure.every": 12,
}
"""rounds of one optimizer step, so that the samples are the current policy's"""
