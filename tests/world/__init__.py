"""One AWS in memory, with its clock: what unit tests, the walk and the simulation run the service on."""
