"""The schema registry, Confluent API."""
