"""What launches instances, at a person's request: shown, changed, put back, AMIs included."""
