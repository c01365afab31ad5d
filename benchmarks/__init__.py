"""Measurements that take longer than a test or need data that a test cannot ship."""
