"""Searching for translations: the search itself knows no model, `translate` joins the two."""
