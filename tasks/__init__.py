"""One effect per module. Each takes the host's plan; what differs by role is the template, not the code."""
