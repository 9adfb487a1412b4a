"""Decides what a platform is told of what it posted."""

from pydantic import BaseModel, Field


class WebhookReceipt(BaseModel):
    """What is durable now. Events known from before are among those received, and count once."""

    received: int = Field(description="Events that could be read.")
    quarantined: int = Field(description="Parts that couldn't; see `/v1/quarantine`.")
