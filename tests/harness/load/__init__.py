"""Clients under load whose whole history is checked: where they run is for the tests to say."""
