"""Requests that people make through the manual function, and the answers to them."""
