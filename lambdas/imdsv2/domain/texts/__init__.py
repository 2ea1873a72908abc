"""How numbers, times and commands are said in texts. Pure."""
