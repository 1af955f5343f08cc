"""Lets the tests import the package from the folder that it stands in."""
