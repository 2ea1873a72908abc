"""Other people's tools judge what the service did and what it is deployed with."""
