"""Modules of templates; each exposes `TEMPLATES`."""
