"""The local AWS: a stand-in on loopback that the demo and the end-to-end tests deploy the real template to."""
