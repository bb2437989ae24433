"""What is said: typed events, their Avro schemas and the codec between the two."""
