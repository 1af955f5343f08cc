"""Codeswarm: many coding agents, one repository, nothing lost."""
