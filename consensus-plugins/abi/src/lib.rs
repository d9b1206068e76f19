//! The C ABI between Millrace and its consensus plugins.
