"""The report on the fleet: one HTML file that needs no network, or Markdown, or CSV. docs/fleet.md says what it shows."""
