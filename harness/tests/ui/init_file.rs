//! The init file is looked for when the suite is compiled.

#[polder::suite(env = "nowhere.yaml")]
mod missing {
    #[test]
    async fn a() {}
}

#[polder::suite(env = "..")]
mod folder {
    #[test]
    async fn a() {}
}

fn main() {}
