//! Authenticated, versioned key-value state.
