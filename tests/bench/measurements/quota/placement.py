"""Where an organisation's instances are: a few accounts and Regions have many, most have few."""

from __future__ import annotations

from itertools import islice

from imdsv2.domain.instance import Place

ACCOUNTS = 500
REGIONS = 17
INSTANCES = 100_000
LARGEST = 5_000


def place_instances() -> dict[Place, list[int]]:
    """Instances by account and Region: a few large ones, many small ones, by a power of their rank."""
    places = [
        Place("aws", f"region-{region}", f"{account:012}") for account in range(ACCOUNTS) for region in range(REGIONS)
    ]
    flat, steep = 0.0, 2.0
    while steep - flat > 1e-9:
        middle = (flat + steep) / 2
        total = sum(LARGEST * rank**-middle for rank in range(1, len(places) + 1))
        flat, steep = (middle, steep) if total > INSTANCES else (flat, middle)
    sizes = [int(LARGEST * rank**-flat) for rank in range(1, len(places) + 1)]
    short = INSTANCES - sum(sizes)
    for rank in range(1, short + 1):
        sizes[rank % len(sizes)] += 1
    numbers = iter(range(INSTANCES))
    return {place: list(islice(numbers, size)) for place, size in zip(places, sizes, strict=True)}
