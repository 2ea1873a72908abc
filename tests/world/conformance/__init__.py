"""The conformance suite of the world in memory: the same questions to it and to another AWS, and the same answers.

Each check sets up a cloud, asks it by the service's own calls, and returns what it was told; it is run on the world and on
a judge that answers the same calls, and the two answers have to be equal. The judges are moto (tests/integration) and the
local AWS (tests/local). What the world is asked and what it says is held against botocore's models besides.
"""
