"""Whether outgoing webhooks go where they may, and on while others misbehave."""
