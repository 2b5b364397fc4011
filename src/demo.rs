//! A reproducible synthetic company.
