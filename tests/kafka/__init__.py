"""Tests that need Apache Kafka itself (Java 17 and Maven): durability and fidelity."""
