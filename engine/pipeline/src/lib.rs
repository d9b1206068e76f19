//! Fork tree, admission, stages, settlement, pressure, recovery.
