//! Collects what a failure leaves, best effort, and says in a manifest what could not be had.
