//! Attacks on the front with raw sockets.
