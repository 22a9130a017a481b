//! Types a suite cannot provide or take.
#![allow(unused)]

#[polder::suite]
mod demo {
    use polder::prelude::*;

    struct Mine;

    #[test]
    async fn asks(mine: &Mine, web: &Vm) {}

    #[test]
    async fn returns(web: &Vm) -> u8 {
        0
    }

    #[test]
    fn returns_plainly() -> Result<u8> {
        Ok(0)
    }
}

fn main() {}
