"""Kafka: topics, records, producing."""
