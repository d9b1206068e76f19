//! Executes transactions and blocks: contract instances, host calls, fees, journal.
