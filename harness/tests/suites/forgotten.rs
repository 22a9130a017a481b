//! A suite in a target without `harness = false`.

#[polder::suite]
mod demo {
    #[test]
    async fn boots() {}
}

polder::main!();
