"""The demonstration: a sample GitLab, and the command that crawls all of it."""
