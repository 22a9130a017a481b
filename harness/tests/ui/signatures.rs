//! Signatures the runner cannot call.
#![allow(unused)]

#[polder::suite]
mod demo {
    use polder::prelude::*;

    #[test]
    async fn by_value(web: Vm) {}

    #[test]
    async fn mutable(web: &mut Vm) {}

    #[test]
    async fn unnamed(_: &Vm, (a, b): &(Vm, Vm), mut c: &Vm) {}

    #[test]
    async fn generic<T>(value: &T) {}

    #[test]
    async fn living<'a>(web: &'a Vm) {}

    #[test]
    unsafe extern "C" fn foreign() {}

    #[test]
    const fn constant() {}
}

fn main() {}
