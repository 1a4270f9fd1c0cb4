//! Aimslog.
