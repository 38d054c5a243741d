"""What every end-to-end test stands on: brokers to start and stop, clients to drive, records to check."""
