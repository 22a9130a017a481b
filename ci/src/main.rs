//! `cargo ci`: set-up, demo, tests, gate and benchmarks of this workspace; never part of the product.
fn main() {}
