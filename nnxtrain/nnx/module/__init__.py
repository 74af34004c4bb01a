"""Modules, containers and dataclasses: the objects that hold Variables."""
