"""Tests that need a real PostgreSQL, a real process or a real installation."""
