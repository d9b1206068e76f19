//! JSON-RPC server.
