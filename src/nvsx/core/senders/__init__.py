"""What senders of webhooks post, who they are, and how a body becomes events. Pure."""
