"""What the gateway costs beside others over the same services."""
