"""Reads a repository as data and proposes how it is set up and tested. Nothing of it is ever run here."""
